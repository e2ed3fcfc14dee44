"""Verification of a search's recommendation in fresh processes; called by `workflows.tune`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import AdvisorError
from ..plural import plural
from ..types import Alternative, Config, Ratio, Recommendation, Skipped, Verdict
from ..verification.verification_run import Expected, Finalist, verify_configs, winner

if TYPE_CHECKING:
    from ..search import Goal
    from ..types import Verification, VerifiedConfig
    from .search_run import SearchRun

LEAST_PROCESSES = 2
"""One of each side; a single pair has no interval yet, but shows whether the settings work."""
MOST_SPREAD = 4.0
"""Upper over lower end of an interval that bounds a gain; of two rounds, it often spans a factor of ten and more."""
BY_SPEED = ("throughput", "cost")
"""Objectives that a faster configuration serves best."""
LATE = 0.05
"""Fraction of the budget by which the last process may overrun it: half of what is promised."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The recommendation after verification, and how the verification ended."""

    recommendation: Recommendation
    interrupted: BaseException | None = None


def prove(search_run: SearchRun, found: Recommendation) -> Proof:
    """Verify the finalists of a search within the rest of its budget.

    A faster configuration is recommended with its verdict; if none is faster, the baseline is. Anything that there was
    no time for stays unproven.
    """
    hoped = found if found.config.settings else _hoped(search_run, found)
    finalists, budget_s = _finalists(search_run, hoped), search_run.rest_s + LATE * (search_run.request.budget_s or 0.0)
    if not search_run.request.verify or not finalists:
        return Proof(recommendation=found)
    if budget_s < LEAST_PROCESSES * search_run.verification_cost.process_s:
        return Proof(recommendation=_with_notes(found, "no time was left to verify it in fresh processes"))
    try:
        verification = verify_configs(
            search_run.request.command,
            finalists,
            hardware=search_run.found.hardware,
            run_folder=search_run.run.path,
            isolation=search_run.isolation,
            options=search_run.options,
            budget_s=budget_s,
            expected=_expected(search_run, hoped),
            earlier=[search_run.run.path],
        )
    except AdvisorError as error:
        return Proof(recommendation=_with_notes(found, f"it could not be verified: {error}"))
    main = verification.of(hoped.config)
    proposed = hoped if main is not None and main.outcome.kind != "stopped" else found
    proven = _proven(proposed, verification, search_run.request.search.goal)
    line = search_run.study.space.command_line
    passed, constants = line.arguments(proven.config), line.constants(proven.config)
    proven = replace(proven, passed_as_arguments=passed, constants=constants)
    return Proof(recommendation=proven, interrupted=verification.interrupted)


def _expected(search_run: SearchRun, hoped: Recommendation) -> Expected:
    """Return what the search knows of the script: its needs, and a cautious guess of the gain.

    That is midway between the least gain that its windows show and the likeliest: long windows for the least of a wide
    interval leave no time for a second round, which says more.
    """
    from ..verification.footprint import Footprint

    verdict = hoped.verdict
    least = max(verdict.low, 1 + verdict.floor)
    return Expected(
        gain=math.sqrt(least * max(verdict.speedup, least)) if verdict.rounds else None,
        process_s=search_run.verification_cost.process_s or None,
        footprint=Footprint.of(search_run.session.result.script_runs),
    )


def _hoped(search_run: SearchRun, found: Recommendation) -> Recommendation:
    """Return the best of the search if windows scattered too much to recommend anything.

    It may still be a gain, so it is verified as far as there is time.
    """
    from ..search import KEEPS_TRAINING

    known, floor = search_run.study.known, search_run.request.settings.floor
    if search_run.request.search.goal.name not in BY_SPEED:
        return found
    for config, final_result in known.final_results().items():
        if final_result.score >= 1 + floor and known.space.effect(config) in KEEPS_TRAINING:
            by_knob = known.by_knob(config) if config == known.winner() else {}
            return replace(
                found, config=config, by_knob=by_knob, verdict=_of_windows(found.verdict, final_result.ratio)
            )
    return found


def _of_windows(verdict: Verdict, ratio: Ratio) -> Verdict:
    """Return the verdict by windows that show no loss, though less than what counts may be in their interval.

    A pair of fresh processes that agrees with them makes it a gain that more time would prove.
    """
    if ratio.low <= 1.0:
        return verdict
    low, high = ratio.low, ratio.high
    return replace(verdict, status="unproven", speedup=ratio.speedup, low=low, high=high, rounds=ratio.rounds)


def _finalists(search_run: SearchRun, found: Recommendation) -> list[Finalist]:
    """Return the recommended, the alternatives, and the cheapest that is as good, which is dropped first."""
    from ..search import finalists

    known = search_run.study.known
    configs = [found.config] if found.config.settings else []
    configs += [other.config for other in found.alternatives]
    if found.config.settings and search_run.request.search.goal.name in BY_SPEED:
        cheap = finalists.cheapest(
            found.config,
            known.final_results(),
            by_knob=found.by_knob,
            effect=known.space.effect,
            meaningful=known.space.meaningful,
        )
        configs += [cheap] if cheap is not None else []
    return [_finalist(search_run, config) for config in dict.fromkeys(configs)]


def _finalist(search_run: SearchRun, config: Config) -> Finalist:
    space = search_run.study.space
    passed, constants = space.command_line.arguments(config), space.command_line.constants(config)
    return Finalist(
        config=config,
        effect=space.effect(config),
        arguments={flag: value for arguments in passed.values() for flag, value in arguments.items()},
        constants={name: value for values in constants.values() for name, value in values.items()},
        passed_as_arguments=frozenset({*passed, *constants}),
    )


def _proven(found: Recommendation, verification: Verification, goal: Goal) -> Recommendation:
    """Return the verified recommendation, chosen by the search's objective."""
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
        chosen = winner(candidates) if goal.name in BY_SPEED else _held(first, verification, goal)
        config, verdict = (chosen.config, chosen.verdict) if chosen is not None else (Config(), first.verdict)
    kept, dropped = _alternatives(found, verification, verdict)
    left = () if first is None or config.settings else (Skipped(what=str(found.config), why=_why(first.verdict)),)
    return replace(
        found,
        config=config,
        verdict=verdict,
        by_knob={name: found.by_knob[name] for name, _value in config.settings if name in found.by_knob},
        alternatives=tuple(kept),
        skipped=(*left, *dropped, *found.skipped),
    )


def _unfinished(found: Recommendation, first: VerifiedConfig, verification: Verification) -> bool:
    """Return whether a gain that was clear in windows is still open only because the time ended."""
    verdict = first.verdict
    cut_short = bool(verification.skipped) or verification.interrupted is not None
    open_still = verdict.status == "undecided" and verdict.quality != "failed"
    agrees = verdict.speedup > 1 + found.verdict.floor and verdict.high >= found.verdict.low
    return found.verdict.status == "unproven" and cut_short and open_still and agrees


def _still_unproven(in_windows: Verdict, in_processes: Verdict) -> Verdict:
    """Return the gain shown by the windows, with the further results of fresh processes."""
    return replace(
        in_windows,
        quality=in_processes.quality,
        quality_evidence=in_processes.quality_evidence,
        rounds_to_decide=in_processes.rounds_to_decide,
        own_spread=in_processes.own_spread,
    )


def _rounds_so_far(verdict: Verdict) -> str:
    rounds = f"{plural(verdict.rounds, 'round')} of fresh processes so far"
    if not verdict.high <= MOST_SPREAD * verdict.low:
        return f"{rounds} cannot bound the gain yet: the next command runs more"
    return f"{rounds}: {verdict.low:.3g} to {verdict.high:.3g} times as fast"


def _held(one: VerifiedConfig, verification: Verification, goal: Goal) -> VerifiedConfig | None:
    """Return the configuration, for objectives other than speed, if it breaks nothing and keeps its advantage."""
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
    """Return alternatives that beat the result or had no time, and the others with the reason."""
    kept, dropped = [], []
    beaten = verdict.speedup if verdict.status == "faster" else 1.0
    for other in found.alternatives:
        one = verification.of(other.config)
        if one is None or one.outcome.kind == "stopped":
            kept.append(other)
        elif one.stands and one.verdict.speedup > beaten:
            kept.append(replace(other, verdict=one.verdict))
        else:
            dropped.append(Skipped(what=str(other.config), why=_why(one.verdict)))
    return kept, dropped


def _why(verdict: Verdict) -> str:
    """Return the reason why a finalist is not recommended."""
    if verdict.quality == "failed":
        return verdict.quality_evidence
    rounds = f"in {plural(verdict.rounds, 'round')} of fresh processes"
    between = f"{verdict.low:.3g} to {verdict.high:.3g}"
    # An undecided result has no estimate that anyone should quote.
    if verdict.status == "undecided":
        speed = f"{between} times as fast {rounds}" if math.isfinite(verdict.high) else rounds
    else:
        speed = f"{verdict.speedup:.3g} times as fast {rounds} ({between})"
    return f"{verdict.status}: {speed}" if verdict.rounds else verdict.quality_evidence


def _with_notes(found: Recommendation, *notes: str) -> Recommendation:
    return replace(found, notes=(*found.notes, *(note for note in notes if note not in found.notes)))
