"""Compute in full precision on hardware that is much faster at half."""

from __future__ import annotations

from dataclasses import replace

from ..types import Ceiling, Evidence, Rate
from ._base import Example, Hit, Judgement, Rule, clamp
from ._examples import device_use, gpu, healthy_cpu, healthy_cuda, model
from ._read import compute_capability, compute_share, in_single_precision, overhead_fraction, percent, usable_cores

BF16_CAPABILITY = 8
"""Major compute capability from which tensor cores take bf16."""
FP16_CAPABILITY = 7
"""Major compute capability from which tensor cores take fp16."""
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
"""CPU instructions for bf16; without them it is emulated, and slower than float32."""
HALF_SAVES = 0.5
"""Part of the compute's time that half precision saves: twice the rate, half the bytes. Tensor cores promise more, but
whole networks rarely reach it. Measured on a CPU with AVX512-BF16: 1.8 times for a convolutional network."""
PRODUCTS_REACH = 0.75
"""Part of an accelerator's peak in float32 that large products reach. Measured on an H100 over whole updates of GPT-2:
0.63."""
HALF_PRODUCTS_REACH = 0.5
"""The same in half precision: memory and launches then hold products back more often."""
CPU_FLOPS_PER_S = 150e9
"""Rate of one AVX-512 core in float32 over whole updates of a convolutional network (measured: 156e9): at this rate
products are all of the update."""
MOST_SAVED = 0.75
"""Largest promised part of the products' time, however fast the hardware: networks are not products alone."""
MIN_RATIO = 1.3
"""Ratio of the half-precision peak to the current one, below which a device has nothing to offer."""
MIN_COMPUTE_SHARE = 0.5
"""Share of the loop in forward and backward: elsewhere products are not the cost."""
MAX_OVERHEAD = 0.3
"""Share of calling operators above which faster operators change nothing (autocast adds calls)."""
MOSTLY = 0.5
"""Fraction of the FLOPs in convolutions from which the present peak is theirs: TF32 by default."""
MIN_FLOPS = 1e9
"""Fewest FLOPs of an update with a large product."""
MIN_SAVED = 0.10
"""Estimated saving below which a change of rounding is not worth it."""
SURE_SAVED = 0.20
"""Estimated saving from which it is a warning: the estimate may be twice too high and still be worth it."""


def judge(evidence: Evidence) -> Judgement:
    overhead = overhead_fraction(evidence)
    flops = evidence.compute.flops_per_update
    small = flops is not None and flops < MIN_FLOPS
    if compute_share(evidence) < MIN_COMPUTE_SHARE or small or (overhead or 0.0) > MAX_OVERHEAD:
        return None
    dtype, products = _dtype_and_products(evidence)
    peaks = None if dtype is None else _peaks_now_and_half(evidence, dtype)
    ratio = None if peaks is None else peaks[1] / peaks[0]
    if dtype is None or (ratio is not None and ratio < MIN_RATIO):
        return None
    peaks_save = 1 - 1 / ratio if ratio is not None else HALF_SAVES
    by_flops = _saved_by_flops(evidence, peaks)
    saved = max(by_flops, products * min(HALF_SAVES, peaks_save))
    if saved < MIN_SAVED:
        return None
    most = MOST_SAVED if ratio is None else peaks_save if by_flops > HALF_SAVES else min(MOST_SAVED, peaks_save)
    return Hit(
        share=products,
        # What a CPU gains from bf16 differs too much from network to network to warn of it unmeasured.
        severity="warning" if saved >= SURE_SAVED and (evidence.on_accelerator or ratio is not None) else "info",
        evidence=f"Forward and backward run in float32 ({percent(compute_share(evidence))} of the loop) on "
        f"{_hardware(evidence, dtype, ratio)}; about {percent(products)} of the loop are matrix products, which could "
        "gain.",
        fixed_by="precision",
        least_saved=SURE_SAVED,
        advice=f"Run the forward pass under `torch.autocast(..., dtype=torch.{dtype})`"
        + (" with a `GradScaler`" if dtype == "float16" else "")
        + "; the rounding differs, so compare the losses.",
        ceiling=_ceiling(evidence, saved, most, ratio),
    )


def _ceiling(evidence: Evidence, saved: float, most: float, ratio: float | None) -> Ceiling:
    """Return the ceiling of the estimated saving.

    The part of products is estimated by their rate, good to a factor of two: at most all of the compute. A known ratio
    of the peaks is never exceeded.
    """
    ceiling = Ceiling.from_share(saved, high=compute_share(evidence) * most)
    return ceiling if ratio is None else replace(ceiling, high=min(ceiling.high, ratio))


def _dtype_and_products(evidence: Evidence) -> tuple[str | None, float]:
    """Return the faster dtype, and the share of the loop that it would speed up."""
    capability = compute_capability(evidence)
    if capability is not None and capability[0] >= FP16_CAPABILITY:
        return ("bfloat16" if capability[0] >= BF16_CAPABILITY else "float16"), compute_share(evidence)
    return ("bfloat16", _cpu_products(evidence)) if _cpu_has_bf16(evidence) else (None, 0.0)


def _cpu_has_bf16(evidence: Evidence) -> bool:
    sets = evidence.hardware.cpu.instruction_sets
    return not evidence.on_accelerator and any(name in BF16_INSTRUCTIONS for name in sets)


def _saved_by_flops(evidence: Evidence, peaks: tuple[float, float] | None) -> float:
    """Return the part of the loop that products take by their number on an accelerator, less what they take in half
    precision; 0 if that is not known."""
    rate = evidence.compute.achieved_flops_per_s
    if rate is None or peaks is None or not evidence.on_accelerator:
        return 0.0
    now, half = PRODUCTS_REACH * peaks[0], HALF_PRODUCTS_REACH * peaks[1]
    share = min(rate / now, compute_share(evidence))
    return share * clamp(1 - now / half)


def _peaks_now_and_half(evidence: Evidence, dtype: str) -> tuple[float, float] | None:
    """Return the peaks in float32 with the current switches, and in half precision; None if they are not known."""
    peaks, full = evidence.hardware.cpu_peak_flops, ["fp32"]
    if evidence.on_accelerator:
        peaks = next((each.peak_flops for each in evidence.hardware.accelerators if each.kind == "cuda"), {})
        flags = evidence.workload.flags
        convolutions = flags.cudnn_tf32 and (evidence.compute.convolution_fraction or 0.0) > MOSTLY
        full += ["tf32"] if flags.matmul_precision != "highest" or convolutions else []
    now = max((peaks[name].value for name in full if name in peaks), default=0.0)
    half = peaks.get({"bfloat16": "bf16", "float16": "fp16"}[dtype])
    return (now, half.value) if half is not None and now > 0 else None


def _hardware(evidence: Evidence, dtype: str, ratio: float | None) -> str:
    """Describe the value of half precision there, with its basis."""
    if ratio is not None:
        device = "an accelerator" if evidence.on_accelerator else "a CPU"
        return f"{device} whose peak in {dtype} is {ratio:.1f} times as high"
    if evidence.on_accelerator:
        return f"an accelerator with tensor cores for {dtype}"
    return (
        f"a CPU with instructions for {dtype}; their speed here was not measured (`advisor hardware --calibrate` "
        "measures it)"
    )


def _cpu_products(evidence: Evidence) -> float:
    """Return the share of the loop in matrix products: the achieved rate over that of an update of products alone."""
    rate = evidence.compute.achieved_flops_per_s
    if rate is None:
        return 0.0
    cores = min(usable_cores(evidence), max(evidence.workload.flags.num_threads, 1))
    return min(clamp(rate / (CPU_FLOPS_PER_S * cores)), compute_share(evidence))


def _peaks(**flops_per_s: float) -> dict[str, Rate]:
    return {name: Rate(value=value, basis="measured", source="an example") for name, value in flops_per_s.items()}


_FULL = {"flags": {"autocast_dtype": None}}
_BF16_CPU = {"cpu": {"instruction_sets": ("avx512f", "avx512_bf16")}}
_RATE = {"achieved_flops_per_s": 900e9, "flops_per_update": 90_000_000_000}

RULE = Rule(
    id="precision_unused",
    title="full precision on hardware that supports half precision",
    headline="computes in full precision on hardware that supports half precision",
    looks_at="The weights' dtype and autocast, the accelerator's compute capability or the CPU's instruction sets, "
    "known peaks in full and half precision, the share of forward and backward, the achieved rate, and the "
    "operators called.",
    thresholds=(
        "BF16_CAPABILITY",
        "FP16_CAPABILITY",
        "BF16_INSTRUCTIONS",
        "HALF_SAVES",
        "CPU_FLOPS_PER_S",
        "MOST_SAVED",
        "PRODUCTS_REACH",
        "HALF_PRODUCTS_REACH",
        "MIN_RATIO",
        "MIN_COMPUTE_SHARE",
        "MAX_OVERHEAD",
        "MOSTLY",
        "MIN_FLOPS",
        "MIN_SAVED",
        "SURE_SAVED",
    ),
    source="The PyTorch profiler's TensorBoard plug-in and DLProf flag unused tensor cores; pytorch#45420 is why "
    "small operators are left out.",
    url="https://docs.pytorch.org/docs/stable/amp.html",
    knobs=("precision",),
    applies=in_single_precision,
    is_choice=True,
    judge=judge,
    examples=(
        Example(name="a transformer in float32 on an H100", evidence=healthy_cuda(workload=_FULL), fires=True),
        Example(
            name="large products in float32 on a CPU with AVX512-BF16",
            evidence=healthy_cpu(hardware=_BF16_CPU, compute=_RATE),
            fires=True,
        ),
        Example(name="under bf16 autocast", evidence=healthy_cuda(), fires=False),
        Example(
            name="a CPU whose measured peak in bf16 is hardly higher",
            evidence=healthy_cpu(
                hardware={**_BF16_CPU, "cpu_peak_flops": _peaks(fp32=150e9, bf16=165e9)}, compute=_RATE
            ),
            fires=False,
        ),
        Example(
            name="an accelerator whose peak in bf16 is that of float32",
            evidence=healthy_cuda(
                workload=_FULL, hardware={"accelerators": (gpu(peak_flops=_peaks(fp32=60e12, bf16=60e12)),)}
            ),
            fires=False,
        ),
        Example(
            name="convolutions, which run in TF32 already, on a device that is no faster in bf16",
            evidence=healthy_cuda(
                workload=_FULL,
                compute={"convolution_fraction": 0.95},
                hardware={"accelerators": (gpu(peak_flops=_peaks(fp32=60e12, tf32=480e12, bf16=500e12)),)},
            ),
            fires=False,
        ),
        Example(name="a CPU without bf16 instructions", evidence=healthy_cpu(compute=_RATE), fires=False),
        Example(
            name="products too small to fill a CPU that has them",
            evidence=healthy_cpu(hardware=_BF16_CPU, compute={"achieved_flops_per_s": 90e9}),
            fires=False,
        ),
        Example(
            name="weights in bfloat16",
            evidence=healthy_cuda(
                workload={**_FULL, "models": (model(device="cuda:0", parameter_dtypes={"bfloat16": 12_000_000}),)}
            ),
            fires=False,
        ),
        Example(
            name="launches are the cost",
            evidence=healthy_cuda(
                workload=_FULL, device_use=device_use(busy_s=0.04, idle_s={"forward": 0.03, "backward": 0.03})
            ),
            fires=False,
        ),
    ),
)
