"""The result of `advisor plan`: ways to lay a training out on devices, with their memory and their speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PLAN_VERSION = 1
"""Version of the JSON document."""

Sharding = Literal["none", "ddp", "zero1", "zero2", "fsdp2", "fsdp2_kept", "hybrid"]
"""Split of the training's state among the replicas. `fsdp2` reshards after the forward (ZeRO 3), `fsdp2_kept` does not,
and `hybrid` shards within a machine and replicates across machines."""
Recompute = Literal["none", "selective", "full"]
"""Activation checkpointing: none; of every block attention and every second product are kept; or its input alone."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way to use all devices."""

    sharding: Sharding
    data: int = 1
    """Replicas, each with its own samples."""
    tensor: int = 1
    """Devices that share every block's products."""
    pipeline: int = 1
    """Stages, each with consecutive blocks."""
    interleaved: int = 1
    """Groups of blocks on each stage; 1 is the schedule 1F1B."""
    recompute: Recompute = "none"
    micro_batch: int = 1
    """Samples of a replica in the model at a time."""
    micro_steps: int = 1
    """Backwards of an update; the micro-batches that fill a pipeline."""

    @property
    def devices(self) -> int:
        return self.data * self.tensor * self.pipeline

    @property
    def stages(self) -> int:
        """Return the stages of the pipeline; with several groups of blocks on a device, each is one."""
        return self.pipeline * self.interleaved


@dataclass(frozen=True, kw_only=True)
class MemoryParts:
    """Bytes on the fullest device at its peak."""

    parameters_bytes: float
    gradients_bytes: float
    optimizer_bytes: float
    activations_bytes: float
    """Activations kept for the backward."""
    working_bytes: float
    """Loss, block or shard at hand, communication buffers, and the optimizer's temporary values."""

    @property
    def total_bytes(self) -> float:
        return (
            self.parameters_bytes
            + self.gradients_bytes
            + self.optimizer_bytes
            + self.activations_bytes
            + self.working_bytes
        )


@dataclass(frozen=True, kw_only=True)
class TimeParts:
    """Seconds of an update on the busiest device; they add up."""

    matrix_s: float
    """Matrix products and convolutions."""
    attention_s: float
    memory_s: float
    """Elementwise operators and whatever else the memory's bandwidth limits."""
    launch_s: float
    """Waiting for kernels to be launched, where the work is small."""
    recompute_s: float
    optimizer_s: float
    data_communication_s: float
    """Communication between replicas that no computing hides."""
    tensor_communication_s: float
    bubble_s: float
    """Time in which stages of a pipeline wait, and their exposed messages."""

    @property
    def total_s(self) -> float:
        return sum(self.shares().values())

    def shares(self) -> Mapping[str, float]:
        """Return the seconds by what they are spent on."""
        return {
            "matrix products": self.matrix_s,
            "attention": self.attention_s,
            "memory bandwidth": self.memory_s,
            "launching kernels": self.launch_s,
            "recomputing": self.recompute_s,
            "optimizer": self.optimizer_s,
            "communication of replicas": self.data_communication_s,
            "tensor-parallel communication": self.tensor_communication_s,
            "pipeline bubble": self.bubble_s,
        }


@dataclass(frozen=True, kw_only=True)
class PlannedLayout:
    """A layout with what it would take."""

    layout: Layout
    memory: MemoryParts
    usable_bytes: float
    time: TimeParts
    samples_per_s: float
    """Of all devices together."""
    peak_fraction: float
    """Model FLOPs utilisation (MFU) in the plan's precision."""
    limits: str
    """What most of the time goes to beside the products, or the memory that is missing."""
    split_points: tuple[str, ...] = ()
    """Modules at which the stages of a pipeline begin, but for the first; () if their names are not known."""

    @property
    def fits(self) -> bool:
        return self.memory.total_bytes <= self.usable_bytes

    @property
    def missing_bytes(self) -> float:
        """Bytes by which it does not fit; 0 if it does."""
        return max(0.0, self.memory.total_bytes - self.usable_bytes)


@dataclass(frozen=True, kw_only=True)
class PlannedDevice:
    """The devices that are planned for."""

    name: str
    memory_bytes: float
    peak_flops: float
    """Dense peak in the plan's precision."""
    memory_bandwidth: float
    per_machine: int
    machines: int
    link: str
    link_bandwidth: float
    """Bytes/s of one direction and one device within a machine."""
    network_bandwidth: float
    """The same between machines."""
    by_hand: tuple[str, ...] = ()
    """Figures that the user gave."""

    @property
    def count(self) -> int:
        return self.per_machine * self.machines


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan: layouts that fit, the fastest first, and those that do not."""

    version: int = PLAN_VERSION
    model: str
    """The model in words."""
    parameters: int
    basis: Literal["sizes", "profile"]
    """Figures of the model: computed from its sizes, or measured in a profile."""
    unit: str
    """What a sample's parts are called: tokens or samples."""
    units_per_sample: int
    global_batch: int
    """Samples of an update."""
    precision: str
    devices: PlannedDevice
    layouts: tuple[PlannedLayout, ...]
    """Layouts that fit, the fastest first."""
    too_large: tuple[PlannedLayout, ...]
    """Layouts that do not fit, with the least that is missing first."""
    closed: Mapping[str, str] = field(default_factory=dict)
    """Kinds of layouts that were left out, and the reason for each."""
    single: PlannedLayout | None = None
    """One of the devices alone, with its part of the samples; None if there is only one."""
    considered: int = 0
    """Layouts and micro-batches that were computed."""
    assumptions: tuple[str, ...] = ()
    uncertainty: float = 0.15
    """Relative error of the speeds that the published tables show."""
    split_by: str = ""
    """What the stages of pipelines are balanced by; "" where their names are not known."""
    improve: tuple[str, ...] = ()
    """Measurements that would make the plan more certain."""
    run_folder: str = ""
    """Folder of the profile that it is based on."""

    @property
    def best(self) -> PlannedLayout | None:
        return self.layouts[0] if self.layouts else None

    def __repr__(self) -> str:
        best = self.best
        devices = f"{self.devices.count} × {self.devices.name}"
        if best is None:
            return f"<Plan of {self.model} on {devices}: nothing fits>"
        rate = best.samples_per_s * self.units_per_sample
        return f"<Plan of {self.model} on {devices}: {rate:,.4g} {self.unit}/s>"
