"""Switches for debugging were left on."""

from __future__ import annotations

from ..types import Ceiling, Evidence
from ._base import Example, Hit, Judgement, Rule, clamp, severity_of
from ._examples import healthy_cpu, healthy_cuda, line
from ._read import line_places, loop_lines, percent, step_share, total_share

ANOMALY_COST_S = 7e-6
"""Cost of anomaly detection per operator: measured 7.3 µs over 346 operators of a small MLP (torch 2.13). It keeps the
stack of every forward call and looks for NaN in every gradient. It only sets the share; the finding stands without
it."""
MAX_ESTIMATED_SHARE = 0.9
"""Upper bound of the estimate: the operators themselves must take some of the time."""


def judge(evidence: Evidence) -> Judgement:
    flags = evidence.workload.flags
    on = []
    if flags.anomaly_detection:
        on.append("autograd's anomaly detection (`torch.autograd.set_detect_anomaly`)")
    if flags.launch_blocking and evidence.on_accelerator:
        on.append("blocking launches (`CUDA_LAUNCH_BLOCKING`)")
    on.extend(f"a profiler or tracer ({name})" for name in flags.profiler_on)
    if not on:
        return None
    share = _anomaly_share(evidence) if flags.anomaly_detection else None
    profiling = loop_lines(evidence, ("profiler",)) if flags.profiler_on else ()
    if profiling:
        share = max(share or 0.0, total_share(profiling))
    return Hit(
        share=share or 0.0,
        severity=severity_of(share or 0.0, least="warning"),
        evidence=f"Enabled in the training loop: {', '.join(on)}."
        + (f" This takes about {percent(share)} of the loop." if share is not None else ""),
        advice="Enable it only while debugging; run a profiler for a few steps, not for the whole run.",
        where=line_places(profiling),
        ceiling=Ceiling.from_share(share) if share is not None else None,
    )


def _anomaly_share(evidence: Evidence) -> float | None:
    calls = evidence.trace.torch_calls_per_update if evidence.trace is not None else None
    if calls is None or evidence.steps.mean_s <= 0:
        return None
    cost_s = calls * ANOMALY_COST_S
    return min(clamp(cost_s / evidence.steps.mean_s), MAX_ESTIMATED_SHARE) * step_share(evidence)


RULE = Rule(
    id="debug_mode",
    title="debugging features are enabled",
    headline="runs with debugging features enabled",
    looks_at="Anomaly detection, blocking launches (on an accelerator), and profilers or tracers running in the loop.",
    thresholds=("ANOMALY_COST_S", "MAX_ESTIMATED_SHARE", "CRITICAL_SHARE"),
    source="PyTorch's tuning guide recommends disabling debugging APIs; no published tool checks for them.",
    url="https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
    judge=judge,
    needs_updates=False,
    examples=(
        Example(
            name="anomaly detection over many small operators",
            evidence=healthy_cpu(
                workload={"flags": {"anomaly_detection": True}},
                steps={"mean_s": 0.006},
                trace={"torch_calls_per_update": 350.0},
            ),
            fires=True,
        ),
        Example(
            name="blocking launches on an accelerator",
            evidence=healthy_cuda(workload={"flags": {"launch_blocking": True}}),
            fires=True,
        ),
        Example(
            name="a profiler that runs for the whole training",
            evidence=healthy_cpu(workload={"flags": {"profiler_on": ("cProfile",)}}, trace=None),
            fires=True,
        ),
        Example(
            name="a profiler whose tables are made in the loop, most of it",
            evidence=healthy_cpu(
                workload={"flags": {"profiler_on": ("torch.profiler",)}},
                lines=(line("profiler", 0.9, function="on_trace"),),
            ),
            fires=True,
        ),
        Example(
            name="CUDA_LAUNCH_BLOCKING set, but trained on the CPU",
            evidence=healthy_cpu(workload={"flags": {"launch_blocking": True}}),
            fires=False,
        ),
        Example(
            name="deterministic algorithms are a choice, no debugging",
            evidence=healthy_cuda(workload={"flags": {"deterministic": True}}),
            fires=False,
        ),
    ),
)
