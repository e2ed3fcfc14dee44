"""The plan: every layout with its best micro-batch, ranked by speed; what does not fit by what is missing."""

from __future__ import annotations

import functools
from dataclasses import replace

from ..errors import UsageError
from ..spelling import parameter
from ..types import Layout, Plan, PlannedLayout
from . import layouts as possible
from .cluster import Cluster
from .cost import UNCERTAINTY, ModelCost
from .memory import device_memory
from .stages import split_points
from .timing import Timer

DEFAULT_UNITS = 16384
"""Tokens of an update for each device, for a model without a script that says more: as in torchtitan's tables."""
MOST_LISTED = 500
"""Layouts of each kind in a plan; the others are slower, or miss more."""
MOST_MICRO_BATCHES = 6
"""Micro-batches that are compared, from the largest that fits: smaller ones only cost time."""
PIPELINE_MICRO_BATCHES = 12
"""The same in a pipeline, which smaller micro-batches fill better."""


def planned(
    cost: ModelCost,
    cluster: Cluster,
    *,
    precision: str,
    global_batch: int | None = None,
    only: Layout | None = None,
) -> Plan:
    """Return the plan for a model on these devices; `only` restricts it to one layout, with that micro-batch."""
    batch = global_batch or max(1, DEFAULT_UNITS // cost.units_per_sample) * cluster.device.count
    timer = Timer(cost, cluster, precision)
    judge = functools.partial(judged, cost, cluster, timer)
    fitting: list[PlannedLayout] = []
    too_large: list[PlannedLayout] = []
    considered = 0
    for layout in possible.layouts(cost, cluster, batch) if only is None else [only]:
        best, smallest, count = _best(layout, cluster, cost, judge, fixed=only is not None)
        considered += count
        if best is not None:
            fitting.append(best)
        elif smallest is not None:
            too_large.append(smallest)
    if not fitting and not too_large:
        raise UsageError(
            f"no layout splits an update of {batch:,} samples over {cluster.device.count:,} devices: choose another "
            f"{parameter('global_batch', cluster.device.count)}"
        )
    if cost.chain is not None:
        points = functools.cache(functools.partial(split_points, cost.chain))
        fitting, too_large = (
            [replace(one, split_points=points(one.layout.stages)) for one in listed] for listed in (fitting, too_large)
        )
    fitting.sort(key=lambda one: (-one.samples_per_s, one.memory.total_bytes))
    too_large.sort(key=lambda one: one.missing_bytes)
    return Plan(
        model=cost.name,
        parameters=round(cost.parameters),
        basis="profile" if cost.basis == "profile" else "sizes",
        unit=cost.unit,
        units_per_sample=cost.units_per_sample,
        global_batch=batch,
        precision=precision,
        devices=cluster.device,
        layouts=tuple(fitting[:MOST_LISTED]),
        too_large=tuple(too_large[:MOST_LISTED]),
        closed=possible.closed(cost, cluster, batch),
        single=_single(cost, cluster, judge, batch),
        considered=considered,
        assumptions=_assumptions(cost, cluster, precision),
        uncertainty=cost.uncertainty,
        split_by=cost.chain.by if cost.chain is not None else "",
        improve=_improve(cost, cluster),
    )


def _single(
    cost: ModelCost, cluster: Cluster, judge: functools.partial[PlannedLayout], batch: int
) -> PlannedLayout | None:
    """Return the fastest way to use one device, or the one that misses least memory."""
    if cluster.device.count == 1:
        return None
    samples = max(1, batch // cluster.device.count)
    tried = [
        _best(Layout(sharding="none", recompute=one, micro_batch=samples), cluster, cost, judge, fixed=False)
        for one in cost.recomputes
    ]
    fitting = [best for best, _smallest, _count in tried if best is not None]
    too_large = [smallest for _best, smallest, _count in tried if smallest is not None]
    if fitting:
        return max(fitting, key=lambda one: one.samples_per_s)
    return min(too_large, key=lambda one: one.missing_bytes, default=None)


def judged(cost: ModelCost, cluster: Cluster, timer: Timer, layout: Layout) -> PlannedLayout:
    """Return a layout with its memory and its time."""
    memory = device_memory(cost, layout, cluster.device.per_machine)
    time = timer.update(layout)
    samples = layout.data * layout.micro_batch * layout.micro_steps
    rate = samples / time.total_s
    found = PlannedLayout(
        layout=layout,
        memory=memory,
        usable_bytes=cluster.usable_bytes,
        time=time,
        samples_per_s=rate,
        peak_fraction=rate * cost.model_flops / (cluster.device.peak_flops * layout.devices),
        limits="",
    )
    return replace(found, limits=_limits(found))


def _best(
    layout: Layout, cluster: Cluster, cost: ModelCost, judge: functools.partial[PlannedLayout], *, fixed: bool
) -> tuple[PlannedLayout | None, PlannedLayout | None, int]:
    """Return the fastest micro-batch that fits, the smallest one if none does, and how many were computed."""
    if fixed:
        found = judge(layout)
        return (found, None, 1) if found.fits else (None, found, 1)
    best: PlannedLayout | None = None
    smallest: PlannedLayout | None = None
    count = seen = 0
    most = PIPELINE_MICRO_BATCHES if layout.pipeline > 1 else MOST_MICRO_BATCHES
    for one in possible.with_micro_batches(layout):
        memory = device_memory(cost, one, cluster.device.per_machine)
        count += 1
        last = one.micro_batch == 1
        if memory.total_bytes > cluster.usable_bytes:
            if last and best is None:
                smallest = judge(one)
            continue
        found = judge(one)
        seen += 1
        if best is None or found.samples_per_s > best.samples_per_s:
            best = found
        if seen >= most:
            break
    return best, smallest, count


def _limits(found: PlannedLayout) -> str:
    """Name the largest part of the memory that does not fit, or the largest part of the time."""
    if not found.fits:
        parts = {
            "parameters": found.memory.parameters_bytes,
            "gradients": found.memory.gradients_bytes,
            "optimizer": found.memory.optimizer_bytes,
            "activations": found.memory.activations_bytes,
            "working memory": found.memory.working_bytes,
        }
        return max(parts, key=lambda name: parts[name])
    shares = found.time.shares()
    return max(shares, key=lambda name: shares[name])


def _assumptions(cost: ModelCost, cluster: Cluster, precision: str) -> tuple[str, ...]:
    reached, device = cluster.achieved, cluster.device
    said = [
        f"Products reach {reached.matrix.value:.0%} of the {precision} peak, attention {reached.attention.value:.0%}; "
        f"memory {reached.memory.value:.0%} of its bandwidth.",
    ]
    if device.count > 1:
        links = f"{device.link} {device.link_bandwidth / 1e9:,.4g} GB/s a device, {reached.link.value:.0%} reached"
        network = f"network {device.network_bandwidth / 1e9:,.3g} GB/s a device, {reached.network.value:.0%} reached"
        said.append(f"Links: {links}" + (f"; {network}." if device.machines > 1 else "."))
        said.append("Communication of replicas runs beside the computing; that of tensor parallelism does not.")
    said.append(f"{reached.usable_memory:.0%} of the memory can be used. The data arrive in time.")
    if not reached.matrix.known and cost.uncertainty <= UNCERTAINTY and cost.basis != "profile":
        said.append("No published row of such a device is in the table: its fraction of the peak is assumed.")
    return (*said, *cost.notes)


def _improve(cost: ModelCost, cluster: Cluster) -> tuple[str, ...]:
    found = []
    if cost.basis != "profile":
        found.append("a profile of the script on one such device, in place of the model's sizes")
    elif cost.uncertainty > UNCERTAINTY:
        found.append("a profile of the script on one such device")
    if cost.basis == "profile" and cost.chain is None and cost.blocks > 1 and cluster.device.count > 1:
        found.append("a new profile, which names the blocks at which the stages of a pipeline can begin")
    if cluster.device.count > 1:
        found.append("the bandwidth of an all-reduce on these machines (nccl-tests), given by hand")
    return tuple(found)
