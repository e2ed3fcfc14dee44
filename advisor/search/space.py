"""What a search may try: the knobs that the diagnosis opens, with their values; and why the others are closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .. import knobs, rules
from ..types import Abstention, Config, Diagnosis, Finding, Hardware, SettingValue, Skipped, Workload

KEEPS_TRAINING = ("exact", "resampled", "numerics")
"""Tiers whose settings leave the training what it is."""


@dataclass(frozen=True, kw_only=True)
class OpenKnob:
    id: str
    values: tuple[SettingValue, ...]
    """Worth trying, the most promising first; the script's own is not among them."""
    tier: str
    opened_by: str
    """The finding that points to it."""


@dataclass(frozen=True, kw_only=True)
class Space:
    knobs: tuple[OpenKnob, ...]
    """The one that fixing can give most stands first."""
    closed: tuple[Skipped, ...] = ()

    def tier(self, config: Config) -> str:
        """The least mild tier among the settings; `exact` for the script as written."""
        tiers = {knob.id: knob.tier for knob in self.knobs}
        found = [tiers[name] for name, _value in config.settings]
        return max(found, key=knobs.TIERS.index, default="exact")

    @property
    def size(self) -> int:
        """Configurations, the script as written among them."""
        product = 1
        for knob in self.knobs:
            product *= len(knob.values) + 1
        return product


def open_space(hardware: Hardware, workload: Workload, diagnosis: Diagnosis) -> Space:
    """The knobs that a finding names, or that a rule without a verdict would name, in the order of the findings."""
    opened, closed = [], []
    reasons = _reasons(diagnosis.findings, diagnosis.abstained)
    for knob in knobs.all_knobs():
        values = knob.values(hardware, workload)
        if values.why_closed is not None:
            closed.append(Skipped(what=knob.id, why=values.why_closed))
        elif knob.id not in reasons:
            closed.append(Skipped(what=knob.id, why="no finding points to it"))
        else:
            opened.append(
                OpenKnob(
                    id=knob.id, values=values.values, tier=knob.tier(hardware, workload), opened_by=reasons[knob.id]
                )
            )
    order = list(reasons)
    return Space(knobs=tuple(sorted(opened, key=lambda knob: order.index(knob.id))), closed=tuple(closed))


def _reasons(findings: Sequence[Finding], abstained: Sequence[Abstention]) -> Mapping[str, str]:
    """Knob → why it is open; what a finding names comes before what a rule could not judge."""
    reasons: dict[str, str] = {}
    for finding in findings:
        for name in finding.knobs:
            reasons.setdefault(name, f"{finding.rule} points to it")
    for abstention in abstained:
        for name in rules.get(abstention.rule).knobs:
            reasons.setdefault(name, f"{abstention.rule} could not judge")
    return reasons
