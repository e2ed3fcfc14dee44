"""Output of `tune --json` and `verify --json`: one contract, stable and versioned; every key is always there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...types import (
    TUNE_VERSION,
    Alternative,
    Failure,
    Objective,
    Ratio,
    Recommendation,
    Trial,
    TrialOutcome,
    TuneResult,
    Verdict,
)
from ..json_contract import command_json, finding_json, json_safe

_VERDICT = ("status", "speedup", "low", "high", "rounds", "floor", "quality", "quality_evidence")


def tune_json(result: TuneResult) -> dict[str, Any]:
    """Return the search as a dict for `json.dumps(…, allow_nan=False)`."""
    return recommendation_json(
        result.recommendation,
        baseline=result.trials[0].outcome if result.trials else None,
        objective=result.objective,
        trials=result.trials,
        files=result.files,
        failure=result.failure,
    )


def recommendation_json(
    found: Recommendation,
    *,
    baseline: TrialOutcome | None = None,
    objective: Objective | None = None,
    trials: Sequence[Trial] = (),
    files: Sequence[str] = (),
    failure: Failure | None = None,
) -> dict[str, Any]:
    """Return the same from its parts, for a verification without a search."""
    looked_for = objective or Objective()
    document = {
        "version": TUNE_VERSION,
        "command": command_json(found.command),
        "hardware": found.hardware,
        "config": found.config.as_dict(),
        "baseline": {
            "samples_per_s": baseline.samples_per_s if baseline else None,
            "peak_bytes": baseline.peak_bytes if baseline else None,
        },
        "objective": {"name": looked_for.name, "unit": looked_for.unit},
        "verdict": _verdict(found.verdict),
        "by_knob": _by_knob(found.by_knob),
        "findings": [finding_json(finding) for finding in found.findings],
        "alternatives": [_alternative(other) for other in found.alternatives],
        "trials": [_trial(trial) for trial in trials],
        "files": files,
        "skipped": found.skipped,
        "failure": None
        if failure is None
        else {"kind": failure.kind, "message": failure.message, "stderr_tail": failure.stderr_tail},
    }
    safe: dict[str, Any] = json_safe(document)
    return safe


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {name: getattr(verdict, name) for name in _VERDICT}


def _by_knob(gains: Mapping[str, Ratio]) -> dict[str, Any]:
    return {name: {"speedup": one.speedup, "low": one.low, "high": one.high} for name, one in gains.items()}


def _alternative(other: Alternative) -> dict[str, Any]:
    """Return an alternative; the action it needs from the user is added to the evidence on its quality."""
    verdict = _verdict(other.verdict)
    known = [text.rstrip(".") for text in (other.verdict.quality_evidence, other.note) if text]
    return {
        "changes": other.changes,
        "config": other.config.as_dict(),
        "verdict": {**verdict, "quality_evidence": "; ".join(known)},
    }


def _trial(trial: Trial) -> dict[str, Any]:
    """Return a trial; its `tier` is found by trying, so it is part of the outcome."""
    outcome = trial.outcome
    return {
        "number": trial.number,
        "config": trial.config.as_dict(),
        "reason": trial.reason,
        "outcome": {
            "kind": outcome.kind,
            "message": outcome.message,
            "samples_per_s": outcome.samples_per_s,
            "peak_bytes": outcome.peak_bytes,
            "set_up_s": outcome.set_up_s,
            "joules_per_sample": outcome.joules_per_sample,
            "tier": trial.tier,
        },
        "ratio": trial.ratio,
    }
