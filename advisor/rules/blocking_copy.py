"""Batches are copied to the accelerator while it waits."""

from __future__ import annotations

from typing import Any

from ..types import CallSite, Ceiling, DeviceUse, Evidence
from ._base import Example, Hit, Judgement, Rule, Undecided, severity_of
from ._examples import call, device_use, healthy_cpu, healthy_cuda, train_loader
from ._read import call_places, calls, percent, phase_share, size, step_share

MIN_COPY_SHARE = 0.05
"""Share from which it is reported: pinned memory and an asynchronous copy are two arguments (others begin at 10%)."""
COPIES = ("to", "cuda", "copy_")
PINNED = "`pin_memory=True` to the `DataLoader` and "
SLOW_DETAILS = ("pageable", "blocking")
"""Trace details of copies that the host or the device waits for."""


def judge(evidence: Evidence) -> Judgement:
    use = evidence.device_use
    share = _waited(evidence, use)
    if share < MIN_COPY_SHARE:
        return None
    slow = [site for site in calls(evidence, COPIES) if _is_slow(site)]
    loader = evidence.workload.train_loader
    pageable = loader is not None and not loader.pin_memory
    if use is not None and use.to_device_bytes:
        pageable = use.to_device_pageable_bytes > 0
    if not slow and not pageable:
        if evidence.trace is None:
            return Undecided(
                why=f"copies take {percent(share)} of the loop, but they were not traced", most_share=share
            )
        return None
    return Hit(
        share=share,
        severity=severity_of(share, least="warning"),
        evidence=f"The accelerator waits {percent(share)} of the loop for copies from the host{_how(slow, pageable)}."
        f"{_copied(use)}",
        advice=f"Pass {PINNED if pageable else ''}`non_blocking=True` to `.to(...)`: the next batch is then copied "
        "while this one is computed. Copy compact dtypes (uint8 images) and convert them on the device.",
        where=call_places(slow),
        ceiling=Ceiling.from_share(share),
    )


def _waited(evidence: Evidence, use: DeviceUse | None) -> float:
    """Return the share of the loop that the device waits for copies, or copies itself.

    A call that copies also waits for kernels that were launched before it, where copy and kernels are in one queue: the
    device's own clock leaves that time out.
    """
    share = phase_share(evidence, "host_to_device")
    if use is None:
        return share
    copying = use.copy_s / use.update_s if use.update_s > 0 else 0.0
    return min(share, (use.idle_fraction("host_to_device") + copying) * step_share(evidence))


def _is_slow(site: CallSite) -> bool:
    words = site.detail.replace(",", " ").split()
    return any(word in SLOW_DETAILS for word in words)


def _how(slow: list[CallSite], pageable: bool) -> str:
    if slow:
        moved = sum(site.bytes_per_update or 0 for site in slow)
        amount = f", {size(moved)} per update" if moved else ""
        return f" ({slow[0].detail}{amount})"
    return " (from memory that is not pinned)" if pageable else ""


def _copied(use: DeviceUse | None) -> str:
    """Describe the copies that the device received."""
    if use is None or not use.to_device_bytes:
        return ""
    return (
        f" The device receives {size(use.to_device_bytes)} per update, {size(use.to_device_pageable_bytes)} of it from "
        "pageable memory."
    )


def _waiting(seconds: float, **changes: Any) -> DeviceUse:
    """Return the figures of an update of 100 ms in which the device waits so long while the CPU copies."""
    return device_use(busy_s=0.1 - seconds, update_s=0.1, idle_s={"host_to_device": seconds}, **changes)


RULE = Rule(
    id="blocking_copy",
    title="the accelerator waits for copies from the host",
    headline="waits for copies to the device {share} of its time",
    looks_at="The exposed time of copies to the accelerator (from stream events, and no more than the device's own "
    "clock has), the traced copies with their memory and mode, the bytes that the device received from pageable "
    "memory, and whether the loader pins its batches.",
    thresholds=("MIN_COPY_SHARE", "SLOW_DETAILS", "CRITICAL_SHARE"),
    source="Nsight Systems' expert rules on pageable and synchronous copies; TraceML warns from 10% of the step.",
    url="https://docs.pytorch.org/tutorials/intermediate/pinmem_nonblock.html",
    knobs=("pin_memory", "async_copy"),
    applies=lambda evidence: evidence.on_accelerator,
    judge=judge,
    examples=(
        Example(
            name="a fifth of the loop in blocking copies from pageable memory",
            evidence=healthy_cuda(
                phases={"host_to_device": 0.2},
                trace={"calls": (call("to", detail="pageable, blocking", bytes_per_update=150_000_000),)},
                device_use=_waiting(0.018),
            ),
            fires=True,
        ),
        Example(
            name="no trace, and a loader that does not pin",
            evidence=healthy_cuda(
                phases={"host_to_device": 0.1},
                workload={"loaders": (train_loader(pin_memory=False),)},
                trace=None,
                device_use=None,
            ),
            fires=True,
        ),
        Example(
            name="a library's copies from pageable memory, beside a loader that pins",
            evidence=healthy_cuda(
                phases={"host_to_device": 0.1},
                device_use=_waiting(0.008, to_device_bytes=50_000_000, to_device_pageable_bytes=50_000_000),
            ),
            fires=True,
        ),
        Example(
            name="from pinned memory, blocking: the wait is for kernels that were launched before",
            evidence=healthy_cuda(
                phases={"host_to_device": 0.8},
                trace={"calls": (call("to", detail="pinned, blocking", bytes_per_update=250_000),)},
                device_use=_waiting(0.002),
            ),
            fires=False,
        ),
        Example(name="0.6% of the loop", evidence=healthy_cuda(), fires=False),
        Example(
            name="pinned and asynchronous, bound by the link",
            evidence=healthy_cuda(
                phases={"host_to_device": 0.15}, trace={"calls": (call("to", detail="pinned, non_blocking"),)}
            ),
            fires=False,
        ),
        Example(name="on a CPU nothing is copied", evidence=healthy_cpu(phases={"host_to_device": 0.2}), fires=False),
        Example(
            name="pinned, and not traced",
            evidence=healthy_cuda(phases={"host_to_device": 0.1}, trace=None, device_use=None),
            fires="abstains",
        ),
    ),
)
