"""From what a search recommends to what fresh processes bear out; called by `tuning.tune`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .errors import AdvisorError
from .types import Alternative, Config, Ratio, Recommendation, Skipped, Verdict
from .verifying import Finalist, verify_configs, winner

if TYPE_CHECKING:
    from .search import Goal
    from .searching import Hunt
    from .session import Limits
    from .types import Verification, VerifiedConfig

LEAST_PROCESSES = 2
"""One of each; a single pair has no interval yet, but tells whether the settings hold."""
BY_SPEED = ("throughput", "cost")
"""Objectives that what is faster serves best."""
LATE = 0.05
"""Of the budget, that the last process may overrun it by: half of what is promised."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The recommendation with what was borne out of it, and how that ended."""

    recommendation: Recommendation
    interrupted: BaseException | None = None


def prove(hunt: Hunt, found: Recommendation, *, limits: Limits, trackers_offline: bool) -> Proof:
    """Verify the finalists of a search within what is left of its budget.

    What is faster is recommended with the verdict on it; where nothing is, the script as written. What there was no
    time for stays unproven.
    """
    hoped = found if found.config.settings else _hoped(hunt, found)
    finalists, budget_s = _finalists(hunt, hoped), hunt.rest_s + LATE * hunt.order.budget_s
    if not hunt.order.verify or not finalists:
        return Proof(recommendation=found)
    if budget_s < LEAST_PROCESSES * hunt.process_s():
        return Proof(recommendation=_with_notes(found, "no time was left to verify it in fresh processes"))
    try:
        verification = verify_configs(
            hunt.order.command,
            finalists,
            hardware=hunt.found.hardware,
            run_folder=hunt.run.path,
            tier=hunt.tier,
            limits=limits,
            budget_s=budget_s,
            trackers_offline=trackers_offline,
            progress=hunt.progress,
        )
    except AdvisorError as error:
        return Proof(recommendation=_with_notes(found, f"it could not be verified: {error}"))
    main = verification.of(hoped.config)
    begun = hoped if main is not None and main.outcome.kind != "stopped" else found
    proven = _proven(begun, verification, hunt.order.asked.goal)
    carried = hunt.study.space.command_line.arguments(proven.config)
    return Proof(recommendation=replace(proven, carried=carried), interrupted=verification.interrupted)


def _hoped(hunt: Hunt, found: Recommendation) -> Recommendation:
    """Where windows scattered too much to recommend anything, the best of the search may still be a gain: what there is
    time for is proven all the same."""
    from .search import KEEPS_TRAINING

    known, floor = hunt.study.known, hunt.order.settings.floor
    if hunt.order.asked.goal.name not in BY_SPEED:
        return found
    for config, standing in known.standings().items():
        if standing.score >= 1 + floor and known.space.tier(config) in KEEPS_TRAINING:
            return replace(found, config=config, by_knob=known.by_knob(config) if config == known.winner() else {})
    return found


def _finalists(hunt: Hunt, found: Recommendation) -> list[Finalist]:
    """What is recommended, the alternatives, and the cheapest that is as good: the last is left out first."""
    from .search import finalists

    known = hunt.study.known
    configs = [found.config] if found.config.settings else []
    configs += [other.config for other in found.alternatives]
    if found.config.settings and hunt.order.asked.goal.name in BY_SPEED:
        cheap = finalists.cheapest(found.config, known.standings(), by_knob=found.by_knob, tier=known.space.tier)
        configs += [cheap] if cheap is not None else []
    return [_finalist(hunt, config) for config in dict.fromkeys(configs)]


def _finalist(hunt: Hunt, config: Config) -> Finalist:
    space = hunt.study.space
    carried = space.command_line.arguments(config)
    flags = {flag: value for arguments in carried.values() for flag, value in arguments.items()}
    return Finalist(config=config, tier=space.tier(config), arguments=flags, carried=frozenset(carried))


def _proven(found: Recommendation, verification: Verification, goal: Goal) -> Recommendation:
    """What comes out, by what the search looked for."""
    others = {other.config for other in found.alternatives}
    candidates = [one for one in verification.configs if one.config not in others]
    first = next((one for one in candidates if one.config == found.config), None)
    found = _with_notes(found, *verification.notes)
    if first is None:
        config, verdict = found.config, found.verdict
    elif first.outcome.kind == "stopped":
        return _with_notes(found, f"{first.outcome.message}")
    elif _unfinished(found, first, verification):
        config, verdict = found.config, _still_unproven(found.verdict, first.verdict)
        found = _with_notes(found, _rounds_so_far(first.verdict))
    else:
        out = winner(candidates) if goal.name in BY_SPEED else _held(first, verification, goal)
        config, verdict = (out.config, out.verdict) if out is not None else (Config(), first.verdict)
    kept, dropped = _alternatives(found, verification, verdict)
    left = () if first is None or config.settings else (Skipped(what=_told(found.config), why=_why(first.verdict)),)
    return replace(
        found,
        config=config,
        verdict=verdict,
        by_knob={name: found.by_knob[name] for name, _value in config.settings if name in found.by_knob},
        alternatives=tuple(kept),
        skipped=(*left, *dropped, *found.skipped),
    )


def _unfinished(found: Recommendation, first: VerifiedConfig, verification: Verification) -> bool:
    """Whether a gain that was clear in windows is still open because the time ended, and nothing speaks against it."""
    verdict = first.verdict
    cut_short = bool(verification.skipped) or verification.interrupted is not None
    open_still = verdict.status == "undecided" and verdict.quality != "failed"
    agrees = verdict.speedup > 1 + found.verdict.floor and verdict.high >= found.verdict.low
    return found.verdict.status == "unproven" and cut_short and open_still and agrees


def _still_unproven(in_windows: Verdict, in_processes: Verdict) -> Verdict:
    """The gain as the windows showed it, with what fresh processes have shown besides."""
    return replace(
        in_windows,
        quality=in_processes.quality,
        quality_evidence=in_processes.quality_evidence,
        rounds_to_decide=in_processes.rounds_to_decide,
        own_spread=in_processes.own_spread,
    )


def _rounds_so_far(verdict: Verdict) -> str:
    rounds = f"{verdict.rounds} round{'s' if verdict.rounds != 1 else ''} of fresh processes so far"
    if math.isfinite(verdict.high):
        return f"{rounds}: {verdict.low:.3g} to {verdict.high:.3g} times as fast"
    return f"{rounds}: {verdict.speedup:.3g} times as fast"


def _held(one: VerifiedConfig, verification: Verification, goal: Goal) -> VerifiedConfig | None:
    """Where speed is not what was looked for: it must not break anything, and keep what it was chosen for."""
    verdict = one.verdict
    if verdict.quality == "failed" or not verdict.rounds:
        return None
    ratio = Ratio(speedup=verdict.speedup, low=verdict.low, high=verdict.high, rounds=verdict.rounds)
    before, after = verification.baseline.peak_bytes, one.outcome.peak_bytes
    larger = goal.name == "memory" and before is not None and after is not None and after >= before
    return one if goal.admits(ratio) and not larger else None


def _alternatives(
    found: Recommendation, verification: Verification, verdict: Verdict
) -> tuple[list[Alternative], list[Skipped]]:
    """Those that are faster than what comes out, or that there was no time for; and the others with the reason."""
    kept, dropped = [], []
    beaten = verdict.speedup if verdict.status == "faster" else 1.0
    for other in found.alternatives:
        one = verification.of(other.config)
        if one is None or one.outcome.kind == "stopped":
            kept.append(other)
        elif one.stands and one.verdict.speedup > beaten:
            kept.append(replace(other, verdict=one.verdict))
        else:
            dropped.append(Skipped(what=_told(other.config), why=_why(one.verdict)))
    return kept, dropped


def _why(verdict: Verdict) -> str:
    """Why a finalist does not come out."""
    if verdict.quality == "failed":
        return verdict.quality_evidence
    rounds = f"in {verdict.rounds} rounds of fresh processes"
    between = f"{verdict.low:.3g} to {verdict.high:.3g}"
    # What is undecided has no estimate that anyone should quote.
    if verdict.status == "undecided":
        told = f"{between} times as fast {rounds}" if math.isfinite(verdict.high) else rounds
    else:
        told = f"{verdict.speedup:.3g} times as fast {rounds} ({between})"
    return f"{verdict.status}: {told}" if verdict.rounds else verdict.quality_evidence


def _told(config: Config) -> str:
    from .search import told

    return told(config)


def _with_notes(found: Recommendation, *notes: str) -> Recommendation:
    return replace(found, notes=(*found.notes, *_new(found, notes)))


def _new(found: Recommendation, notes: tuple[str, ...]) -> Iterator[str]:
    return (note for note in notes if note not in found.notes)
