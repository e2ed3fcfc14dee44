"""Memory of a device at its peak: the state of the training, what the backward needs, and what is at hand.

The peak is either at the start of the backward, with all activations, or at its end, with all gradients, or in the
optimizer's step. Gradients are given back before the next forward (`zero_grad(set_to_none=True)`).
"""

from __future__ import annotations

import math

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
    copies = _copies(cost, layout, own, split)
    at_hand = _at_hand(cost, layout)
    block_gradients = cost.block.parameters / layout.tensor * cost.gradient_bytes if fully and split > 1 else 0.0
    stepped = own / (split if split > 1 else 1)
    moments = {
        # Buckets stay allocated: the copy of the gradients is there from the start.
        "start of backward": (gradients / 2 if layout.sharding in ("ddp", "zero1") else 0.0, kept, copies + at_hand),
        "end of backward": (gradients, kept / max(1, cost.blocks), copies + block_gradients * 2),
        "step": (gradients, 0.0, cost.optimizer_temporary * stepped * cost.parameter_bytes),
    }
    if layout.micro_steps > 1:  # gradients of the earlier micro-steps are there at the start of the last one
        _none, kept_then, working = moments["start of backward"]
        moments["start of backward"] = (gradients, kept_then, working)
    found = max(moments.values(), key=sum)
    return MemoryParts(
        parameters_bytes=parameters,
        gradients_bytes=found[0],
        optimizer_bytes=optimizer,
        activations_bytes=found[1],
        working_bytes=found[2] + cost.least_bytes,
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


def _at_hand(cost: ModelCost, layout: Layout) -> float:
    """Return the bytes of the loss, or of the block that is computed again, whichever is more."""
    loss = layout.micro_batch * cost.last_working_bytes / layout.tensor
    block = layout.micro_batch * cost.block.working_bytes / layout.tensor if layout.recompute != "none" else 0.0
    return max(loss, block)


def _copies(cost: ModelCost, layout: Layout, own: float, split: int) -> float:
    """Return the bytes of parameters that are gathered or cast at the peak."""
    block = cost.block.parameters / layout.tensor * cost.compute_bytes
    around = max(cost.first_parameters, cost.last_parameters) / layout.tensor * cost.compute_bytes
    match layout.sharding:
        case "fsdp2_kept" | "hybrid" | "fsdp2" if split == 1:
            return own * cost.compute_bytes if cost.cast_copies else 0.0
        case "fsdp2" | "hybrid":
            return around + 2 * block  # one at hand, one that is gathered ahead
        case "fsdp2_kept":
            return own * cost.compute_bytes
        case "none" | "ddp" | "zero1" | "zero2":
            return own * cost.compute_bytes if cost.cast_copies else 0.0
