"""Layouts that a model can have on so many devices, and the reasons for those that it cannot have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..types import Layout, Sharding
from .cluster import Cluster
from .cost import ModelCost

MOST_TENSOR = 8
"""Largest degree of tensor parallelism: beyond it products are small, and machines end."""
GROUPS_OF_A_STAGE = 2
"""Groups of blocks on each stage of an interleaved pipeline."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Split of the devices; sharding and micro-batch are chosen later."""

    data: int
    tensor: int
    pipeline: int


def shapes(cost: ModelCost, devices: int, per_machine: int, global_batch: int) -> Iterator[Shape]:
    """Yield all splits of the devices that the model and the global batch allow."""
    degrees = [1, *(degree for degree in cost.tensor_degrees if degree <= min(MOST_TENSOR, per_machine))]
    for tensor in degrees:
        if devices % tensor or per_machine % tensor:
            continue
        rest = devices // tensor
        for pipeline in _divisors(rest):
            data = rest // pipeline
            if pipeline <= cost.blocks and data <= global_batch and global_batch % data == 0:
                yield Shape(data=data, tensor=tensor, pipeline=pipeline)


def shardings(shape: Shape, cluster: Cluster) -> tuple[Sharding, ...]:
    """Return the ways to keep the state of the replicas."""
    if shape.data == 1:
        return ("none",)
    if shape.pipeline > 1:
        # Schedules keep what they gathered for all micro-batches (torchtitan: reshard_after_forward=False).
        return ("ddp", "zero1", "fsdp2_kept")
    near = cluster.device.per_machine // shape.tensor
    hybrid: tuple[Sharding, ...] = ("hybrid",) if 1 < near < shape.data and shape.data % near == 0 else ()
    return ("ddp", "zero1", "zero2", "fsdp2", "fsdp2_kept", *hybrid)


def layouts(cost: ModelCost, cluster: Cluster, global_batch: int) -> Iterator[Layout]:
    """Yield all layouts, each with its largest micro-batch."""
    device = cluster.device
    for shape in shapes(cost, device.count, device.per_machine, global_batch):
        samples = global_batch // shape.data
        for sharding in shardings(shape, cluster):
            for recompute in cost.recomputes:
                plain = Layout(
                    sharding=sharding,
                    data=shape.data,
                    tensor=shape.tensor,
                    pipeline=shape.pipeline,
                    recompute=recompute,
                    micro_batch=samples,
                )
                yield plain
                if shape.pipeline > 1 and cost.blocks >= shape.pipeline * GROUPS_OF_A_STAGE:
                    yield replace(plain, interleaved=GROUPS_OF_A_STAGE)


def with_micro_batches(layout: Layout) -> Iterator[Layout]:
    """Yield the layout with every micro-batch that divides its samples, the largest first."""
    samples = layout.micro_batch
    for micro_batch in reversed(_divisors(samples)):
        yield replace(layout, micro_batch=micro_batch, micro_steps=samples // micro_batch)


def closed(cost: ModelCost, cluster: Cluster, global_batch: int) -> dict[str, str]:
    """Return the kinds of layouts that this model cannot have here, with the reasons."""
    found: dict[str, str] = {}
    devices = cluster.device.count
    if devices > 1 and not cost.tensor_degrees:
        found["tensor parallelism"] = cost.why_no_tensor or "no degree divides its heads"
    if devices > 1 and cost.blocks < 2:
        found["pipeline"] = cost.why_no_blocks
    if "full" not in cost.block.recompute:
        found["activation checkpointing"] = cost.why_no_blocks
    if devices > global_batch:
        found["a replica on each device"] = (
            f"an update of {global_batch:,} samples has fewer than there are devices ({devices:,})"
        )
    elif global_batch % devices:
        found["a replica on each device"] = f"{global_batch:,} samples cannot be split evenly over {devices:,} devices"
    return found


def _divisors(number: int) -> list[int]:
    small = [one for one in range(1, int(number**0.5) + 1) if number % one == 0]
    return sorted({*small, *(number // one for one in small)})
