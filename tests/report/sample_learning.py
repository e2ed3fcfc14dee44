"""Searches by losses as real scripts would give them."""

from __future__ import annotations

import math
from dataclasses import replace

from advisor.types import (
    Config,
    Failure,
    LearningPair,
    LearningResult,
    LearningTrial,
    LearningVerdict,
    LossCurve,
    Recommendation,
    Skipped,
    Verdict,
)

from . import sample

SETTINGS = {"learning_rate": 0.1, "lr_schedule": "cosine", "warm_up_fraction": 0.05}


def curve(speed: float, *, updates: int = 900, update_s: float = 0.02) -> LossCurve:
    at = tuple(range(30, updates + 1, 30))
    return LossCurve(
        updates=at,
        seconds=tuple(update_s * update for update in at),
        losses=tuple(0.1 + 2.2 * math.exp(-3 * speed * update / updates) for update in at),
        samples=tuple(32 * update for update in at),
    )


def pair(seed: int) -> LearningPair:
    return LearningPair(
        seed=seed,
        target=0.22,
        baseline_s=17.4,
        candidate_s=5.8 + 0.2 * seed,
        baseline_loss=0.22,
        candidate_loss=0.105,
        baseline=curve(1.0),
        candidate=curve(3.0),
    )


def trial(number: int, rate: float, rung: int, loss: float | None, **changes: object) -> LearningTrial:
    found = LearningTrial(
        number=number,
        settings={"learning_rate": rate},
        reason="rate × 3",
        rung=rung,
        updates=(100, 300, 900)[rung],
        end="measured",
        end_loss=loss,
        baseline_loss=1.9,
        seconds=2.0,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def faster() -> LearningResult:
    profile = replace(sample.healthy(), findings=(), windows=())
    verdict = LearningVerdict(
        status="faster",
        pairs=(pair(1), pair(2), pair(3)),
        speedup=2.8,
        low=2.1,
        high=3.7,
        reached=3,
        change=-0.115,
        change_low=-0.13,
        change_high=-0.1,
        seeds_differ=0.004,
        why="the loss at the end changes by -0.115 (-0.13 to -0.1)",
    )
    return LearningResult(
        profile=profile,
        objective="time_to_loss",
        horizon="900 updates",
        horizon_updates=900,
        horizon_s=18.0,
        loss="validation loss",
        target=0.22,
        trials=(
            trial(1, 0.03, 0, 1.2),
            trial(2, 0.3, 0, None, end="nan", message="the loss was not finite in 90 of the 100 updates counted"),
            trial(3, 0.1, 1, 0.5),
            trial(4, 0.1, 2, 0.105, settings=SETTINGS, to_target_s=6.0, curve=curve(3.0)),
        ),
        verdict=verdict,
        recommendation=Recommendation(
            command=profile.command,
            hardware=profile.hardware,
            config=Config.of(SETTINGS),
            verdict=Verdict(status="faster", speedup=2.8, low=2.1, high=3.7, rounds=3, floor=0.05, quality="passed"),
        ),
        baseline=curve(1.0),
        best=SETTINGS,
        best_updates=900,
        skipped=(Skipped(what="weight_decay", why="left alone, as requested"),),
        files=("advisor.yaml",),
        ended="all planned trainings were run",
    )


def loses_at_the_end() -> LearningResult:
    found = faster()
    verdict = replace(
        found.verdict,
        status="loses at the end",
        change=0.2,
        why="ahead on the way, but the loss at the end changes by +0.2 (+0.1 to +0.3)",
    )
    return replace(found, verdict=verdict, recommendation=replace(found.recommendation, config=Config()), files=())


def better_at_a_time() -> LearningResult:
    found = faster()
    return replace(
        found, objective="loss_at_time", horizon="5m", target=None, verdict=replace(found.verdict, status="better")
    )


def overfits() -> LearningResult:
    found = faster()
    verdict = replace(found.verdict, why="the lowest loss changes by -0.115 (-0.13 to -0.1)")
    return replace(
        found,
        judged_by="lowest",
        verdict=verdict,
        notes=("its validation loss is lowest after 300 updates (0.22) and rises to 0.41 within the --horizon",),
    )


def nothing_better() -> LearningResult:
    found = faster()
    verdict = LearningVerdict(status="unverified", why="nothing was compared in fresh processes")
    return replace(found, best={}, verdict=verdict, ended="no candidate was better at the end", files=())


def refused() -> LearningResult:
    found = nothing_better()
    return replace(
        found,
        trials=(),
        baseline=None,
        target=None,
        horizon_updates=0,
        ended="",
        failure=Failure(kind="refused", message="2 optimizers step alternately"),
    )
