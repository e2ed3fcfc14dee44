"""Cost of a model in the terms of a plan: parameters, work and activations of its blocks and of what stands around."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..types import Recompute

UNCERTAINTY = 0.15
"""Relative error of times that are measured, or computed as in the published rows, all of which are within it."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Work of one sample."""

    matrix_flops: float = 0.0
    attention_flops: float = 0.0
    traffic_bytes: float = 0.0
    """Bytes that elementwise operators read and write."""
    low_fraction: float = 0.0
    """Fraction of the products that run at the peak of the low precision (fp8); the others run in bf16."""

    def times(self, factor: float) -> Work:
        return Work(
            matrix_flops=self.matrix_flops * factor,
            attention_flops=self.attention_flops * factor,
            traffic_bytes=self.traffic_bytes * factor,
            low_fraction=self.low_fraction,
        )


@dataclass(frozen=True, kw_only=True)
class BlockCost:
    """One of a model's repeated blocks, per sample where nothing else is said."""

    parameters: float
    forward: Work
    backward: Work
    recompute: Mapping[Recompute, Work]
    """Work that is done again in the backward; a way of checkpointing that is missing here is not possible."""
    kept_bytes: Mapping[Recompute, float]
    """Activations kept for the backward."""
    working_bytes: float
    """Memory of a block's backward beside what is kept."""
    boundary_bytes: float
    """Activations that one block hands to the next."""
    weight_traffic_bytes: float = 0.0
    """Bytes moved for the weights in every micro-step, whatever its samples: casts and copies."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """One block in the chain that a pipeline cuts: its name, and what a stage with it has more of."""

    name: str
    seconds: float
    """Share in the time of forward and backward."""
    bytes: float
    """State and activations."""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Blocks of a measured model in their order; `rest` is what follows the last of them: head and loss."""

    links: tuple[Link, ...]
    rest_seconds: float
    rest_bytes: float
    by: str
    """What the figures are, in words."""


@dataclass(frozen=True, kw_only=True)
class ModelCost:
    """Cost of a whole model. `first` and `last` stand for what is before and after the blocks: embedding, and head with
    loss."""

    name: str
    basis: str
    unit: str
    units_per_sample: int
    blocks: int
    block: BlockCost
    first_parameters: float
    last_parameters: float
    last_forward: Work
    last_backward: Work
    last_kept_bytes: float
    last_working_bytes: float
    """Memory of the loss's backward beside what is kept."""
    model_flops: float
    """FLOPs of a sample's forward and backward, each product once."""
    parameter_bytes: float = 4.0
    compute_bytes: float = 2.0
    """Bytes of an element of gathered parameters, in the precision of the products."""
    gradient_bytes: float = 4.0
    optimizer_bytes: float = 8.0
    """Bytes of the optimizer's state for an element."""
    optimizer_traffic_bytes: float = 28.0
    """Bytes moved for a parameter by the optimizer's step; AdamW in float32 reads four values and writes three."""
    optimizer_temporary: float = 1.0
    """Temporary elements of the optimizer's step for each parameter at once; 0 if it works tensor by tensor."""
    forward_working_bytes: float = 0.0
    """Memory at the end of a forward beside what is kept: the output, and its copy in float32."""
    gradients_in_forward: bool = False
    """Gradients of the last update are still there in a forward."""
    cast_bytes: float = 0.0
    """Bytes of an element's copy in the precision of the products, which autocast keeps until the backward."""
    gathers_casts: bool = False
    """Gathered parameters come in the precision of the products (`MixedPrecisionPolicy`), so that none are cast."""
    launches: float = 0.0
    """Operators of a forward and backward, all blocks together; 0 where a launch costs nothing (a CPU)."""
    uncertainty: float = UNCERTAINTY
    """Relative error of times that rest on this."""
    tensor_degrees: tuple[int, ...] = ()
    """Degrees of tensor parallelism that divide the heads."""
    chain: Chain | None = None
    """None where the names of the blocks are not known."""
    why_no_tensor: str = ""
    why_no_blocks: str = "the model has no repeated blocks"
    notes: tuple[str, ...] = field(default=())

    @property
    def parameters(self) -> float:
        return self.blocks * self.block.parameters + self.first_parameters + self.last_parameters

    @property
    def recomputes(self) -> tuple[Recompute, ...]:
        """Return the possible ways of activation checkpointing, the one without first."""
        return tuple(self.block.recompute)
