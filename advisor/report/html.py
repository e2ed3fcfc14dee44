"""A profile as one offline page, or as a fragment for a notebook.

Everything that comes from the script is text to the template, which escapes it; only our own pictures are markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ..types import OFF_STEP, PHASES, Finding, HotLine, Profile
from . import pictures, words
from .circumstances import epoch_end_line, hardware_line, loader_line, memory_line, overhead_line
from .verdict import Verdict, little_data, verdict_of

_HERE = Path(__file__).resolve().parent
_MOST_LINES = 12
_MOST_PLACES = 8
_STDERR_CHARACTERS = 8000


@dataclass(frozen=True, kw_only=True)
class View:
    """What the template shows, in words."""

    title: str
    verdict: Verdict
    little: str | None
    created: str
    run_id: str
    command: str
    stderr: str
    figures: list[dict[str, str]]
    strip: Markup
    phases: list[dict[str, str]]
    off_step: str
    findings: list[dict[str, Any]]
    pictures: list[dict[str, Any]]
    missing: str
    lines: list[dict[str, str]]
    facts: list[tuple[str, str]]


def as_page(profile: Profile) -> str:
    """The whole page: one file that asks nothing of the network."""
    return page("fragment.html.jinja", _view(profile))


def as_fragment(profile: Profile) -> str:
    """The same without `<html>`, for a notebook; its styles touch nothing outside it."""
    return fragment("fragment.html.jinja", _view(profile))


def page(body: str, view: object) -> str:
    """A page around the template `body`, which shows `view`; `view.title` is the page's."""
    return _rendered("page.html.jinja", view=view, body=body)


def fragment(body: str, view: object) -> str:
    """The template alone."""
    return _rendered(body, view=view)


def _rendered(template: str, **content: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    style = Markup((_HERE / "style.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(style=style, **content)


def _view(profile: Profile) -> View:
    drawn = [draw(profile) for draw in pictures.ALL]
    strip = pictures.phases.draw(profile)
    stderr = "" if profile.failure is None else words.plain(profile.failure.stderr_tail).strip()
    return View(
        title=words.one_line(profile.command.title),
        verdict=verdict_of(profile),
        little=little_data(profile),
        created=words.moment(profile.created),
        run_id=words.one_line(profile.run_id),
        command=words.one_line(profile.command.typed),
        stderr=stderr[-_STDERR_CHARACTERS:],
        figures=_figures(profile),
        strip=Markup(strip.svg) if isinstance(strip, pictures.Picture) else Markup(),
        phases=_phases(profile),
        off_step=_off_step(profile),
        findings=[_finding(finding, profile) for finding in profile.findings],
        pictures=shown(drawn),
        missing=not_drawn(drawn),
        lines=_lines(profile),
        facts=_facts(profile),
    )


def shown(drawn: Sequence[pictures.Drawn]) -> list[dict[str, Any]]:
    """The pictures that could be drawn, as the template takes them."""
    return [
        {"title": one.title, "svg": Markup(one.svg), "caption": one.caption, "wide": one.wide}
        for one in drawn
        if isinstance(one, pictures.Picture)
    ]


def not_drawn(drawn: Sequence[pictures.Drawn]) -> str:
    """The others, and why."""
    return "; ".join(f"{one.title.lower()} ({one.why})" for one in drawn if isinstance(one, pictures.Missing))


def _figures(profile: Profile) -> list[dict[str, str]]:
    steps, memory, compute = profile.steps, profile.memory, profile.compute
    if steps is None:
        return []
    span = f"{words.number(steps.low)}–{words.number(steps.high)}" if steps.low is not None else ""
    unit, rate = (
        ("samples/s", steps.samples_per_s) if steps.samples_per_s is not None else ("updates/s", steps.updates_per_s)
    )
    figures = [
        figure("An update takes", words.duration(steps.mean_s), f"median {words.duration(steps.median_s)}"),
        figure(
            "Throughput", f"{words.number(rate)} {unit}", f"95% interval {span}" if span else "no interval: few updates"
        ),
    ]
    if memory is not None and memory.peak_bytes is not None:
        limit = f"of {words.size(memory.limit_bytes)}" if memory.limit_bytes else ""
        figures.append(figure("Peak memory", words.size(memory.peak_bytes), limit))
    if compute is not None and compute.achieved_flops_per_s is not None:
        share = compute.peak_fraction
        detail = "peak not known" if share is None else f"{words.percent(share)} of the {compute.peak_dtype or ''} peak"
        figures.append(figure("Arithmetic", words.rate(compute.achieved_flops_per_s, "FLOP/s"), detail))
    return figures


def figure(name: str, value: str, detail: str) -> dict[str, str]:
    """One of the large numbers at the top."""
    return {"name": name, "value": value, "detail": detail}


def _phases(profile: Profile) -> list[dict[str, str]]:
    if profile.steps is None:
        return []
    return [
        {
            "id": name,
            "name": words.phase_name(name),
            "share": words.percent(share),
            "time": words.duration(share * profile.steps.mean_s),
        }
        for name in PHASES
        if (share := profile.phases.get(name, 0.0)) > 0
    ]


def _off_step(profile: Profile) -> str:
    return ", ".join(
        f"{words.phase_name(name)} {words.percent(share)}"
        for name in OFF_STEP
        if (share := profile.off_step.get(name, 0.0)) >= 0.001
    )


def _finding(finding: Finding, profile: Profile) -> dict[str, Any]:
    ceiling = finding.ceiling
    sources = {(line.file, line.line): line.text for line in profile.lines}
    cwd = profile.command.cwd
    return {
        "rule": words.one_line(finding.rule),
        "severity": finding.severity,
        "share": words.percent(finding.share) if finding.share > 0 else "",
        "gain": "" if ceiling is None else words.times(ceiling.speedup),
        "basis": ""
        if ceiling is None
        else f"measured, {words.interval(ceiling.low, ceiling.high)}"
        if ceiling.basis == "measured"
        else f"at most {words.times(ceiling.high)}, from its share",
        "evidence": words.one_line(finding.evidence),
        "places": [
            {
                "where": words.place_text(place, cwd),
                "share": "" if place.share is None else words.percent(place.share),
                "source": words.one_line(sources.get((place.file, place.line), "")),
            }
            for place in finding.where[:_MOST_PLACES]
        ],
        "advice": words.one_line(finding.advice),
        "knobs": ", ".join(words.one_line(knob) for knob in finding.knobs),
    }


def _lines(profile: Profile) -> list[dict[str, str]]:
    same: dict[tuple[str, int, str], list[HotLine]] = {}
    for line in profile.lines:
        if line.where == "loop":
            same.setdefault((line.file, line.line, line.phase), []).append(line)
    rows = [(group[0], sum(line.share for line in group)) for group in same.values()]
    return [
        {
            "where": f"{words.short_path(line.file, profile.command.cwd)}:{line.line}",
            "source": words.one_line(line.text),
            "phase": words.phase_name(line.phase),
            "share": words.percent(share),
        }
        for line, share in sorted(rows, key=lambda row: -row[1])[:_MOST_LINES]
    ]


def _facts(profile: Profile) -> list[tuple[str, str]]:
    facts = [("Hardware", hardware_line(profile.hardware))]
    facts += [
        ("Set-up", f"{words.one_line(problem.message)} → {words.one_line(problem.advice)}")
        for problem in profile.hardware.problems
    ]
    if profile.steps is not None:
        steps = profile.steps
        counted = f"{words.plural(steps.updates, 'update')} counted, {steps.warm_up:,} dropped as warm-up"
        facts.append(("Updates", f"{counted}; samples from {steps.samples_from}"))
    optional = (
        ("Start-up", None if profile.start_up_s is None else words.duration(profile.start_up_s)),
        ("End of an epoch", epoch_end_line(profile)),
        ("Loader", None if profile.loader is None else loader_line(profile.loader)),
        ("Loader alone", words.loader_alone(profile.what_ifs)),
        ("Memory", None if profile.memory is None else memory_line(profile.memory)),
    )
    facts += [(name, text) for name, text in optional if text]
    facts.append(
        ("Isolation", f"{words.one_line(profile.isolation.name)}: {words.one_line(profile.isolation.promise)}")
    )
    if profile.isolation.changed_files:
        facts.append(
            ("Changed files", ", ".join(words.one_line(name) for name in profile.isolation.changed_files[:20]))
        )
    facts.append(("Overhead", overhead_line(profile)))
    versions = ", ".join(
        f"{words.one_line(name)} {words.one_line(value)}" for name, value in profile.environment.items()
    )
    facts.append(("Versions", f"advisor {words.one_line(profile.advisor)}, {versions}"))
    facts += [("Note", words.one_line(note)) for note in profile.notes]
    facts += [
        ("Could not judge", f"{words.one_line(one.rule)}: {words.one_line(one.why)}") for one in profile.abstained
    ]
    return facts
