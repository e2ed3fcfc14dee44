"""The accelerator's clock is held below its best."""

from __future__ import annotations

from ..types import Accelerator, Ceiling, Evidence
from ._base import Example, Hit, Judgement, Rule, clamp, severity_of
from ._examples import gpu, healthy_cpu, healthy_cuda
from ._read import percent, phase_share

HARMFUL_REASONS = ("hw_slowdown", "sw_thermal", "hw_thermal", "power_brake")
"""Reasons that no healthy machine shows for long. A power cap (sw_power_cap) is ordinary at full load."""
LOWERED_CAP = 0.9
"""Fraction of the default power limit below which somebody has lowered the cap, which then counts as a reason. A cap at
its default is ordinary at full load."""


def judge(evidence: Evidence) -> Judgement:
    reasons = sorted(_reasons(evidence))
    if not reasons:
        return None
    lost = max((_clock_lost(each) for each in evidence.hardware.accelerators), default=0.0)
    share = lost * phase_share(evidence, "forward", "backward", "optimizer")
    return Hit(
        share=share,
        severity=severity_of(share, least="warning"),
        evidence=f"The accelerator's clock is reduced ({', '.join(reasons)})"
        + (f", {percent(lost)} below its maximum." if lost > 0 else "."),
        advice="Against heat, improve cooling; against a power brake or hardware slowdown, use a sufficient power "
        "supply; for a lowered power cap, restore the default (`nvidia-smi -q -d POWER` shows both).",
        ceiling=Ceiling.from_share(share) if share > 0 else None,
    )


def _reasons(evidence: Evidence) -> set[str]:
    """Return reasons seen during the run or by the probe; the run's come first, since an idle clock is always low."""
    seen = set(evidence.system.accelerator_events)
    for accelerator in evidence.hardware.accelerators:
        seen.update(accelerator.event_reasons)
    found = {reason for reason in seen if reason in HARMFUL_REASONS}
    if "sw_power_cap" in seen and any(_cap_is_lowered(each) for each in evidence.hardware.accelerators):
        found.add("sw_power_cap")
    return found


def _cap_is_lowered(accelerator: Accelerator) -> bool:
    cap, default = accelerator.power_limit_w, accelerator.power_limit_default_w
    return cap is not None and default is not None and cap < LOWERED_CAP * default


def _clock_lost(accelerator: Accelerator) -> float:
    """Return how far the clock is below its best; 0 if that is not known or nothing limited it when it was read."""
    now, best = accelerator.clock_sm_mhz, accelerator.clock_sm_max_mhz
    return clamp(1 - now / best) if now and best and accelerator.event_reasons else 0.0


RULE = Rule(
    id="throttled",
    title="the accelerator's clock is reduced",
    headline="runs on a throttled device",
    looks_at="The driver's reasons for a reduced clock before and during the run, the clocks, and the power caps.",
    thresholds=("HARMFUL_REASONS", "LOWERED_CAP"),
    source="NVML's clock event reasons; gpuprof infers it from 82 °C and a clock 15% low.",
    url="https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html",
    applies=lambda evidence: evidence.on_accelerator,
    judge=judge,
    needs_updates=False,
    examples=(
        Example(
            name="too hot: clock a third below its best",
            evidence=healthy_cuda(
                hardware={"accelerators": (gpu(event_reasons=("hw_thermal",), clock_sm_mhz=1320, temperature_c=88),)}
            ),
            fires=True,
        ),
        Example(
            name="a power brake during the run",
            evidence=healthy_cuda(system={"accelerator_events": ("power_brake",)}),
            fires=True,
        ),
        Example(
            name="at a cap lowered to 350 of 700 W",
            evidence=healthy_cuda(
                hardware={"accelerators": (gpu(event_reasons=("sw_power_cap",), power_limit_w=350.0),)}
            ),
            fires=True,
        ),
        Example(
            name="at its default power cap under full load",
            evidence=healthy_cuda(system={"accelerator_events": ("sw_power_cap",)}),
            fires=False,
        ),
        Example(
            name="trained on the CPU beside a hot accelerator",
            evidence=healthy_cpu(hardware={"accelerators": (gpu(event_reasons=("hw_thermal",)),)}),
            fires=False,
        ),
        Example(name="at its best clock", evidence=healthy_cuda(), fires=False),
    ),
)
