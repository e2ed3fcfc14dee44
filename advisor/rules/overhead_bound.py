"""Steps too small on a CPU: calling the operators takes longer than what they compute."""

from __future__ import annotations

from ..types import Ceiling, Evidence, Severity, WhatIf
from ._base import Example, Hit, Judgement, Rule, Undecided
from ._examples import healthy_cpu, healthy_cuda, line, what_if
from ._read import (
    CALL_COST_S,
    compute_share,
    duration,
    loop_lines,
    overhead_fraction,
    percent,
    phase_share,
    step_share,
    total_share,
)

MIN_OVERHEAD = 0.30
"""Share of the update spent calling operators from which it is reported: a larger batch then gains what a verification
can show."""
UNPROVEN_OVERHEAD = 0.5
"""The same where no what-if could show it: the estimate of a call's cost may be a third too high, and below it the
operators' own work is as likely the cost."""
MUCH_OVERHEAD = 0.65
"""Share of calling operators from which it is a warning without the what-if: the estimate of a call's cost may be a
third too high."""
MOST_OVERHEAD = 0.9
"""Upper bound of the estimate: the operators also compute."""
TINY_KERNEL_S = 8e-6
"""Typical operators up to this are mostly their own call: those on a dozen rows take 4 to 6 µs by the CPU."""
LONG_KERNEL_S = 30e-6
"""Length at which operators dwarf their own call."""
MIN_DOUBLED = 1.2
"""Gain in samples per second from doubling the batch that proves a fixed cost: a bound of a third."""
MUCH_DOUBLED = 1.5
"""Gain from doubling the batch from which it is a warning: two thirds of the update do not depend on the batch."""
NEARLY_DOUBLED = 1.8
"""Gain from doubling the batch if almost nothing depends on the batch."""
OPTIMIZER_SHARE = 0.35
"""Share of the optimizer above which the fixed cost is the optimizer's, which has its own rule."""
MAX_EXTRAPOLATED = 16.0
"""Largest extrapolation: beyond it a line through two batch sizes is no evidence."""
SHORT_UPDATE_S = 0.010
"""Update length below which an update is called small without a trace."""
ELSEWHERE = 0.25
"""Share of lines between the phases from which the operators that they call are not those of the model."""
MIN_COMPUTE_SHARE = 0.3
"""Least share of forward and backward: with less, small steps are not what the loop waits for."""


def judge(evidence: Evidence) -> Judgement:
    flags = evidence.workload.flags
    if phase_share(evidence, "optimizer") >= OPTIMIZER_SHARE or compute_share(evidence) < MIN_COMPUTE_SHARE:
        return None
    doubled = evidence.what_ifs.get("micro_batch_doubled")
    overhead = _within_phases(evidence)
    if not _small(evidence, overhead, doubled):
        return None
    if flags.anomaly_detection or flags.profiler_on:
        return Undecided(why="a debugging feature slows every operator; disable it first (see debug_mode)")
    if doubled is None and (overhead or 0.0) < UNPROVEN_OVERHEAD:
        return None
    if doubled is not None and doubled.low < MIN_DOUBLED:
        return _of_each_sample(evidence, overhead)
    return Hit(
        share=(overhead if overhead is not None else _fixed_part(doubled)) * step_share(evidence),
        severity=_severity(overhead, doubled),
        evidence=_words(evidence, doubled),
        advice="Give each step more work: a larger micro-batch (with an adjusted learning rate), fewer and larger "
        "operators instead of loops over time steps, parameters or samples, or `torch.compile`.",
        ceiling=_ceiling(overhead, doubled, step_share(evidence)),
    )


def _within_phases(evidence: Evidence) -> float | None:
    """Return the share of calling operators, without those of lines between the phases: these have their own rule."""
    overhead = overhead_fraction(evidence)
    if overhead is None or evidence.on_accelerator:
        return overhead
    elsewhere = total_share(loop_lines(evidence, ("python", "torch"), ("other",)))
    return min(overhead, 1 - elsewhere) if elsewhere >= ELSEWHERE else overhead


def _of_each_sample(evidence: Evidence, overhead: float | None) -> Judgement:
    """Judge a script that loops over tiny samples: a larger batch brings as many more operators."""
    trace = evidence.trace
    if trace is None or trace.kernel_median_s is None or trace.kernel_median_s > TINY_KERNEL_S:
        return None
    if overhead is None or overhead < MUCH_OVERHEAD:
        return None
    share = min(overhead, MOST_OVERHEAD) * compute_share(evidence)
    return Hit(
        share=share,
        severity="warning",
        evidence=f"{_words(evidence, None)} A larger batch does not help: it adds proportionally more operators, "
        f"typically {duration(trace.kernel_median_s)} long.",
        advice="Process the whole batch at once instead of looping over its samples (padding, segments, "
        "`index_add_`, `torch.vmap`), or try `torch.compile`.",
        ceiling=Ceiling.from_share(share),
    )


def _small(evidence: Evidence, overhead: float | None, doubled: WhatIf | None) -> bool:
    if overhead is None or evidence.trace is None:
        return doubled is not None and doubled.low >= MUCH_DOUBLED and evidence.steps.mean_s < SHORT_UPDATE_S
    kernel_s = evidence.trace.kernel_median_s
    return overhead >= MIN_OVERHEAD and (kernel_s is None or kernel_s < LONG_KERNEL_S)


def _fixed_part(doubled: WhatIf | None) -> float:
    """Return the share of the update independent of the batch: with t(B) = a + bB, doubling gives 2 / (1 + b-share)."""
    return 0.0 if doubled is None or doubled.speedup <= 0 else max(2 - 2 / min(doubled.speedup, 2.0), 0.0)


def _severity(overhead: float | None, doubled: WhatIf | None) -> Severity:
    if doubled is None:
        return "warning" if overhead is not None and overhead >= MUCH_OVERHEAD else "info"
    if doubled.low >= NEARLY_DOUBLED:
        return "critical"
    return "warning" if doubled.low >= MUCH_DOUBLED else "info"


def _ceiling(overhead: float | None, doubled: WhatIf | None, in_step: float) -> Ceiling:
    """Return the ceiling of the loop, of whose time this share is in its updates."""
    if doubled is None:
        return Ceiling.from_share(min(overhead or 0.0, MOST_OVERHEAD) * in_step)
    limit = 1 / max(1 - _fixed_part(doubled), 1 / MAX_EXTRAPOLATED)
    least, most = min(max(doubled.low, 1.0), doubled.speedup), max(doubled.high, doubled.speedup, limit)
    speedup, low, high = (1 / (1 - in_step + in_step / gain) for gain in (doubled.speedup, least, most))
    return Ceiling(speedup=speedup, low=low, high=high, basis="measured")


def _words(evidence: Evidence, doubled: WhatIf | None) -> str:
    said = []
    count = evidence.trace.torch_calls_per_update if evidence.trace is not None else None
    if count is not None:
        said.append(
            f"An update of {duration(evidence.steps.mean_s)} calls {count:,.0f} operators; at about "
            f"{duration(CALL_COST_S)} per call that is {percent(overhead_fraction(evidence) or 0.0)} of it."
        )
        if (within := _within_phases(evidence)) != overhead_fraction(evidence):
            said.append(
                f"The script's own lines between the phases call a part of them; {percent(within or 0.0)} stays."
            )
    if doubled is not None:
        said.append(
            f"Twice the micro-batch gives {doubled.speedup:.2f} times the samples per second "
            f"({doubled.low:.2f}–{doubled.high:.2f})."
        )
    return " ".join(said)


_TINY = {"steps": {"mean_s": 0.004}, "trace": {"torch_calls_per_update": 700.0, "kernel_median_s": 4e-6}}

RULE = Rule(
    id="overhead_bound",
    title="steps too small: calling operators takes longer than computing",
    headline="spends {share} of its time in Python and launches: its steps are too small",
    looks_at="The operators called in an update and their typical length, the what-if micro_batch_doubled (in samples "
    "per second), and the phases, on a CPU. Silent if the optimizer is the fixed cost.",
    thresholds=(
        "CALL_COST_S",
        "MIN_OVERHEAD",
        "UNPROVEN_OVERHEAD",
        "MOST_OVERHEAD",
        "MUCH_OVERHEAD",
        "TINY_KERNEL_S",
        "LONG_KERNEL_S",
        "MIN_DOUBLED",
        "MUCH_DOUBLED",
        "NEARLY_DOUBLED",
        "OPTIMIZER_SHARE",
        "MIN_COMPUTE_SHARE",
        "ELSEWHERE",
        "SHORT_UPDATE_S",
        "MAX_EXTRAPOLATED",
    ),
    source="Holistic Trace Analysis flags kernels shorter than their CPU call; the doubled batch measures it "
    "without a trace.",
    url="https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
    knobs=("global_batch", "compile", "fused_optimizer"),
    applies=lambda evidence: not evidence.on_accelerator,
    judge=judge,
    examples=(
        Example(
            name="a tiny network: 700 operators in 4 ms, twice the batch costs nothing",
            evidence=healthy_cpu(**_TINY, what_ifs=what_if("micro_batch_doubled", 1.9)),
            fires=True,
        ),
        Example(
            name="the rows of each weight clipped one by one after the step",
            evidence=healthy_cpu(**_TINY, lines=(line("torch", 0.75, text="p.data[i].clamp_(-1, 1)"),)),
            fires=False,
        ),
        Example(
            name="launches on an accelerator, which launch_bound judges by the device's own clock",
            evidence=healthy_cuda(**_TINY, what_ifs={"micro_batch_doubled": None}),
            fires=False,
        ),
        Example(
            name="no trace, but a short update that twice the batch hardly lengthens",
            evidence=healthy_cpu(steps={"mean_s": 0.003}, trace=None, what_ifs=what_if("micro_batch_doubled", 1.85)),
            fires=True,
        ),
        Example(name="large operators", evidence=healthy_cpu(), fires=False),
        Example(
            name="many calls, but the batch is what costs",
            evidence=healthy_cpu(
                **{**_TINY, "trace": {"torch_calls_per_update": 700.0, "kernel_median_s": 12e-6}},
                what_ifs=what_if("micro_batch_doubled", 1.1),
            ),
            fires=False,
        ),
        Example(
            name="a loop over the samples of a batch: twice the batch is twice as many tiny operators",
            evidence=healthy_cpu(
                steps={"mean_s": 0.012},
                trace={"torch_calls_per_update": 5600.0, "kernel_median_s": 2.6e-6},
                what_ifs=what_if("micro_batch_doubled", 1.03),
            ),
            fires=True,
        ),
        Example(
            name="a third of the update by estimate only, with no what-if to show it",
            evidence=healthy_cpu(
                steps={"mean_s": 0.0127},
                trace={"torch_calls_per_update": 900.0, "kernel_median_s": 10e-6},
                what_ifs={"micro_batch_doubled": None},
            ),
            fires=False,
        ),
        Example(
            name="the optimizer is the fixed cost",
            evidence=healthy_cpu(**_TINY, phases={"optimizer": 0.6}, what_ifs=what_if("micro_batch_doubled", 1.7)),
            fires=False,
        ),
        Example(
            name="anomaly detection slows every operator down",
            evidence=healthy_cpu(
                **_TINY, workload={"flags": {"anomaly_detection": True}}, what_ifs=what_if("micro_batch_doubled", 1.9)
            ),
            fires="abstains",
        ),
    ),
)
