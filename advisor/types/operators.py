"""Figures of the traced operators: dtypes, attention, sizes of products, and frozen parts of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class AttentionUse:
    """Attention written out as a product, a softmax and a product, from one line; in an update."""

    file: str
    line: int
    function: str
    library: str
    """The installed package that the line calls or belongs to; "" if the line makes the calls itself."""
    asked_for_weights: bool = False
    """It is `nn.MultiheadAttention`, whose weights are asked for."""
    rows: int
    columns: int
    """Queries and keys of one score matrix."""
    calls_per_update: float
    seconds_per_update: float
    """Time in all operators that read or write a tensor of the scores' size, forward and backward."""
    bytes_per_update: int = 0
    """Bytes of the tensors of that size that these operators read and write."""
    score_bytes: int
    """Bytes of all score matrices of one call."""
    dropout: bool
    """Dropout is applied to the attention weights."""
    weights_used: bool
    """The weights are read by more than the second product, or kept beyond the update."""


@dataclass(frozen=True, kw_only=True)
class FrozenPart:
    """Module whose calls never pass gradients on, and whose parameters did not change meanwhile."""

    name: str
    """Path within the model, such as `backbone.layers`; "" for a model of its own."""
    class_name: str
    file: str
    line: int
    function: str
    """Line that calls it."""
    seconds_fraction: float
    """Its share of the time in all operators of the update."""
    flops_fraction: float | None
    """Its share of the update's FLOPs; None if these were not counted."""
    draws_before: bool
    """Random numbers were drawn between the loader and its call: its input may be augmented."""
    varying: tuple[str, ...] = ()
    """Classes of its layers that are in training mode and compute something else each time: Dropout, BatchNorm."""


@dataclass(frozen=True, kw_only=True)
class UnusedGradients:
    """Parameters that get gradients, belong to no optimizer and did not change meanwhile."""

    names: tuple[str, ...]
    """Paths of the largest modules that have no other parameters."""
    parameters: int
    """Elements."""
    leading: bool
    """True if nothing in front of them is trained: their whole backward is for nothing."""
    seconds_fraction: float
    """Share of their forward in the time of all operators of the update."""
    flops_fraction: float | None
    file: str = ""
    line: int = 0
    function: str = ""
    """Line that calls them."""


@dataclass(frozen=True, kw_only=True)
class OneBlock:
    """One of the repeated blocks."""

    name: str
    """Path of the module in its model, such as `transformer.h.6`."""
    parameters: int
    kept_bytes: int
    """Activations kept for the backward, in the forwards of an update."""
    seconds_fraction: float
    """Share of its forward in the time of all operators of the update."""


@dataclass(frozen=True, kw_only=True)
class BlockUse:
    """Repeated blocks of the model, all together, in the forwards of an update."""

    class_name: str
    count: int
    parameters: int
    """Elements."""
    kept_bytes: int
    """Activations kept for the backward."""
    input_bytes: int
    """Their inputs that pass gradients on."""
    seconds_fraction: float
    """Share in the time of all operators of the update."""
    flops_fraction: float | None
    """Share in the update's FLOPs; None if these were not counted."""
    each: tuple[OneBlock, ...] = ()
    """The blocks in the order of their calls; () in profiles of earlier versions."""


@dataclass(frozen=True, kw_only=True)
class ZeroProduct:
    """Product with a matrix of almost nothing but zeros, from one line."""

    file: str
    line: int
    function: str
    rows: int
    columns: int
    """Size of the matrix, of one of them if they come as a batch."""
    seconds_per_update: float
    """Time in all operators on tensors of its size, forward and backward."""


@dataclass(frozen=True, kw_only=True)
class PrefixCalls:
    """Layers that one forward calls on each prefix of a sequence, from one line."""

    file: str
    line: int
    function: str
    calls: int
    """Prefixes in a forward."""
    fraction: float
    """Their share of the time in the forward's products."""
    saved_fraction: float
    """Share of that time that one call on the longest prefix leaves out."""


@dataclass(frozen=True, kw_only=True)
class JoinedTensor:
    """Tensor that one line of a forward makes longer call by call, with `torch.cat`."""

    file: str
    line: int
    function: str
    calls: int
    """Most calls for one tensor."""
    seconds_per_update: float
    """Time in all these calls; of their launches on an accelerator."""
    bytes_per_update: int
    """Bytes that they read and write."""


@dataclass(frozen=True, kw_only=True)
class SpreadPair:
    """Differences or products of all pairs of rows in one tensor, which is then summed up."""

    file: str
    line: int
    function: str
    holds: Literal["differences", "products"]
    bytes: int
    """Size of one such tensor."""
    seconds_per_update: float
    """Time in all operators on tensors of its size, forward and backward; of their launches on an accelerator."""
    bytes_per_update: int
    """Bytes that they read and write, of views none."""


@dataclass(frozen=True, kw_only=True)
class RebuiltConstant:
    """Line that builds the same tensor in each update, from sizes, numbers and buffers alone."""

    file: str
    line: int
    function: str
    seconds_per_update: float
    """Time in its operators; of their launches on an accelerator."""
    bytes_per_update: int
    """Bytes that they read and write."""


@dataclass(frozen=True, kw_only=True)
class IgnoredRows:
    """Scores of positions that a loss leaves out."""

    file: str
    line: int
    function: str
    """Line that computes the loss."""
    classes: int
    fraction: float
    """Positions that are left out."""
    seconds_per_update: float
    """Time in all operators on tensors as large as the scores, forward and backward, the output layer among them; of
    their launches on an accelerator."""
    bytes_per_update: int
    """Bytes that they read and write."""


@dataclass(frozen=True, kw_only=True)
class EarlyUpsampling:
    """Features that are enlarged, and then narrowed by a 1×1 convolution."""

    file: str
    line: int
    function: str
    """Line that calls the convolution."""
    channels: int
    channels_after: int
    scale: float
    """Elements after enlarging for each one before."""
    seconds_per_update: float
    """Time in all operators on tensors as large as the enlarged one, forward and backward; of their launches on an
    accelerator."""
    bytes_per_update: int
    """Bytes that they read and write."""


@dataclass(frozen=True, kw_only=True)
class SparseProduct:
    """Products with a constant sparse matrix in coordinate form."""

    file: str
    line: int
    function: str
    stored: int
    """Numbers of the matrix that are stored."""
    backward_fraction: float
    """Part of the time in the backward."""
    seconds_per_update: float
    """Time in all operators on sparse tensors in that form; of their launches on an accelerator."""


@dataclass(frozen=True, kw_only=True)
class LongFilter:
    """Convolution that slides a long filter over each channel by itself."""

    file: str
    line: int
    function: str
    taps: int
    """Elements of a filter."""
    length: int
    """Elements of a channel that it slides over."""
    seconds_per_update: float
    """Time in such operators of this line, forward and backward."""


@dataclass(frozen=True, kw_only=True)
class ParallelLayers:
    """Small layers of one form that one line calls one after another, and none of which reads another's result."""

    file: str
    line: int
    function: str
    layers: int
    """Different ones in a forward."""
    calls_per_update: float
    seconds_per_update: float
    """Time in their operators, forward only; of their launches on an accelerator."""


@dataclass(frozen=True, kw_only=True)
class ThrownGradients:
    """Gradients of another optimizer's model, behind all that are used, and reset before that optimizer steps."""

    file: str
    line: int
    function: str
    """Line that calls the backward."""
    model: str
    """Class of that model; "" if it is not known."""
    backwards_per_update: float
    seconds_per_update: float
    """Time in operators after the last gradient that is used; of their launches on an accelerator."""


@dataclass(frozen=True, kw_only=True)
class RepeatedWork:
    """Line that computes what another one, or an earlier call of it, has computed in the same forward."""

    file: str
    line: int
    function: str
    first_file: str
    first_line: int
    """Line that has computed most of it first."""
    seconds_per_update: float
    """Time in the repeated operators, forward only; of their launches on an accelerator."""
    bytes_per_update: int
    """Bytes that they read and write."""


@dataclass(frozen=True, kw_only=True)
class OperatorUse:
    """Figures of the traced operators, per update."""

    seconds_by_dtype: Mapping[str, float] = field(default_factory=dict)
    """Time by dtype of the result, floating ones only; launches and not kernels on an accelerator."""
    bytes_by_dtype: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the results."""
    flops_by_dtype: Mapping[str, int] = field(default_factory=dict)
    """FLOPs of the products by dtype of their result."""
    odd_flops: Mapping[str, int] = field(default_factory=dict)
    """FLOPs of 16-bit products with an innermost size that is no multiple of 8, by that size."""
    seconds: float = 0.0
    """Time in all operators."""
    decomposes: bool = False
    """A matrix is decomposed or a linear system solved."""
    denormal_seconds: float | None = None
    """Time in operators that take or give denormal numbers; None if it is not known."""
    denormal_operators: tuple[str, ...] = ()
    """Names of those that take most of it."""
    denormal_slowdown: float | None = None
    """Time of a product of such numbers relative to one of others, tried on this CPU; None if there was no need to."""
    differentiates_twice: bool = False
    """The backward builds a graph of its own; so does a checkpoint that computes again."""
    zero_product: ZeroProduct | None = None
    """The one that takes the most time; None if there is none, and on accelerators."""
    prefixes: PrefixCalls | None = None
    """None if there are none, and in profiles of older versions."""
    joined: JoinedTensor | None = None
    """The one that takes the most time; None if there is none, and in profiles of older versions."""
    pairs: SpreadPair | None = None
    """The same."""
    ignored: IgnoredRows | None = None
    """The same."""
    enlarged: EarlyUpsampling | None = None
    """The same."""
    sparse: SparseProduct | None = None
    """The same."""
    filters: LongFilter | None = None
    """The same."""
    thrown: ThrownGradients | None = None
    """The same; None with one optimizer, too."""
    rebuilt: tuple[RebuiltConstant, ...] = ()
    """The most time first; () in profiles of older versions."""
    repeated: tuple[RepeatedWork, ...] = ()
    """The same."""
    parallel: tuple[ParallelLayers, ...] = ()
    """The same."""
    attention: tuple[AttentionUse, ...] = ()
    frozen_parts: tuple[FrozenPart, ...] = ()
    unused_gradients: UnusedGradients | None = None
    output_bytes: int = 0
    """Outputs of the called models that pass gradients on: the script's loop holds them during the backward."""
    gradients_in_forward: bool = False
    """Gradients of an earlier backward are there during a forward: they are reset after it, or several are added up."""
    blocks: BlockUse | None = None
    """None without repeated blocks, and in profiles of older versions."""
