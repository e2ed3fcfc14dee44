"""Two stored runs side by side, with remarks on how far they can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ...types import OFF_STEP, PHASES, Hardware, Profile
from .. import format
from ..json_contract import json_safe

Change = Literal["gone", "new", "more", "less", "same", "not judged"]
Unit = Literal["samples/s", "updates/s"]

COMPARISON_VERSION = 1
SHARE_CHANGE = 0.05
"""Change of share below which a finding stayed the same: two runs of one script differ by as much."""
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
    rule: str
    change: Change
    before: float | None
    """Share of the loop's time."""
    after: float | None


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
            caveats.append(f"the {which} run found no steady state ({format.plural(profile.steps.updates, 'update')})")
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
    earlier = {finding.rule: finding.share for finding in before.findings}
    later = {finding.rule: finding.share for finding in after.findings}
    return tuple(
        FindingChange(rule=rule, change=_change(rule, before, after), before=earlier.get(rule), after=later.get(rule))
        for rule in dict.fromkeys((*later, *earlier))
    )


def _change(rule: str, before: Profile, after: Profile) -> Change:
    """Return a finding's change; it is neither gone nor new if the rule could not judge in one of the runs."""
    shares = [{finding.rule: finding.share for finding in profile.findings}.get(rule) for profile in (before, after)]
    for profile, share in zip((before, after), shares, strict=True):
        if share is None and (profile.steps is None or any(one.rule == rule for one in profile.abstained)):
            return "not judged"
    one, two = shares
    if one is None:
        return "new"
    if two is None:
        return "gone"
    if abs(two - one) < SHARE_CHANGE:
        return "same"
    return "more" if two > one else "less"


def _differ(one: float | None, two: float | None) -> bool:
    """Return whether two batches differ; a short last batch makes the mean a little smaller than the batch."""
    if one is None or two is None:
        return one is not two
    return abs(one - two) > SAME_BATCH * max(one, two)
