"""Parameters, inputs or most of the arithmetic are in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..types import Ceiling, Evidence, Place
from ._base import Example, Hit, Judgement, Rule, Undecided, severity_of
from ._examples import healthy_cpu, healthy_cuda, model, optimizer
from ._operator_examples import operators
from ._read import MAX_PLACES, main_models, overhead_fraction, percent, phase_share, traced_operators

SAVES = 0.5
"""Part of the time in float64 that float32 saves: twice the numbers in a vector register, half the bytes. Measured on a
CPU for a network of large products: 2.1 times for the whole loop."""
SAVES_MOST = 0.65
"""Upper bound of that part on a CPU, where twice as many numbers fit into its caches, too."""
SAVES_MOST_ON_DEVICE = 0.97
"""The same on an accelerator whose peaks are not known: all but those for data centres compute in float64 at 1/32 or
1/64 of the rate."""
MIN_SAVED = 0.05
"""Estimated saving below which it is not reported: a loss summed in float64 costs nothing."""
MOSTLY = 0.5
"""Fraction of the parameters from which the model counts as float64 where no operators were traced."""
PRECISE = ("LBFGS",)
"""Optimizers whose line search stops early on the rounding of float32."""


def judge(evidence: Evidence) -> Judgement:
    fraction = _fraction(evidence)
    if fraction is None:
        return Undecided(why="the operators of an update were not traced")
    share = fraction * phase_share(evidence, "forward", "backward", "optimizer")
    calling = overhead_fraction(evidence) or 0.0
    saved = share * (1 - calling) * SAVES
    if saved < MIN_SAVED:
        return None
    needed = _needed_for(evidence)
    return Hit(
        share=share,
        severity="info" if needed else severity_of(saved),
        evidence=f"{_what_is_double(evidence)} {percent(share)} of the loop computes in float64, with half as many "
        "numbers in a vector and twice the bytes of float32.",
        advice=_advice(evidence, needed),
        where=_places(evidence),
        ceiling=Ceiling.from_share(saved, high=share * _saves_most(evidence)),
    )


def _saves_most(evidence: Evidence) -> float:
    """Return the largest part of the time that may go, by the peaks of an accelerator if they are known."""
    if not evidence.on_accelerator:
        return SAVES_MOST
    peaks = evidence.hardware.accelerators[0].peak_flops if evidence.hardware.accelerators else {}
    if "fp64" not in peaks or "fp32" not in peaks or not peaks["fp32"].value:
        return SAVES_MOST_ON_DEVICE
    return max(SAVES_MOST, 1 - peaks["fp64"].value / peaks["fp32"].value)


def _fraction(evidence: Evidence) -> float | None:
    """Return the fraction of the arithmetic in float64; None if it is not known."""
    used = traced_operators(evidence)
    if used is None:
        fraction = _fraction_of_parameters(evidence)
        return fraction if fraction > MOSTLY else None if fraction > 0 else 0.0
    if not evidence.on_accelerator:
        return _of_double(used.seconds_by_dtype)
    # A launch says nothing of its kernel: FLOPs weigh products, bytes weigh the rest.
    return max(_of_double(used.flops_by_dtype), _of_double(used.bytes_by_dtype))


def _of_double(amounts: Mapping[str, float]) -> float:
    total = sum(amounts.values())
    return sum(amounts.get(name, 0.0) for name in ("float64", "complex128")) / total if total else 0.0


def _fraction_of_parameters(evidence: Evidence) -> float:
    counts: dict[str, int] = {}
    for found in main_models(evidence):
        for dtype, count in found.parameter_dtypes.items():
            counts[dtype] = counts.get(dtype, 0) + count
    return _of_double(counts)


def _needed_for(evidence: Evidence) -> str:
    """Return what in the script may need float64; "" if nothing does."""
    used = traced_operators(evidence)
    found = [f"{each.class_name}'s line search" for each in evidence.workload.optimizers if each.class_name in PRECISE]
    if used is not None and used.differentiates_twice and not evidence.workload.facts.checkpointing:
        found.append("derivatives of derivatives")
    if used is not None and used.decomposes:
        found.append("decompositions of matrices")
    return " and ".join(found)


def _what_is_double(evidence: Evidence) -> str:
    parameters, inputs = _fraction_of_parameters(evidence) > 0, _inputs_are_double(evidence)
    if parameters and inputs:
        return "Parameters and inputs are float64:"
    return "Parameters are float64:" if parameters else "Inputs are float64:" if inputs else "Some tensors are float64:"


def _inputs_are_double(evidence: Evidence) -> bool:
    return any(shape.startswith("float64") for shape in evidence.workload.batch_shapes)


def _advice(evidence: Evidence, needed: str) -> str:
    calls = []
    if evidence.workload.facts.float64_lines:
        calls.append("remove the call that asks for it")
    elif _fraction_of_parameters(evidence) > 0:
        calls.append("make the model with `model.float()`")
    if _inputs_are_double(evidence) or not calls:
        calls.append(
            "convert data where it is loaded (`array.astype(numpy.float32)` or `tensor.float()`), as NumPy's default "
            "is float64"
        )
    text = f"Train in float32: {', and '.join(calls)}."
    if needed:
        return f"{text} Keep float64 if the results need it, as may {needed}: compare the losses."
    return f"{text} Compare the losses, as the rounding differs."


def _places(evidence: Evidence) -> tuple[Place, ...]:
    places = []
    for text in evidence.workload.facts.float64_lines[:MAX_PLACES]:
        file, _, number = text.rpartition(":")
        places.append(Place(file=file, line=int(number) if number.isdecimal() else 0, function=""))
    return tuple(places)


_IN_DOUBLE: dict[str, Any] = {"seconds_by_dtype": {"float64": 0.089, "float32": 0.001}}
_DOUBLE = {"models": (model(parameter_dtypes={"float64": 12_000_000}),), "batch_shapes": ("float64[64, 336]",)}
_ON_DEVICE = {"flops_by_dtype": {"float64": 10**12}, "bytes_by_dtype": {"float64": 10**9}}

RULE = Rule(
    id="float64_used",
    title="arithmetic in float64",
    headline="computes in float64, which takes twice the time of float32 or more",
    looks_at="The dtypes of parameters and inputs, and the time (on an accelerator: the FLOPs and bytes) of the traced "
    "operators by dtype, without the time of calling them.",
    thresholds=(
        "SAVES",
        "SAVES_MOST",
        "SAVES_MOST_ON_DEVICE",
        "MIN_SAVED",
        "MOSTLY",
        "PRECISE",
        "WARNING_SHARE",
        "CRITICAL_SHARE",
    ),
    source="Scripts that call `.double()` against an error of dtypes between NumPy's arrays and torch's layers.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.set_default_dtype.html",
    needs_updates=False,
    judge=judge,
    examples=(
        Example(
            name="a model made double for NumPy's arrays",
            evidence=healthy_cpu(workload=_DOUBLE, trace=operators(**_IN_DOUBLE)),
            fires=True,
        ),
        Example(
            name="the same on an accelerator",
            evidence=healthy_cuda(workload=_DOUBLE, trace=operators(**_IN_DOUBLE, **_ON_DEVICE)),
            fires=True,
        ),
        Example(
            name="L-BFGS in float64, which may need it",
            evidence=healthy_cpu(
                workload={**_DOUBLE, "optimizers": (optimizer(class_name="LBFGS"),)}, trace=operators(**_IN_DOUBLE)
            ),
            fires=True,
        ),
        Example(name="a double model of which nothing was traced", evidence=healthy_cpu(workload=_DOUBLE), fires=True),
        Example(
            name="a loss in float64 that takes 10% of the operators' time",
            evidence=healthy_cpu(trace=operators(seconds_by_dtype={"float32": 0.09, "float64": 0.01})),
            fires=False,
        ),
        Example(
            name="a double model of tiny operators, whose calls are the cost",
            evidence=healthy_cpu(
                workload=_DOUBLE,
                steps={"mean_s": 0.005},
                trace={"torch_calls_per_update": 900.0, **operators(**_IN_DOUBLE)},
            ),
            fires=False,
        ),
        Example(
            name="float32, operators traced",
            evidence=healthy_cpu(trace=operators(seconds_by_dtype={"float32": 0.09})),
            fires=False,
        ),
        Example(name="float32, nothing traced", evidence=healthy_cpu(trace=None), fires=False),
        Example(
            name="few of the parameters are float64, and nothing was traced",
            evidence=healthy_cpu(
                workload={"models": (model(parameter_dtypes={"float32": 11_000_000, "float64": 1_000_000}),)},
                trace=None,
            ),
            fires="abstains",
        ),
    ),
)
