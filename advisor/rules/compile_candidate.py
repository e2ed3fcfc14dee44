"""Much of the compute is elementwise work that `torch.compile` can fuse."""

from __future__ import annotations

from ..types import Ceiling, Evidence
from ._base import Example, Hit, Judgement, Rule, Undecided
from ._examples import healthy_cpu, healthy_cuda, model
from ._read import (
    compute_share,
    duration,
    line_places,
    loop_lines,
    main_models,
    overhead_fraction,
    percent,
    usable_cores,
)

MIN_COMPUTE_SHARE = 0.6
"""Share of the loop in forward and backward: only these are compiled."""
MAX_OVERHEAD = 0.5
"""Share of calling operators above which the finding is overhead_bound or launch_bound; both name compile."""
LOW_CPU_FLOPS_PER_S = 5e9
"""FLOP/s per core: products reach thirty times as much, so nearly all of such an update is something else."""
LOW_PEAK_FRACTION = 0.35
"""Fraction of an accelerator's peak, above which products are most of the update."""
MIN_CALLS = 50
"""Fewest operators that leave something to fuse."""
FUSED_SAVES = 0.25
"""Estimated part of the compute that fusing saves; it may be nothing, so it is never more than a hint."""
FUSED_SAVES_AT_MOST = 0.8
"""Upper bound of that part: a chain of operators becomes one that reads and writes once. Measured on a CPU without a
product: 0.74."""


def judge(evidence: Evidence) -> Judgement:
    share = compute_share(evidence)
    if share < MIN_COMPUTE_SHARE or evidence.workload.fixed_shapes is False:
        return None
    overhead = overhead_fraction(evidence)
    calls = evidence.trace.torch_calls_per_update if evidence.trace is not None else None
    if overhead is None or calls is None or evidence.trace is None:
        return Undecided(why="the operators of an update were not traced")
    if overhead > MAX_OVERHEAD or calls < MIN_CALLS or not _mostly_elementwise(evidence):
        return None
    kernel_s = evidence.device_use.kernel_median_s if evidence.device_use else evidence.trace.kernel_median_s
    return Hit(
        share=share,
        severity="info",
        evidence=f"{calls:,.0f} operators per update"
        + (f", kernels of typically {duration(kernel_s)}" if kernel_s is not None and evidence.device_use else "")
        + (f", typically {duration(kernel_s)} long" if kernel_s is not None and not evidence.device_use else "")
        + f", and few of them matrix products: {percent(share)} of the loop mostly moves memory.",
        advice="Try `torch.compile(model)`: it fuses such operators. The first updates take longer, and so does every "
        "new shape.",
        ceiling=Ceiling.from_share(share * FUSED_SAVES, high=share * FUSED_SAVES_AT_MOST),
        fixed_by="compile",
        where=line_places(loop_lines(evidence, ("torch",), ("forward", "other"))),
    )


def _mostly_elementwise(evidence: Evidence) -> bool:
    compute = evidence.compute
    if compute.roofline_bound == "memory" or compute.flops_per_update == 0:  # no product at all
        return True
    if evidence.on_accelerator:
        return compute.peak_fraction is not None and compute.peak_fraction < LOW_PEAK_FRACTION
    rate = compute.achieved_flops_per_s
    return rate is not None and rate < LOW_CPU_FLOPS_PER_S * usable_cores(evidence)


def not_compiled(evidence: Evidence) -> bool:
    models = main_models(evidence)
    return bool(models) and not any(model.compiled for model in models)


_SLOW_CPU = {"achieved_flops_per_s": 10e9, "flops_per_update": 1_000_000_000}

RULE = Rule(
    id="compile_candidate",
    title="much elementwise work that torch.compile can fuse",
    looks_at="Whether the model is compiled, whether shapes are fixed, the operators called, and how few of them are "
    "matrix products.",
    thresholds=(
        "MIN_COMPUTE_SHARE",
        "MAX_OVERHEAD",
        "LOW_CPU_FLOPS_PER_S",
        "LOW_PEAK_FRACTION",
        "MIN_CALLS",
        "FUSED_SAVES",
        "FUSED_SAVES_AT_MOST",
    ),
    source="PyTorch's documentation of torch.compile; pytorch#101838 (slower with AMP and DDP) is why it stays a hint.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.compile.html",
    knobs=("compile",),
    applies=not_compiled,
    is_choice=True,
    judge=judge,
    examples=(
        Example(name="activations and norms on a CPU", evidence=healthy_cpu(compute=_SLOW_CPU), fires=True),
        Example(
            name="bound by memory on an accelerator",
            evidence=healthy_cuda(compute={"peak_fraction": 0.1, "roofline_bound": "memory"}),
            fires=True,
        ),
        Example(
            name="not one product in an update",
            evidence=healthy_cpu(compute={"flops_per_update": 0, "achieved_flops_per_s": None}),
            fires=True,
        ),
        Example(name="large products", evidence=healthy_cuda(), fires=False),
        Example(
            name="compiled already",
            evidence=healthy_cpu(compute=_SLOW_CPU, workload={"models": (model(compiled=True),)}),
            fires=False,
        ),
        Example(
            name="shapes that change",
            evidence=healthy_cpu(compute=_SLOW_CPU, workload={"fixed_shapes": False}),
            fires=False,
        ),
        Example(name="not traced", evidence=healthy_cpu(compute=_SLOW_CPU, trace=None), fires="abstains"),
    ),
)
