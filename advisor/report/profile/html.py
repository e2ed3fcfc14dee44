"""A profile as one offline page, or as a fragment for a notebook.

Everything that comes from the script is text to the template, which escapes it; only advisor's own charts are markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ...plural import plural
from ...types import PHASES, Command, Failure, Finding, HotLine, Profile
from .. import format, homes, pictures
from .circumstances import (
    device_line,
    epoch_end_line,
    hardware_line,
    loader_line,
    memory_line,
    mfu_line,
    off_step_line,
    overhead_line,
)
from .headline import little_data, verdict_of
from .health import looked_at
from .learning import early_stop_line, noise_scale_line
from .ranks import rank_rows, ranks_line
from .severity import cost, severity_basis

_TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
_MOST_LINES = 12
_MOST_PLACES = 8
_STDERR_CHARACTERS = 8000


def as_page(profile: Profile) -> str:
    """Return the whole page: one file that needs no network."""
    return page("fragment.html.jinja", _view(profile))


def as_fragment(profile: Profile) -> str:
    """Return the same without `<html>`, for a notebook; its styles touch nothing outside it."""
    return fragment("fragment.html.jinja", _view(profile))


def page(body: str, view: dict[str, Any]) -> str:
    """Return a page around the template `body`, which shows `view`; its `title` is the page's.

    A page is made to be shared: home folders are shown as `~`.
    """
    return homes.shortened(_rendered("page.html.jinja", view=view, body=body))


def fragment(body: str, view: dict[str, Any]) -> str:
    """Return the template alone."""
    return _rendered(body, view=view)


def _rendered(template: str, **content: object) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    style = Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(style=style, **content)


def _view(profile: Profile) -> dict[str, Any]:
    """Return the contents of the template, in words."""
    drawn = [draw(profile) for draw in pictures.ALL]
    strip = pictures.phases.draw(profile)
    return {
        **common(profile, profile.failure, drawn),
        "verdict": verdict_of(profile),
        "little": little_data(profile),
        "looked": looked_at(profile),
        "figures": _figures(profile),
        "strip": Markup(strip.svg) if isinstance(strip, pictures.Picture) else Markup(),
        "phases": _phases(profile),
        "off_step": off_step_line(profile),
        "ranks": {"line": ranks_line(profile), "rows": rank_rows(profile)},
        "findings": [_finding(finding, profile) for finding in profile.findings],
        "severity_basis": severity_basis(profile.findings),
        "lines": _lines(profile),
        "facts": _facts(profile),
    }


def common(profile: Profile, failure: Failure | None, drawn: Sequence[pictures.Drawn]) -> dict[str, Any]:
    """Return what the pages of a profile and of a search both show."""
    return {
        "created": format.moment(profile.created),
        "run_id": format.one_line(profile.run_id),
        **shared(profile.command, failure, drawn),
    }


def shared(command: Command, failure: Failure | None, drawn: Sequence[pictures.Drawn]) -> dict[str, Any]:
    """Return what all pages show: the command, the end of a script that failed, and the charts."""
    stderr = "" if failure is None else format.plain(failure.stderr_tail).strip()
    return {
        "title": format.one_line(command.title),
        "command": format.one_line(command.typed),
        "stderr": stderr[-_STDERR_CHARACTERS:],
        "pictures": [
            {"title": one.title, "svg": Markup(one.svg), "caption": one.caption, "wide": one.wide}
            for one in drawn
            if isinstance(one, pictures.Picture)
        ],
        "missing": "; ".join(f"{one.title.lower()} ({one.why})" for one in drawn if isinstance(one, pictures.Missing)),
    }


def _figures(profile: Profile) -> list[dict[str, str]]:
    steps, memory, compute = profile.steps, profile.memory, profile.compute
    if steps is None:
        return []
    span = f"{format.number(steps.low)}–{format.number(steps.high)}" if steps.low is not None else ""
    unit, rate = (
        ("samples/s", steps.samples_per_s) if steps.samples_per_s is not None else ("updates/s", steps.updates_per_s)
    )
    figures = [
        figure("An update takes", format.duration(steps.mean_s), f"median {format.duration(steps.median_s)}"),
        figure(
            "Throughput",
            f"{format.number(rate)} {unit}",
            f"95% interval {span}" if span else "no interval: too few updates",
        ),
    ]
    if memory is not None and memory.peak_bytes is not None:
        limit = f"of {format.size(memory.limit_bytes)}" if memory.limit_bytes else ""
        figures.append(figure("Peak memory", format.size(memory.peak_bytes), limit))
    if compute is not None and compute.achieved_flops_per_s is not None:
        share = compute.peak_fraction
        detail = "peak unknown" if share is None else f"{format.percent(share)} of the {compute.peak_dtype or ''} peak"
        figures.append(figure("Arithmetic", format.rate(compute.achieved_flops_per_s, "FLOP/s"), detail))
    return figures


def figure(name: str, value: str, detail: str) -> dict[str, str]:
    """Return one of the large numbers at the top."""
    return {"name": name, "value": value, "detail": detail}


def _phases(profile: Profile) -> list[dict[str, str]]:
    if profile.steps is None:
        return []
    return [
        {
            "id": name,
            "name": format.phase_name(name),
            "share": format.percent(share),
            "time": format.duration(share * profile.steps.mean_s),
        }
        for name in PHASES
        if (share := profile.phases.get(name, 0.0)) > 0
    ]


def _finding(finding: Finding, profile: Profile) -> dict[str, Any]:
    ceiling = finding.ceiling
    sources = {(line.file, line.line): line.text for line in profile.lines}
    cwd = profile.command.cwd
    return {
        "rule": format.one_line(finding.rule),
        "severity": finding.severity,
        "cost": cost(finding, profile) if finding.share > 0 else "",
        "gain": "" if ceiling is None else format.times(ceiling.speedup),
        "basis": ""
        if ceiling is None
        else f"{ceiling.basis}, {format.interval(ceiling.low, ceiling.high)}"
        if ceiling.basis != "share"
        else f"at most {format.times(ceiling.high)}, estimated",
        "evidence": format.one_line(finding.evidence),
        "places": [
            {
                "where": format.place_text(place, cwd),
                "share": "" if place.share is None else format.percent(place.share),
                "source": format.one_line(sources.get((place.file, place.line), "")),
            }
            for place in finding.where[:_MOST_PLACES]
        ],
        "advice": format.one_line(finding.advice),
        "knobs": ", ".join(format.one_line(knob) for knob in finding.knobs),
    }


def _lines(profile: Profile) -> list[dict[str, str]]:
    same: dict[tuple[str, int, str], list[HotLine]] = {}
    for line in profile.lines:
        if line.where == "loop":
            same.setdefault((line.file, line.line, line.phase), []).append(line)
    rows = [(group[0], sum(line.share for line in group)) for group in same.values()]
    return [
        {
            "where": f"{format.short_path(line.file, profile.command.cwd)}:{line.line}",
            "source": format.one_line(line.text),
            "phase": format.phase_name(line.phase),
            "share": format.percent(share),
        }
        for line, share in sorted(rows, key=lambda row: -row[1])[:_MOST_LINES]
    ]


def _facts(profile: Profile) -> list[tuple[str, str]]:
    facts = [("Hardware", hardware_line(profile.hardware))]
    facts += [
        ("Set-up", f"{format.one_line(problem.message)} → {format.one_line(problem.advice)}")
        for problem in profile.hardware.problems
    ]
    if profile.steps is not None:
        steps = profile.steps
        counted = f"{plural(steps.updates, 'update')} counted, {steps.warm_up:,} dropped as warm-up"
        facts.append(("Updates", f"{counted}; samples from {steps.samples_from}"))
    optional = (
        ("Start-up", None if profile.start_up_s is None else format.duration(profile.start_up_s)),
        ("End of an epoch", epoch_end_line(profile)),
        ("Loader", None if profile.loader is None else loader_line(profile.loader)),
        ("Loader alone", format.loader_alone(profile.what_ifs)),
        ("Device", device_line(profile)),
        ("Utilisation", mfu_line(profile)),
        ("Length of the training", early_stop_line(profile)),
        ("Gradient noise scale", noise_scale_line(profile)),
        ("Memory", None if profile.memory is None else memory_line(profile.memory)),
    )
    facts += [(name, text) for name, text in optional if text]
    facts += origin(profile)
    facts += [("Note", format.one_line(note)) for note in profile.notes]
    facts += [
        ("Could not judge", f"{format.one_line(one.rule)}: {format.one_line(one.why)}") for one in profile.abstained
    ]
    return facts


def origin(profile: Profile) -> list[tuple[str, str]]:
    """Return how the script was isolated, what measuring cost, and the versions: on the page of a search, too."""
    isolation = profile.isolation
    facts = [("Isolation", f"{format.one_line(isolation.name)}: {format.one_line(isolation.promise)}")]
    if isolation.changed_files:
        facts.append(("Changed files", ", ".join(format.one_line(name) for name in isolation.changed_files[:20])))
    facts.append(("Overhead", overhead_line(profile)))
    versions = (f"{format.one_line(name)} {format.one_line(value)}" for name, value in profile.environment.items())
    facts.append(("Versions", ", ".join((f"advisor {format.one_line(profile.advisor)}", *versions))))
    return facts
