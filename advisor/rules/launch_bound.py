"""The accelerator waits for the CPU to launch its kernels."""

from __future__ import annotations

from dataclasses import replace

from ..types import Ceiling, DeviceUse, Evidence, Place
from ._base import Example, Hit, Judgement, Rule, Undecided, clamp, severity_of
from ._examples import device_use, healthy_cpu, healthy_cuda
from ._read import MAX_PLACES, duration, percent, step_share

PHASES = ("forward", "backward", "optimizer")
"""Phases that launch the training's kernels; in the others the device waits for data, copies or the script's code."""
MIN_IDLE = 0.10
"""Fraction of the update in which the device idles there, from which it is reported: kernels that follow each other
closely leave 1 to 5% between them."""
MIN_LINE_SHARE = 0.01
"""Fraction of the update below which a line is left out."""


def judge(evidence: Evidence) -> Judgement:
    use = evidence.device_use
    if use is None:
        return Undecided(why=evidence.why_no_device_use or "the device was not traced")
    flags = evidence.workload.flags
    idle = use.idle_fraction(*PHASES)
    if idle < MIN_IDLE:
        return None
    if flags.anomaly_detection or flags.profiler_on or flags.launch_blocking:
        return Undecided(why="a debugging feature slows every launch; disable it first (see debug_mode)")
    share = clamp(idle * step_share(evidence))
    return Hit(
        share=share,
        severity=severity_of(share),
        evidence=_words(use, idle),
        advice="Launch fewer, larger kernels: `torch.compile(model)` fuses them, and its CUDA graphs "
        '(`mode="reduce-overhead"`) launch all at once; a fused optimizer and a larger micro-batch also help.',
        where=_places(use),
        ceiling=Ceiling.from_share(share, high=max(share, (1 - use.busy_fraction) * step_share(evidence))),
    )


def _words(use: DeviceUse, idle: float) -> str:
    typical = f", typically {duration(use.kernel_median_s)} long" if use.kernel_median_s is not None else ""
    return (
        f"The device works {percent(use.busy_fraction)} of an update of {duration(use.update_s)}. In forward, backward "
        f"and optimizer it waits {percent(idle)} of the update for the CPU to launch its {use.kernels_per_update:,.0f} "
        f"kernels{typical}."
    )


def _places(use: DeviceUse) -> tuple[Place, ...]:
    """Return the lines during which the device idles there, the most expensive first."""
    least_s = MIN_LINE_SHARE * use.traced_update_s
    found = [gap for gap in use.gaps if gap.phase in PHASES and gap.file and gap.seconds_per_update >= least_s]
    return tuple(
        Place(
            file=gap.file,
            line=gap.line,
            function=gap.function,
            share=clamp(gap.seconds_per_update / use.traced_update_s) if use.traced_update_s > 0 else None,
        )
        for gap in sorted(found, key=lambda gap: -gap.seconds_per_update)[:MAX_PLACES]
    )


_LAUNCHING = device_use(
    busy_s=0.0038, update_s=0.00925, idle_s={"forward": 0.0022, "backward": 0.0026, "other": 0.0006}
)
_DEBUGGED = {"flags": {"anomaly_detection": True}}

RULE = Rule(
    id="launch_bound",
    title="the accelerator waits for its kernels to be launched",
    headline="launches its kernels too slowly for the accelerator, which waits {share} of the time",
    looks_at="The device's own clock (Kineto): its idle time while the CPU is in forward, backward or optimizer, and "
    "the number and length of its kernels.",
    thresholds=("MIN_IDLE", "MIN_LINE_SHARE", "CRITICAL_SHARE"),
    source="Holistic Trace Analysis calls it host wait between kernels; a ResNet-18 at 32 pixels on one H100 kept the "
    "device busy less than half of the time.",
    url="https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs",
    knobs=("compile", "global_batch", "fused_optimizer"),
    establish=lambda facts, _evidence: replace(facts, launches_limit=True),
    applies=lambda evidence: evidence.on_accelerator,
    judge=judge,
    examples=(
        Example(
            name="small images: 3.8 ms of kernels in an update of 9.25 ms",
            evidence=healthy_cuda(device_use=_LAUNCHING),
            fires=True,
        ),
        Example(
            name="a fifth of the update idle in the optimizer",
            evidence=healthy_cuda(device_use=device_use(busy_s=0.078, idle_s={"optimizer": 0.02, "other": 0.002})),
            fires=True,
        ),
        Example(name="a busy device", evidence=healthy_cuda(), fires=False),
        Example(
            name="it waits for data, not for launches",
            evidence=healthy_cuda(device_use=device_use(busy_s=0.05, idle_s={"data_wait": 0.048, "forward": 0.002})),
            fires=False,
        ),
        Example(
            name="9% idle in the forward",
            evidence=healthy_cuda(device_use=device_use(busy_s=0.09, idle_s={"forward": 0.009, "other": 0.001})),
            fires=False,
        ),
        Example(name="on a CPU", evidence=healthy_cpu(), fires=False),
        Example(
            name="another profiler holds the device",
            evidence=healthy_cuda(device_use=None, why_no_device_use="another profiler holds CUPTI"),
            fires="abstains",
        ),
        Example(
            name="anomaly detection slows every launch",
            evidence=healthy_cuda(device_use=_LAUNCHING, workload=_DEBUGGED),
            fires="abstains",
        ),
    ),
)
