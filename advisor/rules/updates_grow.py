"""Updates take longer and longer, at batches of like size."""

from __future__ import annotations

from dataclasses import dataclass

from ..types import Ceiling, Evidence, Growth, Place
from ._base import Example, Hit, Judgement, Rule, Undecided, lost_share, severity_of
from ._examples import call, healthy_cpu, healthy_cuda, line
from ._read import call_places, calls, duration, hooks_per_update, line_places, percent
from ._trend_examples import growth

MIN_RISE = 1.2
"""Rise within the measurement from which it is reported if something that piles up is seen."""
MIN_UNEXPLAINED_RISE = 1.5
"""The same without a cause: a processor that becomes warm loses up to a third of its clock rate."""
MIN_HOOKS_LEFT = 50
"""Hooks left behind in all from which they are reported without a trend of the times."""
MIN_PHASE_SHARE = 0.5
"""Share of the rise in backward from which a kept graph is the cause."""
MIN_LINE_SHARE = 0.3
"""Share of the rise from which a line is named."""
LONGER = 2.0
"""Length of a run, relative to the measurement, up to which the ceiling holds: the loss grows with it."""
BUSY_SHARE = 0.3
"""Share of the CPUs used by other programs from which a rise without a cause may be theirs."""
HOOK = "register_hook"
"""Name of the traced calls that register a hook."""


@dataclass(frozen=True, kw_only=True)
class _Cause:
    words: str
    advice: str
    where: tuple[Place, ...] = ()
    is_counted: bool = True
    """False if only times show it, which other programs lengthen as well."""


def judge(evidence: Evidence) -> Judgement:
    found = evidence.growth
    if found is None:
        return None
    cause = _cause(evidence, found)
    if not found.goes_on or found.low_s <= 0:
        return _left_behind(found, cause)
    rise = found.end_s / found.start_s
    if rise < (MIN_RISE if cause is not None else MIN_UNEXPLAINED_RISE):
        return None
    if (cause is None or not cause.is_counted) and _disturbed(evidence):
        return Undecided(why="updates became longer, but other programs used the CPUs meanwhile")
    share = lost_share(rise)
    return Hit(
        share=share,
        severity=severity_of(share),
        evidence=_words(found, cause),
        advice=cause.advice if cause is not None else _UNKNOWN,
        where=cause.where if cause is not None else (),
        ceiling=Ceiling(
            speedup=rise,
            low=max(1.0, found.mean_s / found.start_s * found.low_s / found.slope_s),
            high=1 + LONGER * (rise - 1) * found.high_s / found.slope_s,
            basis="share",
        ),
    )


def _left_behind(found: Growth, cause: _Cause | None) -> Judgement:
    """Judge hooks that pile up where the times show no trend yet: each costs its call in every update to come."""
    if cause is None or found.hooks is None or found.hooks[1] - found.hooks[0] < MIN_HOOKS_LEFT:
        return None
    return Hit(
        severity="warning",
        evidence=f"{cause.words.strip()} The updates' times show no clear trend yet.",
        advice=cause.advice,
        where=cause.where,
    )


_UNKNOWN = (
    "Something that each update adds to is read whole by the next ones: look for lists, tensors that are concatenated, "
    "hooks, and losses that keep their graph."
)


def _words(found: Growth, cause: _Cause | None) -> str:
    phase, share = max(found.phases.items(), key=lambda item: item[1], default=("", 0.0))
    where = f" {percent(share)} of the rise lies in {_PHASES.get(phase, phase)}." if share >= MIN_PHASE_SHARE else ""
    return (
        f"An update took {duration(found.start_s)} at the start of the run and {duration(found.end_s)} after "
        f"{found.through:,} updates, at batches of like size, and it goes on: {duration(found.slope_s)} more with each "
        f"({duration(found.low_s)}–{duration(found.high_s)}).{where}{cause.words if cause is not None else ''}"
    )


_PHASES = {
    "data_wait": "the wait for data",
    "host_to_device": "the copy to the device",
    "other": "the script's own code",
}


def _cause(evidence: Evidence, found: Growth) -> _Cause | None:
    left = hooks_per_update(evidence)
    if found.hooks is not None and left:
        return _Cause(
            words=f" Each update leaves {left:.3g} hooks behind: {found.hooks[0]:,} became {found.hooks[1]:,}.",
            advice="Register hooks once, before the loop, or remove each one after its use: `register_forward_hook` "
            "returns a handle with `remove()`.",
            where=call_places(calls(evidence, (HOOK,))),
        )
    if evidence.workload.facts.retains_graph and found.phases.get("backward", 0.0) >= MIN_PHASE_SHARE:
        return _Cause(
            words=" Backward is called with `retain_graph=True`, and runs through the earlier updates again.",
            advice="Detach what one update hands to the next (`state = state.detach()`), then call `backward()` "
            "without `retain_graph=True`.",
            where=line_places(each for each in found.lines if each.phase == "backward"),
        )
    lines = tuple(each for each in found.lines if each.share >= MIN_LINE_SHARE)
    if not lines:
        return None
    text = f" (`{lines[0].text}`)" if lines[0].text else ""
    return _Cause(
        words=f" Line {lines[0].line} of {lines[0].file.rpartition('/')[2]}{text} makes up {percent(lines[0].share)} "
        "of it.",
        advice="What this line reads has grown with every update: keep a running sum instead of a list, limit its "
        "length (`collections.deque(maxlen=…)`), detach tensors that are kept, or do this once per epoch.",
        where=line_places(lines),
        is_counted=False,
    )


def _disturbed(evidence: Evidence) -> bool:
    others = evidence.system.loadavg_others
    return others is not None and others > BUSY_SHARE * evidence.hardware.cpu.usable_cpus


RULE = Rule(
    id="updates_grow",
    title="updates take longer and longer",
    headline="needs more time for every update than for the one before",
    looks_at="The robust slope (Theil–Sen) of an update's time over the baseline's windows, among updates whose "
    "batches are of like size; the number of hooks at both ends; lines sampled at both ends.",
    thresholds=(
        "MIN_RISE",
        "MIN_UNEXPLAINED_RISE",
        "MIN_HOOKS_PER_UPDATE",
        "MIN_HOOKS_LEFT",
        "MIN_PHASE_SHARE",
        "MIN_LINE_SHARE",
        "LONGER",
        "BUSY_SHARE",
    ),
    source="Reports of loops that become slower until they seem to hang: lucent#45, bergson#55, peft#2761.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html",
    needs_updates=False,
    judge=judge,
    examples=(
        Example(
            name="four hooks are registered in every update and never removed",
            evidence=healthy_cpu(
                growth=growth(rise=12.0, hooks=(120, 5_320), hooks_per_update=4.0, phases={"forward": 0.9}),
                trace={"calls": (call("register_hook", line=27, calls_per_update=4.0),)},
            ),
            fires=True,
        ),
        Example(
            name="the hidden state keeps its graph",
            evidence=healthy_cuda(
                growth=growth(rise=3.0, phases={"backward": 0.9}), workload={"facts": {"retains_graph": True}}
            ),
            fires=True,
        ),
        Example(
            name="the mean of a growing list in every update",
            evidence=healthy_cpu(growth=growth(rise=1.3, lines=(line("python", 0.8),), phases={"other": 0.9})),
            fires=True,
        ),
        Example(
            name="a rise of half the time without a known cause",
            evidence=healthy_cpu(growth=growth(rise=1.6)),
            fires=True,
        ),
        Example(
            name="a processor that becomes warm",
            evidence=healthy_cpu(growth=growth(rise=1.4)),
            fires=False,
        ),
        Example(
            name="a rise that has ended",
            evidence=healthy_cpu(growth=growth(rise=2.0, goes_on=False)),
            fires=False,
        ),
        Example(
            name="hooks that pile up on a machine too busy to see a trend",
            evidence=healthy_cpu(growth=growth(rise=1.0, goes_on=False, hooks=(16, 456), hooks_per_update=4.0)),
            fires=True,
        ),
        Example(
            name="hooks that are removed again",
            evidence=healthy_cpu(
                growth=growth(rise=1.05, hooks=(4, 4), hooks_per_update=0.0),
                trace={"calls": (call("register_hook", calls_per_update=4.0),)},
            ),
            fires=False,
        ),
        Example(
            name="other programs became busier",
            evidence=healthy_cpu(growth=growth(rise=1.6), system={"loadavg_others": 4.0}),
            fires="abstains",
        ),
        Example(
            name="other programs became busier, which shows at a line",
            evidence=healthy_cpu(
                growth=growth(rise=1.3, lines=(line("python", 0.8),), phases={"other": 0.9}),
                system={"loadavg_others": 4.0},
            ),
            fires="abstains",
        ),
        Example(name="no trend could be computed", evidence=healthy_cpu(growth=None), fires=False),
    ),
)
