"""Float32 products on tensor cores that could take them as TF32."""

from __future__ import annotations

from ..types import Ceiling, Evidence
from ._base import Example, Hit, Judgement, Rule
from ._examples import conv_model, healthy_cpu, healthy_cuda
from ._read import (
    compute_capability,
    compute_share,
    in_single_precision,
    layer_count,
    main_models,
    overhead_fraction,
    percent,
)

TF32_CAPABILITY = 8
"""Major compute capability from which tensor cores take TF32."""
TF32_SAVES = 0.4
"""Part of the products' time that is saved: only products gain, the operators between them stay in float32. The low end
stays at no gain."""
MIN_COMPUTE_SHARE = 0.5
"""Share of the loop in forward and backward: elsewhere products are not the cost."""
MAX_OVERHEAD = 0.3
"""Share of calling operators above which these are the cost: faster products change nothing."""
CONVOLUTIONS = ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d")
PRODUCTS = ("Linear", "MultiheadAttention", "LSTM", "GRU", "RNN", "Bilinear", "NonDynamicallyQuantizableLinear")


def judge(evidence: Evidence) -> Judgement:
    flags = evidence.workload.flags
    share = compute_share(evidence)
    if share < MIN_COMPUTE_SHARE or (overhead_fraction(evidence) or 0.0) > MAX_OVERHEAD:
        return None
    models = main_models(evidence)
    convolutions, products = layer_count(models, CONVOLUTIONS), layer_count(models, PRODUCTS)
    off = []
    if flags.matmul_precision == "highest" and products > convolutions:
        off.append("matrix products (`torch.get_float32_matmul_precision()` is highest)")
    if not flags.cudnn_tf32 and convolutions > 0:
        off.append("convolutions (`torch.backends.cudnn.allow_tf32` is off)")
    if not off:
        return None
    return Hit(
        share=share,
        severity="warning",
        evidence=f"TF32 is off for {' and '.join(off)}; forward and backward take {percent(share)} of the loop.",
        advice='Call `torch.set_float32_matmul_precision("high")`. Factors are rounded to 10 bits of mantissa; '
        "sums stay in float32.",
        ceiling=Ceiling.from_share(share * TF32_SAVES, high=share * 0.8),
        fixed_by="matmul_precision",
    )


def can_tf32(evidence: Evidence) -> bool:
    capability = compute_capability(evidence)
    return capability is not None and capability[0] >= TF32_CAPABILITY and in_single_precision(evidence)


_FULL = {"autocast_dtype": None, "matmul_precision": "highest"}

RULE = Rule(
    id="tf32_off",
    title="float32 matrix products that could run in TF32",
    headline="multiplies in float32 although the hardware supports TF32",
    looks_at="The TF32 settings during the loop, the compute capability, the layers, and autocast.",
    thresholds=("TF32_CAPABILITY", "TF32_SAVES", "MIN_COMPUTE_SHARE", "MAX_OVERHEAD"),
    source="A pattern of a former torch profiler; TF32 is off by default for matrix products since torch 1.12.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.set_float32_matmul_precision.html",
    knobs=("precision",),
    applies=can_tf32,
    is_choice=True,
    judge=judge,
    examples=(
        Example(name="a transformer, all defaults", evidence=healthy_cuda(workload={"flags": _FULL}), fires=True),
        Example(
            name="convolutions with TF32 switched off",
            evidence=healthy_cuda(
                workload={"flags": {**_FULL, "cudnn_tf32": False}, "models": (conv_model(device="cuda:0"),)}
            ),
            fires=True,
        ),
        Example(name="under bf16 autocast", evidence=healthy_cuda(), fires=False),
        Example(name="TF32 allowed", evidence=healthy_cuda(workload={"flags": {"autocast_dtype": None}}), fires=False),
        Example(
            name="convolutions, which take TF32 by default",
            evidence=healthy_cuda(workload={"flags": _FULL, "models": (conv_model(device="cuda:0"),)}),
            fires=False,
        ),
        Example(name="on a CPU", evidence=healthy_cpu(), fires=False),
    ),
)
