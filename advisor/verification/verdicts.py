"""Verdict, one of five outcomes, from rounds of fresh processes and their losses."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Literal

from ..types import TrialOutcome, Verdict, VersionRun
from .parity import Parity
from .process import Process
from .rounds import LEAST_FLOOR, Rounds

Status = Literal["faster", "no significant gain", "slower", "undecided", "unverified"]


def verdict_of(rounds: Rounds, parity: Parity) -> Verdict:
    """Return the rounds' verdict on the settings; without a whole round they are unverified."""
    ratio = rounds.ratio
    if ratio is None:
        return unverified("no round of fresh processes finished")
    known = ratio.low is not None and ratio.high is not None
    return Verdict(
        status=_status(rounds),
        speedup=ratio.value,
        # A single pair has no interval: the true value may be anything.
        low=ratio.low if ratio.low is not None else 0.0,
        high=ratio.high if ratio.high is not None else math.inf,
        rounds=len(rounds.pairs),
        floor=ratio.floor if known else LEAST_FLOOR,
        quality=parity.quality,
        quality_evidence=parity.evidence,
        rounds_to_decide=rounds.rounds_to_decide,
        own_spread=rounds.own_spread,
    )


def _status(rounds: Rounds) -> Status:
    match rounds.status:
        case "faster" | "slower" as decided:
            return decided
        case "no difference":
            return "no significant gain"
        case "undecided":
            return "no significant gain" if rounds.no_gain else "undecided"


def unverified(why: str, *, broken: bool = False) -> Verdict:
    """Return a verdict that says nothing of the speed; `broken` if the script does not run with these settings."""
    return Verdict(
        status="unverified",
        speedup=1.0,
        low=1.0,
        high=1.0,
        rounds=0,
        floor=LEAST_FLOOR,
        quality="failed" if broken else "not checked",
        quality_evidence=why,
    )


def outcome_of(processes: Sequence[Process]) -> TrialOutcome:
    """Return samples/s, peak memory and set-up cost over these processes."""
    if not processes:
        return TrialOutcome(kind="stopped", message="none of its processes was measured")
    runs: list[VersionRun] = [process.run for process in processes]
    samples = [run.samples for run in runs]
    known = [count for count in samples if count is not None]
    peaks = [process.peak_bytes for process in processes if process.peak_bytes is not None]
    set_up_s = [process.set_up_s for process in processes if process.set_up_s is not None]
    return TrialOutcome(
        kind="measured",
        samples_per_s=sum(known) / sum(run.seconds for run in runs) if len(known) == len(runs) else None,
        # The median: now and then a process is given more than it needs.
        peak_bytes=statistics.median_low(peaks) if peaks else None,
        set_up_s=max(set_up_s, default=None),
    )
