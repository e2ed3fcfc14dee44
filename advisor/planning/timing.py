"""Time of an update: work over the peaks that training reaches, and the communication that no computing hides."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..types import Layout, TimeParts
from .cluster import Cluster
from .collectives import Group, all_reduce_s, gather_s, group, send_s
from .cost import ModelCost, Work
from .memory import BUCKET_BYTES, shards, stage_parameters

COLLECTIVES_OF_A_BLOCK = 4
"""Of tensor parallelism with split sequences, in a forward: two gathers and two reductions; as many in a backward."""
BUCKET_COPIES = 4
"""Bytes moved for each byte of gradients that goes to a bucket of `DistributedDataParallel` and back."""
LAUNCH_S = 5e-6
"""Time to launch a kernel from Python: 4 to 6 µs for torch's small operators on recent machines."""


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Seconds of some work by kind."""

    matrix: float = 0.0
    attention: float = 0.0
    memory: float = 0.0

    @property
    def total(self) -> float:
        return self.matrix + self.attention + self.memory

    def plus(self, other: Seconds, times: float = 1.0) -> Seconds:
        return Seconds(
            matrix=self.matrix + times * other.matrix,
            attention=self.attention + times * other.attention,
            memory=self.memory + times * other.memory,
        )


@dataclass(frozen=True, kw_only=True)
class MicroStep:
    """Seconds of one micro-batch on the busiest stage."""

    forward: Seconds
    backward: Seconds
    again: Seconds
    """Forward that checkpointing runs again."""
    tensor_forward_s: float
    """Communication of tensor parallelism, which nothing hides."""
    tensor_backward_s: float
    launch_s: float
    """Time beyond the work in which the device waits for launches."""

    @property
    def forward_s(self) -> float:
        return self.forward.total + self.tensor_forward_s + self.launch_s / 3

    @property
    def backward_s(self) -> float:
        return self.backward.total + self.again.total + self.tensor_backward_s + self.launch_s * 2 / 3


class Timer:
    """Times of one model on one cluster."""

    def __init__(self, cost: ModelCost, cluster: Cluster, precision: str) -> None:
        self._cost = cost
        self._cluster = cluster
        peaks, reached = cluster.peak_flops, cluster.achieved
        self._matrix_rate = peaks[precision] * reached.matrix.value
        plain = peaks.get("bf16", peaks[precision]) if precision == "fp8" else peaks[precision]
        self._plain_rate = plain * reached.matrix.value
        self._attention_rate = plain * reached.attention.value
        self._memory_rate = cluster.memory_bytes_per_s

    def seconds(self, work: Work) -> Seconds:
        """Return the time of some work on one device."""
        low = work.matrix_flops * work.low_fraction
        return Seconds(
            matrix=low / self._matrix_rate + (work.matrix_flops - low) / self._plain_rate,
            attention=work.attention_flops / self._attention_rate,
            memory=work.traffic_bytes / self._memory_rate,
        )

    def update(self, layout: Layout) -> TimeParts:
        """Return the parts of the time of an update."""
        step = self._micro_step(layout)
        steps = layout.micro_steps
        computing = step.forward_s + step.backward_s
        bubble_s = self._bubble_s(layout, computing)
        compute = step.forward.plus(step.backward)
        return TimeParts(
            matrix_s=steps * compute.matrix,
            attention_s=steps * compute.attention,
            memory_s=steps * compute.memory,
            launch_s=steps * step.launch_s,
            recompute_s=steps * step.again.total,
            optimizer_s=self._optimizer_s(layout),
            data_communication_s=self._data_s(layout, step),
            tensor_communication_s=steps * (step.tensor_forward_s + step.tensor_backward_s),
            bubble_s=bubble_s,
        )

    def _micro_step(self, layout: Layout) -> MicroStep:
        cost, batch = self._cost, layout.micro_batch
        blocks = cost.blocks / layout.pipeline
        whole = math.ceil(cost.blocks / layout.pipeline)
        part = batch / layout.tensor
        weights = Work(traffic_bytes=cost.block.weight_traffic_bytes / layout.tensor)
        forward = self.seconds(cost.block.forward.times(part)).plus(self.seconds(weights), 0.5)
        backward = self.seconds(cost.block.backward.times(part)).plus(self.seconds(weights), 0.5)
        again = self.seconds(cost.block.recompute[layout.recompute].times(part))
        head_forward = self.seconds(cost.last_forward.times(part))
        head_backward = self.seconds(cost.last_backward.times(part))
        # A balanced split gives the stage with the head fewer blocks, but no stage a part of a block.
        a_block = max(1e-30, forward.total + backward.total)
        even = blocks + (head_forward.total + head_backward.total) / a_block / layout.pipeline
        count, head = (blocks, 1.0 / layout.pipeline) if even >= whole else (float(whole), 0.0)
        exchanged = self._tensor_s(layout)
        again_share = {"none": 0.0, "selective": 0.5, "full": 1.0}[layout.recompute]
        there = Seconds().plus(forward, count).plus(head_forward, head)
        back = Seconds().plus(backward, count).plus(head_backward, head)
        repeated = Seconds().plus(again, count)
        launched = cost.launches / layout.pipeline * (1 + again_share / 3) * LAUNCH_S
        return MicroStep(
            forward=there,
            backward=back,
            again=repeated,
            launch_s=max(0.0, launched - there.total - back.total - repeated.total),
            tensor_forward_s=count * exchanged,
            tensor_backward_s=count * exchanged * (1 + again_share),
        )

    def _tensor_s(self, layout: Layout) -> float:
        """Return the time of a block's collectives in a forward: products wait for them."""
        if layout.tensor == 1:
            return 0.0
        size = layout.micro_batch * self._cost.block.boundary_bytes
        among = group(self._cluster, layout.tensor, 1)
        return COLLECTIVES_OF_A_BLOCK * gather_s(self._cluster, among, size)

    def _bubble_s(self, layout: Layout, computing_s: float) -> float:
        if layout.pipeline == 1:
            return 0.0
        waiting = (layout.pipeline - 1) / layout.interleaved
        message = layout.micro_batch * self._cost.block.boundary_bytes / layout.tensor
        near = layout.data * layout.tensor < self._cluster.device.per_machine
        hop_s = send_s(self._cluster, message, near=near)
        return waiting * computing_s + 2 * (layout.pipeline - 1) * hop_s

    def _optimizer_s(self, layout: Layout) -> float:
        own = stage_parameters(self._cost, layout) / shards(layout, self._cluster.device.per_machine)
        return own * self._cost.optimizer_traffic_bytes / self._memory_rate

    def _data_s(self, layout: Layout, step: MicroStep) -> float:
        """Return the part of the communication between replicas that the computing does not hide."""
        if layout.data == 1:
            return 0.0
        cost, cluster = self._cost, self._cluster
        own = stage_parameters(cost, layout)
        everyone = group(cluster, layout.data, layout.tensor)
        gradients, gathered = own * cost.gradient_bytes, own * cost.compute_bytes
        collectives = math.ceil(cost.blocks / layout.pipeline) + 1
        match layout.sharding:
            case "none":
                return 0.0
            case "ddp" | "zero1":
                buckets = max(1, math.ceil(gradients / BUCKET_BYTES))
                sum_s = buckets * all_reduce_s(cluster, everyone, gradients / buckets)
                exposed_s = self._exposed_s(sum_s, step.backward_s, buckets)
                after = own * cost.parameter_bytes if layout.sharding == "zero1" else 0.0
                copies_s = BUCKET_COPIES * gradients / self._memory_rate
                return exposed_s + copies_s + gather_s(cluster, everyone, after)
            case "zero2":
                reduce_s = collectives * gather_s(cluster, everyone, gradients / collectives)
                return self._exposed_s(reduce_s, step.backward_s, collectives) + gather_s(cluster, everyone, gathered)
            case "fsdp2" | "fsdp2_kept":
                return self._sharded_s(layout, step, everyone, 0.0)
            case "hybrid":
                near = Group(members=shards(layout, cluster.device.per_machine), near=everyone.near)
                across = Group(members=max(1, layout.data // near.members), near=1)
                # All devices of a machine sum their shards at once, each over its own adapter.
                shard = gradients / near.members / collectives
                return self._sharded_s(layout, step, near, collectives * all_reduce_s(cluster, across, shard))

    def _sharded_s(self, layout: Layout, step: MicroStep, among: Group, more_s: float) -> float:
        """Return the exposed time of FSDP2: gathers before each block, reductions after each; `more_s` is added to the
        latter."""
        cost, cluster = self._cost, self._cluster
        own, steps = stage_parameters(cost, layout), layout.micro_steps
        collectives = math.ceil(cost.blocks / layout.pipeline) + 1
        gather = collectives * gather_s(cluster, among, own * cost.compute_bytes / collectives)
        reduce = collectives * gather_s(cluster, among, own * cost.gradient_bytes / collectives) + more_s
        # A pipeline gathers once for all its micro-batches, and reduces once.
        times = 1 if layout.pipeline > 1 else steps
        kept = layout.sharding == "fsdp2_kept" or layout.pipeline > 1
        forward_s = self._exposed_s(gather, step.forward_s, collectives)
        backward_s = self._exposed_s(reduce + (0.0 if kept else gather), step.backward_s, collectives)
        return times * (forward_s + backward_s)

    def _exposed_s(self, communication_s: float, computing_s: float, pieces: int) -> float:
        """Return what is exposed of communication in `pieces` beside computing: one piece, and whatever is longer."""
        if not self._cluster.hides_communication:
            return communication_s
        one = communication_s / pieces
        return one + max(0.0, communication_s - one - computing_s)
