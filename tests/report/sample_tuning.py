"""Searches as real scripts would give them: every status of a verdict, and the shapes that a report must cope with."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from advisor.types import (
    Alternative,
    Config,
    Failure,
    Finding,
    KnobSpace,
    LimitStep,
    Objective,
    Profile,
    Ratio,
    Recommendation,
    SettingValue,
    Skipped,
    Trial,
    TrialOutcome,
    TuneResult,
    Verdict,
)

from . import sample
from .sample import GIB, MIB

BASE_RATE = 542.0
WINNER = {"num_workers": 4, "precision": "bf16"}
LARGER = {"global_batch": 256, "num_workers": 4, "precision": "bf16"}


def ratio(speedup: float, spread: float = 0.04, rounds: int = 3) -> Ratio:
    return Ratio(speedup=speedup, low=speedup * (1 - spread), high=speedup * (1 + spread), rounds=rounds)


def measured(
    number: int,
    settings: Mapping[str, SettingValue],
    speedup: float,
    *,
    effect: str = "numerics",
    peak_bytes: int | None = 1312 * MIB,
    reason: str = "suggested by TPE from the trials so far",
    set_up_s: float | None = None,
) -> Trial:
    return Trial(
        number=number,
        config=Config.of(settings),
        reason=reason,
        effect=effect,
        outcome=TrialOutcome(
            kind="measured", samples_per_s=BASE_RATE * speedup, peak_bytes=peak_bytes, set_up_s=set_up_s
        ),
        ratio=ratio(speedup) if settings else Ratio(speedup=1.0, low=1.0, high=1.0, rounds=1),
    )


def failed(
    number: int, settings: Mapping[str, SettingValue], kind: Any, message: str, effect: str = "numerics"
) -> Trial:
    return Trial(
        number=number,
        config=Config.of(settings),
        reason="suggested by TPE from the trials so far",
        effect=effect,
        outcome=TrialOutcome(kind=kind, message=message),
    )


TRIALS = (
    measured(0, {}, 1.0, effect="exact", reason="baseline"),
    measured(1, {"num_workers": 4}, 2.05, effect="resampled", reason="num_workers alone: input_bound suggests it"),
    measured(2, {"precision": "bf16"}, 1.12, reason="precision alone: low_mfu could not judge", peak_bytes=1101 * MIB),
    failed(3, {"global_batch": 512}, "oom", "RuntimeError: can't allocate memory: 12.4 GiB", "training"),
    measured(4, {"num_workers": 8}, 1.88, effect="resampled", peak_bytes=1480 * MIB),
    measured(5, WINNER, 2.38, reason="the helpful settings together", peak_bytes=1150 * MIB),
    measured(6, LARGER, 3.05, effect="training", reason="the helpful settings together", peak_bytes=2210 * MIB),
    failed(7, {"micro_batch": 48}, "crash", "RuntimeError: shape '[64, 512]' is invalid for input of size 24576"),
)
VERDICT = Verdict(
    status="faster",
    speedup=2.31,
    low=2.19,
    high=2.44,
    rounds=5,
    floor=0.02,
    quality="passed",
    quality_evidence="losses over 60 updates differ by at most 0.4%, other seeds differ by up to 3.1%",
)
SKIPPED = (
    Skipped(what="pin_memory", why="there is no accelerator to copy to"),
    Skipped(what="cudnn_benchmark", why="there is no CUDA device"),
    Skipped(what="memory_format", why="no finding suggests it"),
)


IN_FULL_PRECISION = Finding(
    rule="precision_unused",
    severity="warning",
    share=0.31,
    evidence="Forward and backward run in float32 and take 88% of the loop; this CPU has instructions for bf16.",
    advice="Use `torch.autocast`.",
    knobs=("precision",),
)


def recommendation(profile: Profile, settings: Mapping[str, SettingValue], verdict: Verdict) -> Recommendation:
    return Recommendation(
        command=profile.command,
        hardware=profile.hardware,
        config=Config.of(settings),
        verdict=verdict,
        findings=profile.findings,
        skipped=SKIPPED,
    )


def faster() -> TuneResult:
    """Proven in fresh processes, with a larger batch beside it."""
    profile = sample.input_bound()
    larger = replace(VERDICT, speedup=2.97, low=2.71, high=3.22, quality="not checked", quality_evidence="")
    note = (
        "training changes, and the time to the same loss was not checked; with k = 4 times the batch "
        "the learning rate is multiplied by the square root of k (Adam and similar optimizers)"
    )
    found = replace(
        recommendation(profile, WINNER, VERDICT),
        by_knob={"precision": ratio(1.13), "num_workers": ratio(2.02)},
        alternatives=(Alternative(changes="training", config=Config.of(LARGER), verdict=larger, note=note),),
    )
    return TuneResult(
        profile=profile,
        trials=TRIALS,
        recommendation=found,
        files=("advisor.yaml",),
        importances={"num_workers": 0.71, "precision": 0.18, "global_batch": 0.11},
        limits=(
            LimitStep(
                config=Config.of({"num_workers": 4}),
                ratio=ratio(2.05),
                findings=(IN_FULL_PRECISION,),
                opened=("precision",),
            ),
            LimitStep(config=Config.of(WINNER), ratio=ratio(2.38), findings=()),
        ),
        run_folder="",
    )


def unproven() -> TuneResult:
    """Clear in the windows of the search; the time ended before fresh processes could decide."""
    base = faster()
    verdict = replace(VERDICT, status="unproven", rounds=3, quality="not checked", quality_evidence="")
    return replace(base, recommendation=replace(base.recommendation, verdict=verdict, alternatives=(), by_knob={}))


def no_gain() -> TuneResult:
    """Verified, and nothing came of it: the script as written comes out."""
    profile = sample.healthy()
    verdict = Verdict(status="no significant gain", speedup=1.01, low=0.98, high=1.04, rounds=10, floor=0.02)
    return TuneResult(
        profile=profile,
        trials=(TRIALS[0], measured(1, {"threads": 4}, 1.03), measured(2, {"fused_optimizer": "fused"}, 1.01)),
        recommendation=recommendation(profile, {}, verdict),
        files=("advisor.yaml",),
    )


NOTHING_COMPARED = Verdict(status="undecided", speedup=1.0, low=0.0, high=math.inf, rounds=0, floor=0.05)


def nothing_tried() -> TuneResult:
    """No finding points to anything that can be set."""
    base = no_gain()
    found = recommendation(base.profile, {}, NOTHING_COMPARED)
    return replace(base, trials=TRIALS[:1], recommendation=found, budget_s=120.0)


def no_time_to_try() -> TuneResult:
    return replace(nothing_tried(), space=dry_run().space)


def bounded() -> TuneResult:
    """Compared in windows, and none of it can be a gain that counts."""
    base = no_gain()
    verdict = Verdict(status="no significant gain", speedup=1.0, low=0.99, high=1.06, rounds=0, floor=0.05)
    return replace(base, recommendation=recommendation(base.profile, {}, verdict))


def unclear() -> TuneResult:
    """Compared in windows that scatter too much."""
    base = no_gain()
    verdict = replace(NOTHING_COMPARED, low=0.8, high=1.9)
    wide = replace(base.trials[1], ratio=Ratio(speedup=1.2, low=0.8, high=1.9, rounds=2))
    trials = (base.trials[0], wide, base.trials[2])
    return replace(base, trials=trials, recommendation=recommendation(base.profile, {}, verdict), budget_s=600.0)


def dry_run() -> TuneResult:
    """The space was opened, and nothing tried."""
    base = faster()
    found = replace(recommendation(base.profile, {}, NOTHING_COMPARED), notes=("a dry run: nothing was tried",))
    space = (
        KnobSpace(
            id="num_workers",
            values=(2, 4, 8),
            effect="resampled",
            scope="live",
            opened_by="input_bound could not judge",
            may_close="input_bound could not judge; where it can, it may find no such cost",
        ),
        KnobSpace(
            id="global_batch", values=(128,), effect="training", scope="launch", opened_by="overhead_bound suggests it"
        ),
    )
    return replace(base, trials=base.trials[:1], recommendation=found, space=space, files=(), importances={}, limits=())


def slower() -> TuneResult:
    base = no_gain()
    verdict = Verdict(status="slower", speedup=0.91, low=0.88, high=0.94, rounds=3, floor=0.02)
    return replace(base, recommendation=recommendation(base.profile, {}, verdict))


def undecided() -> TuneResult:
    base = no_gain()
    verdict = Verdict(
        status="undecided",
        speedup=1.06,
        low=0.99,
        high=1.13,
        rounds=10,
        floor=0.02,
        rounds_to_decide=24,
        own_spread=0.07,
    )
    return replace(base, recommendation=recommendation(base.profile, {"threads": 4}, verdict))


def broken_quality() -> TuneResult:
    """Fast, and wrong."""
    base = faster()
    verdict = replace(VERDICT, quality="failed", quality_evidence="the loss was NaN from update 31 on")
    return replace(base, recommendation=replace(base.recommendation, verdict=verdict))


def not_held() -> TuneResult:
    """The search's best was fast and wrong in fresh processes, and is not what comes out."""
    base = broken_quality()
    verdict = base.recommendation.verdict
    left = (Skipped(what="num_workers=4, precision=bf16", why=verdict.quality_evidence), *SKIPPED)
    found = replace(recommendation(base.profile, {}, verdict), skipped=left)
    return replace(base, recommendation=found)


def not_proven() -> TuneResult:
    """The search's best did not run in a fresh process."""
    base = not_held()
    nothing = Verdict(
        status="unverified",
        speedup=1.0,
        low=1.0,
        high=1.0,
        rounds=0,
        floor=0.02,
        quality="failed",
        quality_evidence="the script raised RuntimeError with these settings",
    )
    return replace(base, recommendation=replace(base.recommendation, verdict=nothing))


def nothing_decides() -> TuneResult:
    """One pair of processes has no interval, and the script as written comes out."""
    base = undecided()
    verdict = replace(
        base.recommendation.verdict, low=0.0, high=math.inf, rounds=1, rounds_to_decide=None, own_spread=None
    )
    return replace(base, recommendation=recommendation(base.profile, {}, verdict))


def on_device() -> TuneResult:
    """On a GPU, with a model that is compiled, and fp16."""
    profile = sample.gpu_transformer()
    settings: dict[str, SettingValue] = {"compile": "default", "precision": "bf16", "micro_batch": 16}
    trials = (
        replace(TRIALS[0], outcome=replace(TRIALS[0].outcome, peak_bytes=74 * GIB)),
        measured(1, {"precision": "bf16"}, 2.6, peak_bytes=51 * GIB),
        measured(2, {"compile": "default"}, 1.3, peak_bytes=70 * GIB, set_up_s=21.0),
        measured(3, settings, 3.4, peak_bytes=33 * GIB, set_up_s=23.5),
    )
    found = replace(
        recommendation(profile, settings, replace(VERDICT, speedup=3.4, low=3.3, high=3.5)),
        by_knob={"compile": ratio(1.25), "precision": ratio(2.5), "micro_batch": ratio(0.98)},
    )
    return TuneResult(profile=profile, trials=trials, recommendation=found, files=("out/advisor.yaml", "ds.json"))


def for_memory() -> TuneResult:
    """The smallest peak was what was looked for."""
    base = on_device()
    settings: dict[str, SettingValue] = {"activation_checkpointing": True}
    trials = (*base.trials, measured(4, settings, 0.97, effect="exact", peak_bytes=31 * GIB))
    verdict = replace(VERDICT, status="no significant gain", speedup=0.97, low=0.95, high=0.99)
    return replace(
        base,
        trials=trials,
        recommendation=recommendation(base.profile, settings, verdict),
        objective=Objective(name="memory", unit="bytes"),
    )


def crashed() -> TuneResult:
    """The script ended before anything was searched."""
    profile = sample.crashed()
    assert profile.failure is not None
    return TuneResult(
        profile=profile,
        trials=(),
        recommendation=recommendation(profile, {}, replace(VERDICT, status="unverified", rounds=0, speedup=1.0)),
        failure=profile.failure,
    )


def killed_at_once() -> TuneResult:
    """Nothing is known but that it failed."""
    base = crashed()
    profile = replace(sample.nothing_measured(), failure=None)
    return replace(base, profile=profile, failure=Failure(kind="hang", message="nothing happened for 120 s"))


def long_search(count: int = 240) -> TuneResult:
    """More trials than a screen holds, one in seven of them without a result."""
    noise = random.Random(4)
    trials = list(TRIALS[:1])
    for number in range(1, count):
        settings: dict[str, SettingValue] = {"num_workers": number % 9, "prefetch_factor": 2 + number % 7}
        if number % 7 == 3:
            trials.append(failed(number, settings, ("oom", "crash", "hang", "nan", "stopped")[number % 5], "it ended"))
            continue
        speedup = 1 + 1.3 * noise.random() * (1 - 0.5 / number)
        trials.append(measured(number, settings, speedup, peak_bytes=int((1.2 + noise.random()) * GIB)))
    return replace(faster(), trials=tuple(trials), limits=())


ALL = {
    "faster": faster,
    "unproven": unproven,
    "no_time_to_try": no_time_to_try,
    "bounded": bounded,
    "unclear": unclear,
    "no_gain": no_gain,
    "nothing_tried": nothing_tried,
    "dry_run": dry_run,
    "slower": slower,
    "undecided": undecided,
    "broken_quality": broken_quality,
    "not_held": not_held,
    "not_proven": not_proven,
    "nothing_decides": nothing_decides,
    "on_device": on_device,
    "for_memory": for_memory,
    "crashed": crashed,
    "killed_at_once": killed_at_once,
    "long_search": long_search,
}
