"""Convolutions in the default memory format."""

from __future__ import annotations

from ..types import Ceiling, Evidence, ModelFacts
from ._base import Example, Hit, Judgement, Rule
from ._examples import conv_model, healthy_cpu, healthy_cuda
from ._read import compute_capability, compute_share, layer_count, main_models, overhead_fraction, percent

CONVOLUTIONS = ("Conv2d", "ConvTranspose2d")
OTHER_PRODUCTS = ("Linear", "MultiheadAttention", "LSTM", "GRU")
MIN_CONVOLUTIONS = 3
"""Fewest convolutions of a convolutional network."""
TENSOR_CORE_CAPABILITY = 7
"""Major compute capability from which there are tensor cores, which work in this format."""
FORMAT_SAVES = 0.15
"""Part of the compute's time saved: published gains are 8 to 35% for tensor cores; measured on a CPU: 8%."""
FORMAT_SAVES_AT_MOST = 0.35
"""Upper end of the published part of the compute's time saved."""
MIN_COMPUTE_SHARE = 0.6
"""Share of the loop in forward and backward: elsewhere convolutions are not the cost."""
MAX_OVERHEAD = 0.3
"""Share of calling operators above which these are the cost: the format changes nothing."""


def judge(evidence: Evidence) -> Judgement:
    share = compute_share(evidence)
    if share < MIN_COMPUTE_SHARE or (overhead_fraction(evidence) or 0.0) > MAX_OVERHEAD:
        return None
    return Hit(
        share=share,
        severity="warning" if _has_tensor_cores(evidence) else "info",
        evidence="The model is convolutional and uses the default memory format; forward and backward take "
        f"{percent(share)} of the loop.",
        advice="Use `model.to(memory_format=torch.channels_last)` for the model and the images. The gain depends on "
        "the network: measure it.",
        ceiling=Ceiling.from_share(share * FORMAT_SAVES, high=share * FORMAT_SAVES_AT_MOST),
        fixed_by="memory_format",
    )


def _has_tensor_cores(evidence: Evidence) -> bool:
    """Return whether the convolutions run where the format matters most: tensor cores in half precision."""
    capability = compute_capability(evidence)
    half = evidence.workload.flags.autocast_dtype is not None
    return capability is not None and capability[0] >= TENSOR_CORE_CAPABILITY and half


def _is_plain(model: ModelFacts) -> bool:
    convolutions = layer_count((model,), CONVOLUTIONS)
    others = layer_count((model,), OTHER_PRODUCTS)
    return model.channels_last is False and convolutions >= MIN_CONVOLUTIONS and convolutions >= others


_CONV = {"models": (conv_model(),)}
_CUDA_CONV = {"models": (conv_model(device="cuda:0"),)}

RULE = Rule(
    id="channels_last_unused",
    title="convolutions in the default memory format",
    looks_at="Mostly convolutional models whose weights are not in channels_last, the share of forward and backward, "
    "autocast, and compute capability.",
    thresholds=(
        "MIN_CONVOLUTIONS",
        "TENSOR_CORE_CAPABILITY",
        "FORMAT_SAVES",
        "FORMAT_SAVES_AT_MOST",
        "MIN_COMPUTE_SHARE",
        "MAX_OVERHEAD",
    ),
    source="PyTorch's tutorial on channels last.",
    url="https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html",
    knobs=("memory_format", "cudnn_benchmark"),
    applies=lambda evidence: any(_is_plain(model) for model in main_models(evidence)),
    is_choice=True,
    judge=judge,
    examples=(
        Example(name="a convolutional network on a CPU", evidence=healthy_cpu(workload=_CONV), fires=True),
        Example(name="under autocast on an H100", evidence=healthy_cuda(workload=_CUDA_CONV), fires=True),
        Example(
            name="already in channels_last",
            evidence=healthy_cuda(workload={"models": (conv_model(channels_last=True),)}),
            fires=False,
        ),
        Example(name="a transformer", evidence=healthy_cpu(), fires=False),
        Example(
            name="one convolution before many linear layers",
            evidence=healthy_cpu(workload={"models": (conv_model(layers={"Conv2d": 1, "Linear": 24}),)}),
            fires=False,
        ),
        Example(
            name="waiting for data most of the time",
            evidence=healthy_cuda(workload=_CUDA_CONV, phases={"data_wait": 0.6}),
            fires=False,
        ),
    ),
)
