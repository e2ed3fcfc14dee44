"""Output of `tune --json` and `verify --json`: one contract, stable and versioned; every key is always there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...types import (
    TUNE_VERSION,
    Alternative,
    Failure,
    LimitStep,
    Objective,
    Recommendation,
    TrainingGain,
    Trial,
    TrialOutcome,
    TuneResult,
)
from ..json_contract import FAILURE, RATIO, chosen, command_json, finding_json, json_safe
from .next_steps import Next
from .verdict import verdict_of_tune

_VERDICT = ("status", "speedup", "low", "high", "rounds", "floor", "quality", "quality_evidence")

_OUTCOME = ("kind", "message", "samples_per_s", "peak_bytes", "set_up_s", "joules_per_sample")


def tune_json(result: TuneResult) -> dict[str, Any]:
    """Return the search as a dict for `json.dumps(…, allow_nan=False)`."""
    told = verdict_of_tune(result)
    return recommendation_json(
        result.recommendation,
        sentences=[told.sentence, *([told.evidence] if told.evidence else [])],
        following=told.next,
        baseline=result.trials[0].outcome if result.trials else None,
        objective=result.objective,
        trials=result.trials,
        limits=result.limits,
        files=result.files,
        failure=result.failure,
    )


def recommendation_json(
    found: Recommendation,
    *,
    sentences: Sequence[str] = (),
    following: Sequence[Next] = (),
    baseline: TrialOutcome | None = None,
    objective: Objective | None = None,
    trials: Sequence[Trial] = (),
    limits: Sequence[LimitStep] = (),
    files: Sequence[str] = (),
    failure: Failure | None = None,
) -> dict[str, Any]:
    """Return the same from its parts, for a verification without a search."""
    document = {
        "version": TUNE_VERSION,
        "command": command_json(found.command),
        "hardware": found.hardware,
        "config": found.config.as_dict(),
        "baseline": {name: getattr(baseline, name, None) for name in ("samples_per_s", "peak_bytes")},
        "objective": chosen(objective or Objective(), ("name", "unit")),
        "verdict": chosen(found.verdict, _VERDICT),
        "sentences": sentences,
        "next": following,
        "training": _training(found.training),
        "by_knob": {name: chosen(gain, RATIO) for name, gain in found.by_knob.items()},
        "findings": [finding_json(finding) for finding in found.findings],
        "limits": [_limit(step) for step in limits],
        "alternatives": [_alternative(other) for other in found.alternatives],
        "trials": [_trial(trial) for trial in trials],
        "files": files,
        "skipped": found.skipped,
        "failure": chosen(failure, FAILURE),
    }
    safe: dict[str, Any] = json_safe(document)
    return safe


def _alternative(other: Alternative) -> dict[str, Any]:
    """Return an alternative; the action it needs from the user is added to the evidence on its quality."""
    known = [text.rstrip(".") for text in (other.verdict.quality_evidence, other.note) if text]
    return {
        "changes": other.changes,
        "config": other.config.as_dict(),
        "verdict": chosen(replace(other.verdict, quality_evidence="; ".join(known)), _VERDICT),
    }


def _training(gain: TrainingGain | None) -> dict[str, Any] | None:
    """Return the gain over the whole training, with its length; None if that is not known."""
    if gain is None:
        return None
    length = gain.length
    return {"updates": length.updates, "epochs": length.epochs, "source": length.source, "speedup": gain.speedup}


def _limit(step: LimitStep) -> dict[str, Any]:
    """Return what limited the best configuration at one moment; the profile says it of the baseline."""
    return {
        "config": step.config.as_dict(),
        "ratio": chosen(step.ratio, RATIO),
        "findings": [finding_json(finding) for finding in step.findings],
        "opened": list(step.opened),
    }


def _trial(trial: Trial) -> dict[str, Any]:
    """Return a trial; its `tier` is found by trying, so it is part of the outcome."""
    return {
        "number": trial.number,
        "config": trial.config.as_dict(),
        "reason": trial.reason,
        "outcome": {**{name: getattr(trial.outcome, name) for name in _OUTCOME}, "tier": trial.effect},
        "ratio": trial.ratio,
    }
