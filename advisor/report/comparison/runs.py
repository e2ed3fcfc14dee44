"""Two stored runs side by side, with remarks on how far they can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ...plural import plural
from ...types import OFF_STEP, PHASES, Finding, Hardware, Profile, Severity
from .. import format
from ..json_contract import json_safe

Change = Literal["gone", "new", "more", "less", "same", "not judged"]
Unit = Literal["samples/s", "updates/s"]

COMPARISON_VERSION = 1
SHARE_CHANGE = 0.05
"""Change, as a share of the loop, below which a finding stayed the same: two runs of one script differ by as much."""
SAME_BATCH = 0.02
"""Relative difference below which two sizes of an update are those of one batch."""
STARTS_SPREAD = 0.03
"""Chance difference between two starts of one script; measured between processes on quiet machines."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One number of both runs; None if it was not measured."""

    name: str
    before: float | None
    after: float | None


@dataclass(frozen=True, kw_only=True)
class FindingChange:
    """A finding of either run. Its change goes by its time: a share grows when other costs are fixed."""

    rule: str
    change: Change
    before: float | None
    """Share of the loop's time; None if the rule found nothing, or could not judge."""
    after: float | None
    before_s: float | None
    """Seconds for each update; None if it costs no time, or was not found."""
    after_s: float | None
    before_severity: Severity | None
    after_severity: Severity | None

    @property
    def only_the_share_grew(self) -> bool:
        """Return whether the later run shows a larger share of a shorter update, and no larger cost."""
        grew = None not in (self.before, self.after) and (self.after or 0.0) - (self.before or 0.0) >= SHARE_CHANGE
        return grew and self.change in ("same", "less")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    before: str
    """The runs' ids."""
    after: str
    speed_ratio: float | None
    """Speed of the later over the earlier run: 2 is twice as fast. None if it means nothing."""
    low: float | None
    high: float | None
    """Ends of an interval from the runs' own intervals, which know nothing of differences between two starts."""
    unit: Unit | None
    verdict: str
    """Verdict in one sentence."""
    caveats: tuple[str, ...]
    """Reasons why the ratio is only rough."""
    phases: tuple[Pair, ...]
    """Phases in seconds of an update."""
    off_step: tuple[Pair, ...]
    """Work outside the updates, as fractions of the loop."""
    memory: tuple[Pair, ...]
    """Memory in bytes."""
    findings: tuple[FindingChange, ...]


def compare_profiles(before: Profile, after: Profile) -> Comparison:
    """Compare one stored run with another.

    Two stored runs are two starts at two times, so their ratio is rough by nature; `compare --against` runs both now.
    """
    ratio, low, high, unit = _speed(before, after)
    caveats = _caveats(before, after, unit)
    return Comparison(
        before=before.run_id,
        after=after.run_id,
        speed_ratio=ratio,
        low=low,
        high=high,
        unit=unit,
        verdict=_verdict(ratio, low, high, caveats),
        caveats=caveats,
        phases=_phases(before, after),
        off_step=tuple(
            Pair(name=name, before=before.off_step.get(name), after=after.off_step.get(name))
            for name in OFF_STEP
            if name in before.off_step or name in after.off_step
        ),
        memory=_memory(before, after),
        findings=_findings(before, after),
    )


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return a versioned dict that is safe for `json.dumps(…, allow_nan=False)`."""
    safe: dict[str, Any] = json_safe(comparison)
    return {"version": COMPARISON_VERSION, **safe}


def _speed(before: Profile, after: Profile) -> tuple[float | None, float | None, float | None, Unit | None]:
    one, two = before.steps, after.steps
    if one is None or two is None:
        return None, None, None, None
    by_samples = bool(one.samples_per_s and two.samples_per_s)
    first = one.samples_per_s if by_samples else one.updates_per_s
    second = two.samples_per_s if by_samples else two.updates_per_s
    if not first or not second:
        return None, None, None, None
    low = two.low / one.high if by_samples and two.low is not None and one.high else None
    high = two.high / one.low if by_samples and two.high is not None and one.low else None
    return second / first, low, high, "samples/s" if by_samples else "updates/s"


def _caveats(before: Profile, after: Profile, unit: str | None) -> tuple[str, ...]:
    """Return all possible differences besides the user's change; the first always applies to stored runs."""
    caveats = ["the two runs were made at different times, not alternately: a few percent may be chance"]
    caveats += _hardware_differences(before.hardware, after.hardware)
    if before.command.display != after.command.display:
        caveats.append(
            f"the commands differ: {format.one_line(before.command.display)} and "
            f"{format.one_line(after.command.display)}"
        )
    for name in ("python", "torch"):
        one, two = before.environment.get(name), after.environment.get(name)
        if one != two:
            caveats.append(f"{name} differs: {format.one_line(str(one))} and {format.one_line(str(two))}")
    if before.steps is not None and after.steps is not None:
        one_size, two_size = before.steps.samples_per_update, after.steps.samples_per_update
        if _differ(one_size, two_size):
            caveats.append(
                f"the batch differs: {format.number(one_size)} and {format.number(two_size)} samples per update"
            )
        if unit == "updates/s" and _differ(one_size, two_size):
            caveats.append("samples were not counted in both runs, and updates of different size cannot be compared")
        if before.steps.samples_from != after.steps.samples_from:
            sources = f"from {before.steps.samples_from} and from {after.steps.samples_from}"
            caveats.append(f"samples were counted differently: {sources}")
    for which, profile in (("earlier", before), ("later", after)):
        if profile.failure is not None:
            caveats.append(f"the {which} run failed ({profile.failure.kind})")
        if profile.steps is not None and not profile.steps.steady:
            caveats.append(f"the {which} run found no steady state ({plural(profile.steps.updates, 'update')})")
    return tuple(caveats)


def _hardware_differences(one: Hardware, two: Hardware) -> list[str]:
    pairs = (
        ("machine", one.hostname, two.hostname),
        ("CPU", one.cpu.model, two.cpu.model),
        ("usable CPUs", f"{one.cpu.usable_cpus:g}", f"{two.cpu.usable_cpus:g}"),
        (
            "accelerators",
            ", ".join(accelerator.name for accelerator in one.accelerators) or "none",
            ", ".join(accelerator.name for accelerator in two.accelerators) or "none",
        ),
    )
    return [
        f"the hardware differs ({name}): {format.one_line(first)} and {format.one_line(second)}"
        for name, first, second in pairs
        if first != second
    ]


def _verdict(ratio: float | None, low: float | None, high: float | None, caveats: tuple[str, ...]) -> str:
    if ratio is None:
        return "Speeds cannot be compared: one of the runs measured no update."
    spread = 1 + STARTS_SPREAD
    certain_low, certain_high = (low or ratio) / spread, (high or ratio) * spread
    rough = "roughly " if len(caveats) > 1 or low is None else ""
    if certain_low > 1:
        return f"The later run is {rough}{format.times(ratio)} as fast."
    if certain_high < 1:
        return f"The later run takes {rough}{format.times(1 / ratio)} as long."
    return f"No difference in speed beyond chance ({format.times(ratio)})."


def _phases(before: Profile, after: Profile) -> tuple[Pair, ...]:
    def seconds(profile: Profile, name: str) -> float | None:
        return (
            None if profile.steps is None or name not in profile.phases else profile.phases[name] * profile.steps.mean_s
        )

    pairs = [Pair(name=name, before=seconds(before, name), after=seconds(after, name)) for name in PHASES]
    return tuple(pair for pair in pairs if pair.before or pair.after)


def _memory(before: Profile, after: Profile) -> tuple[Pair, ...]:
    names = ("peak_bytes", "parameters_bytes", "gradients_bytes", "optimizer_bytes", "activations_bytes")

    def used(profile: Profile, name: str) -> float | None:
        return None if profile.memory is None else getattr(profile.memory, name)

    pairs = [Pair(name=name, before=used(before, name), after=used(after, name)) for name in names]
    return tuple(pair for pair in pairs if pair.before is not None or pair.after is not None)


def _findings(before: Profile, after: Profile) -> tuple[FindingChange, ...]:
    earlier = {finding.rule: finding for finding in before.findings}
    later = {finding.rule: finding for finding in after.findings}
    found = []
    for rule in dict.fromkeys((*later, *earlier)):
        one, two = earlier.get(rule), later.get(rule)
        found.append(
            FindingChange(
                rule=rule,
                change=_unjudged(rule, one, before) or _unjudged(rule, two, after) or _change(one, two, before, after),
                before=None if one is None else one.share,
                after=None if two is None else two.share,
                before_s=None if one is None else before.cost_s(one),
                after_s=None if two is None else after.cost_s(two),
                before_severity=None if one is None else one.severity,
                after_severity=None if two is None else two.severity,
            )
        )
    return tuple(found)


def _unjudged(rule: str, finding: Finding | None, profile: Profile) -> Literal["not judged"] | None:
    """Return "not judged" if a run lacks the finding because its rule could not judge there."""
    blind = profile.steps is None or any(one.rule == rule for one in profile.abstained)
    return "not judged" if finding is None and blind else None


def _change(one: Finding | None, two: Finding | None, before: Profile, after: Profile) -> Change:
    """Return a finding's change, by its time for each update; by its share if that is not known of both."""
    if one is None:
        return "new"
    if two is None:
        return "gone"
    first, second, least = one.share, two.share, SHARE_CHANGE
    loops = before.loop_s_per_update, after.loop_s_per_update
    if loops[0] is not None and loops[1] is not None:
        first, second, least = first * loops[0], second * loops[1], SHARE_CHANGE * max(loops[0], loops[1])
    if abs(second - first) < least:
        return "same"
    return "more" if second > first else "less"


def _differ(one: float | None, two: float | None) -> bool:
    """Return whether two batches differ; a short last batch makes the mean a little smaller than the batch."""
    if one is None or two is None:
        return one is not two
    return abs(one - two) > SAME_BATCH * max(one, two)
