"""Memory of a device at its peak: the state of the training, what the backward needs, and what is at hand.

The peak is at the end of the forward, at the loss or in the first block's backward, with all activations; at the end of
the backward, with all gradients; or in the optimizer's step. Gradients are given back by
`zero_grad(set_to_none=True)`, before the forward or after it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..types import Layout, MemoryParts
from .cost import ModelCost

BUCKET_BYTES = 25 * 2**20
"""Bytes of a bucket of `DistributedDataParallel`."""


def stage_parameters(cost: ModelCost, layout: Layout) -> float:
    """Return the parameters of the fullest stage, as far as one device of a tensor-parallel group has them."""
    blocks = math.ceil(cost.blocks / layout.pipeline)
    around = max(cost.first_parameters, cost.last_parameters)
    if layout.pipeline == 1:
        around = cost.first_parameters + cost.last_parameters
    return (blocks * cost.block.parameters + around) / layout.tensor


def shards(layout: Layout, per_machine: int) -> int:
    """Return the number of devices that a replica's state is split over."""
    if layout.sharding == "hybrid":
        return max(1, min(layout.data, per_machine // layout.tensor))
    return layout.data if layout.sharding in ("zero1", "zero2", "fsdp2", "fsdp2_kept") else 1


def device_memory(cost: ModelCost, layout: Layout, per_machine: int) -> MemoryParts:
    """Return the parts of the memory of the fullest device, at the moment when they are largest together."""
    own, split = stage_parameters(cost, layout), shards(layout, per_machine)
    fully = layout.sharding in ("fsdp2", "fsdp2_kept", "hybrid")
    parameters = own * cost.parameter_bytes / (split if fully else 1)
    gradients = own * cost.gradient_bytes / (split if fully or layout.sharding == "zero2" else 1)
    if layout.sharding in ("ddp", "zero1"):
        gradients *= 2  # buckets hold a second copy, unless gradients are views of them
    optimizer = own * cost.optimizer_bytes / split
    kept = activations(cost, layout)
    gathered = _gathered(cost, layout, own, split)
    unreduced = cost.block.parameters / layout.tensor * cost.gradient_bytes if fully and split > 1 else 0.0
    whole = cost.gradient_bytes * own if fully and split > 1 and layout.pipeline > 1 else 0.0
    loss = layout.micro_batch * cost.last_working_bytes / layout.tensor
    block = layout.micro_batch * cost.block.working_bytes / layout.tensor if layout.recompute != "none" else 0.0
    # Buckets stay allocated: the copy of the gradients is there from the start.
    early = gradients / 2 if layout.sharding in ("ddp", "zero1") else 0.0
    added = layout.micro_steps > 1  # gradients of the earlier micro-steps
    reset_late = cost.gradients_in_forward and layout.pipeline == 1
    output = layout.micro_batch * cost.forward_working_bytes / layout.tensor
    stepped = cost.optimizer_temporary * own / split * cost.parameter_bytes
    moments = {
        "forward": (gradients if added or reset_late else early, kept, gathered.between + output),
        "loss": ((gradients if added else early) + whole, kept, gathered.between + loss),
        "block": ((gradients if added else early) + whole, kept, gathered.in_block + block + unreduced),
        "end of backward": (gradients + whole, kept / max(1, cost.blocks), gathered.in_block + unreduced),
        "step": (gradients, 0.0, stepped),
    }
    found = max(moments.values(), key=sum)
    return MemoryParts(
        parameters_bytes=parameters,
        gradients_bytes=found[0],
        optimizer_bytes=optimizer,
        activations_bytes=found[1],
        working_bytes=found[2],
    )


def activations(cost: ModelCost, layout: Layout) -> float:
    """Return the bytes that one device keeps for its backwards: of several micro-batches in a pipeline."""
    blocks = math.ceil(cost.blocks / layout.pipeline)
    a_batch = layout.micro_batch * blocks * cost.block.kept_bytes[layout.recompute] / layout.tensor
    last = layout.micro_batch * cost.last_kept_bytes / layout.tensor
    if layout.pipeline == 1:
        return a_batch + last
    in_flight = min(float(layout.micro_steps), float(layout.pipeline))
    if layout.interleaved > 1:  # Megatron-LM, section 2.2: a stage's groups add a part of the pipeline's length
        in_flight = min(
            float(layout.micro_steps),
            layout.pipeline * (1 + (layout.pipeline - 1) / (layout.pipeline * layout.interleaved)),
        )
    return a_batch * in_flight


@dataclass(frozen=True, kw_only=True)
class _Gathered:
    """Bytes of parameters that are whole, or cast, on a device."""

    between: float
    """While the loss is computed."""
    in_block: float
    """In a block's forward or backward."""


def _gathered(cost: ModelCost, layout: Layout, own: float, split: int) -> _Gathered:
    everything = own * cost.compute_bytes
    sharded = split > 1 and layout.sharding in ("fsdp2", "fsdp2_kept", "hybrid")
    casts = 0.0 if sharded and cost.gathers_casts else own * cost.cast_bytes
    if layout.sharding in ("fsdp2", "hybrid") and split > 1:
        # The root module keeps what no block has (fully_shard's default); one block is at hand, and one comes next.
        around = (own - cost.blocks / layout.pipeline * cost.block.parameters / layout.tensor) * cost.compute_bytes
        blocks = 2 * cost.block.parameters / layout.tensor * cost.compute_bytes
        return _Gathered(between=around + casts, in_block=around + blocks + casts)
    if layout.sharding == "fsdp2_kept" and split > 1:
        return _Gathered(between=everything + casts, in_block=everything + casts)
    return _Gathered(between=casts, in_block=casts)
