"""A profile in the terminal: the verdict first, then its basis."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ...plural import plural
from ...types import PHASES, Finding, Profile
from .. import format
from ..terminal import TONES, grid, print_safely, stderr_lines
from .circumstances import device_line, hardware_line, mfu_line, off_step_line, overhead_line
from .headline import Verdict, little_data, page_command, verdict_of
from .health import looked_at
from .learning import early_stop_line, noise_scale_line
from .ranks import rank_rows, ranks_line
from .severity import cost, severity_basis
from .unjudged import unjudged

BAR_CELLS = 30
_SEVERITIES = {"info": "cyan", "warning": "yellow", "critical": "red"}


def render_profile(profile: Profile, console: Console) -> None:
    """Print the profile, without any character that the terminal's encoding lacks."""
    print_safely(list(_parts(profile)), console)


def render_verdict(profile: Profile, console: Console) -> None:
    """Print the verdict and the next command alone, for a reader who has the rest as a page."""
    verdict = verdict_of(profile)
    print_safely([*_verdict(profile, verdict), Text(), _next(profile, verdict)], console)


def _verdict(profile: Profile, verdict: Verdict) -> Iterator[RenderableType]:
    if profile.failure is not None and profile.failure.stderr_tail.strip():
        yield from stderr_lines(profile.failure)
    yield Text(verdict.sentence, style=TONES[verdict.tone])


def _parts(profile: Profile) -> Iterator[RenderableType]:
    verdict = verdict_of(profile)
    yield from _verdict(profile, verdict)
    little = little_data(profile)
    if little is not None:
        yield Text(little, style="yellow")
    if profile.steps is not None:
        yield Text()
        yield from _speed(profile)
        yield Text()
        yield _phases(profile)
        yield from _ranks(profile)
    for number, finding in enumerate(profile.findings, start=1):
        yield Text()
        yield _finding(number, finding, profile)
    basis = severity_basis(profile.findings)
    if basis is not None:
        yield Text()
        yield Text(basis, style="dim")
    looked = looked_at(profile)
    if looked is not None and format.worst(profile.findings) is None:
        yield Text()
        yield Text(looked, style="dim")
    if profile.abstained:
        yield Text()
        yield Text("Could not judge", style="dim")
        for line in unjudged(profile):
            yield Padding(Text(line, style="dim"), (0, 0, 0, 2))
    yield Text()
    yield _circumstances(profile)
    yield Text()
    yield _next(profile, verdict)


def _speed(profile: Profile) -> Iterator[RenderableType]:
    steps = profile.steps
    assert steps is not None
    parts = [f"{format.duration(steps.mean_s)} per update"]
    span = (
        "" if steps.low is None or steps.high is None else f" ({format.number(steps.low)}–{format.number(steps.high)})"
    )
    if steps.samples_per_s is not None:
        each = " per rank" if profile.workload is not None and profile.workload.world_size > 1 else ""
        parts.append(f"{format.number(steps.samples_per_s)} samples/s{each}{span}")
    else:
        parts.append(f"{format.number(steps.updates_per_s)} updates/s{span}")
    if profile.memory is not None and profile.memory.peak_bytes is not None:
        limit = f" of {format.size(profile.memory.limit_bytes)}" if profile.memory.limit_bytes else ""
        parts.append(f"peak memory {format.size(profile.memory.peak_bytes)}{limit}")
    if profile.compute is not None and profile.compute.achieved_flops_per_s is not None:
        share = profile.compute.peak_fraction
        peak = "" if share is None else f", {format.percent(share)} of the {profile.compute.peak_dtype or ''} peak"
        parts.append(f"{format.rate(profile.compute.achieved_flops_per_s, 'FLOP/s')}{peak}")
    yield Text(" · ".join(parts))
    counted = f"{plural(steps.updates, 'update')} counted, {steps.warm_up:,} dropped as warm-up"
    if steps.micro_steps_per_update > 1:
        counted += f", {format.number(steps.micro_steps_per_update)} micro-steps each"
    yield Text(counted, style="dim")


def _phases(profile: Profile) -> RenderableType:
    assert profile.steps is not None
    rows = grid("", "", "right", "right")
    rows.columns[1].width = BAR_CELLS
    shown = {name: share for name in PHASES if (share := profile.phases.get(name, 0.0)) > 0}
    most = max(shown.values(), default=0.0)
    for name, share in shown.items():
        # A waiting phase is what readers look for; the others are the work itself.
        style = "yellow" if name in ("data_wait", "host_to_device") else "blue" if name != "other" else "dim"
        rows.add_row(
            format.phase_name(name),
            Text(_bar(share), style=style),
            format.percent(share),
            format.duration(share * profile.steps.mean_s),
            style="bold" if share == most else "",
        )
    beside = off_step_line(profile)
    if not beside:
        return rows
    return Group(rows, Text(f"Outside updates, as a share of the loop: {beside}", style="dim"))


def _ranks(profile: Profile) -> Iterator[RenderableType]:
    line = ranks_line(profile)
    if line is None:
        return
    yield Text()
    yield Text(line)
    rows = rank_rows(profile)
    if rows:
        table = grid("right", "right", "right", "right", "right", "right")
        for number, row in enumerate(rows):
            table.add_row(*row, style="dim" if number == 0 else "")
        yield table


def _bar(share: float) -> str:
    halves = round(min(1.0, max(0.0, share)) * BAR_CELLS * 2)
    return "█" * (halves // 2) + "▌" * (halves % 2) or "▌"


def _finding(number: int, finding: Finding, profile: Profile) -> RenderableType:
    head = Text.assemble(
        (f"{number}. ", "bold"),
        (format.one_line(finding.rule), "bold"),
        "  ",
        (finding.severity, _SEVERITIES[finding.severity]),
    )
    if finding.share > 0:
        head.append(f"  {cost(finding, profile)}")
    lines: list[Text] = []
    if finding.ceiling is not None:
        lines.append(Text(f"fixing it gives {format.ceiling_text(finding.ceiling)}", style="bold"))
    lines.append(Text(format.one_line(finding.evidence)))
    for place in finding.where:
        share = "" if place.share is None else f"  {format.percent(place.share)}"
        lines.append(Text(f"at {format.place_text(place, profile.command.cwd)}{share}", style="cyan"))
    lines.append(Text(f"→ {format.one_line(finding.advice)}"))
    if finding.knobs:
        lines.append(Text(f"knobs: {', '.join(format.one_line(knob) for knob in finding.knobs)}", style="dim"))
    return Group(head, Padding(Group(*lines), (0, 0, 0, 3)))


def _circumstances(profile: Profile) -> RenderableType:
    rows = grid("dim", "fold")
    gains = format.speed_ups(profile.what_ifs)
    if gains:
        tried = "; ".join(f"{format.what_if_name(one.name)}: {format.what_if_text(one)}" for one in gains)
        rows.add_row("what if", Text(tried))
    loader = format.loader_alone(profile.what_ifs)
    if loader is not None:
        rows.add_row("loader", Text(loader))
    for name, text in (
        ("device", device_line(profile)),
        ("MFU", mfu_line(profile)),
        ("length", early_stop_line(profile)),
        ("noise scale", noise_scale_line(profile)),
    ):
        if text is not None:
            rows.add_row(name, Text(text))
    rows.add_row("hardware", Text(hardware_line(profile.hardware)))
    for problem in profile.hardware.problems:
        rows.add_row(
            "set-up", Text(f"{format.one_line(problem.message)} → {format.one_line(problem.advice)}", style="yellow")
        )
    rows.add_row(
        "isolation", Text(f"{format.one_line(profile.isolation.name)}: {format.one_line(profile.isolation.promise)}")
    )
    if profile.isolation.changed_files:
        changed = ", ".join(format.one_line(name) for name in profile.isolation.changed_files[:5])
        more = len(profile.isolation.changed_files) - 5
        rows.add_row("changed", Text(changed + (f" and {more:,} more" if more > 0 else ""), style="bold red"))
    rows.add_row("overhead", Text(overhead_line(profile)))
    for note in profile.notes:
        rows.add_row("note", Text(format.one_line(note), style="yellow"))
    return rows


def _next(profile: Profile, verdict: Verdict) -> RenderableType:
    rows = grid("dim", "fold")
    rows.add_row("next", Text.assemble((verdict.next_command, "bold"), (f"  {verdict.why_next}", "dim")))
    if profile.steps is not None:
        rows.add_row("page", Text(page_command(profile)))
    return rows
