"""Cost of a decoder-only transformer from its sizes: products, elementwise traffic and activations, counted by hand.

Norms, rotary embeddings and activations are counted as torch runs them: operator by operator, or as one pass if the
model is compiled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ..errors import UsageError
from ..spelling import parameter
from ..types import Recompute
from ..unknown_name import UnknownNameError
from .cost import BlockCost, ModelCost, Work
from .figures import read

BACKWARD_OF_ATTENTION = 2.5
"""Products of flash attention's backward for each of its forward: five for two, as it computes the scores again."""
TRAFFIC_OF_BACKWARD = 2.0
"""Traffic of the elementwise operators' backward for that of their forward: gradients are read beside the inputs."""
NORM_BYTES, FUSED_NORM_BYTES = 36.0, 4.0
"""Bytes for an element of a norm in 16 bits: as operators (to float, square, mean, scale, back, weight), and fused."""
ROTARY_BYTES, FUSED_ROTARY_BYTES = 20.0, 4.0
RESIDUAL_BYTES = 6.0
LOGITS_BYTES = 32.0
"""Traffic of a logit from the head to its gradient: to float, softmax in two passes, and back."""
LOSS_BYTES = 16.0
"""Memory of a logit at the start of the backward: 16 bits, float, its softmax, its gradient and that in 16 bits."""
FUSED_LOGITS_BYTES, FUSED_LOSS_BYTES = 8.0, 4.0
"""The same where the loss is compiled: a logit and its gradient, in 16 bits."""
FLOAT8_CAST_BYTES = 7.0
"""Bytes for an element of a product's operand in fp8: read for its maximum, read again, written in two orders."""
WEIGHT_CAST_BYTES = 6.0
"""Bytes for a weight that is cast from float32 to 16 bits, once in a micro-step."""
LAUNCHES, COMPILED_LAUNCHES = 150, 50
"""Kernels of a block's forward and backward: about 45 operators in the forward, and two for each in the backward."""
WORDS = {"kv": "kv_heads", "vocab": "vocabulary", "d_model": "hidden", "seq": "sequence", "ffn_hidden": "ffn"}
"""Other spellings of the sizes."""
LARGEST = 10**9


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of a decoder-only transformer."""

    layers: int
    hidden: int
    heads: int
    vocabulary: int
    kv_heads: int = 0
    """Heads of keys and values; 0 stands for as many as `heads`."""
    ffn: int = 0
    """Width of the feed-forward part; 0 stands for four times `hidden`."""
    sequence: int = 2048
    gated: bool = True
    """The feed-forward part has three matrices (SwiGLU), not two."""
    tied: bool = False
    """Embedding and head share their weights."""


def sizes_of(text: str) -> tuple[str, Sizes]:
    """Return a model's name and sizes: a known name, or `layers=48,hidden=6144,heads=48,vocabulary=128256`.

    A known name may be followed by sizes that differ: `llama3-8b,sequence=4096`.
    """
    known = read("models")
    first, *rest = [part.strip() for part in text.split(",") if part.strip()] or [""]
    values: dict[str, Any] = {}
    if "=" not in first:
        if first.lower() not in known:
            example = "layers=48,hidden=6144,heads=48,kv_heads=8,ffn=16384,vocabulary=128256"
            raise UnknownNameError(
                f"unknown model {first!r}", known, name=first, otherwise=f"give sizes such as {example}"
            )
        values = {key: value for key, value in known[first.lower()].items() if key != "source"}
    else:
        rest = [first, *rest]
    for part in rest:
        key, value = _size(part)
        values[key] = value
    missing = [name for name in ("layers", "hidden", "heads", "vocabulary") if name not in values]
    if missing:
        raise UsageError(f"invalid model {text!r}: {missing[0]} is missing, such as {missing[0]}=32")
    sizes = Sizes(**values)
    sizes = replace(sizes, kv_heads=sizes.kv_heads or sizes.heads, ffn=sizes.ffn or 4 * sizes.hidden)
    if sizes.hidden % sizes.heads or sizes.heads % sizes.kv_heads:
        raise UsageError(
            f"invalid model {text!r}: {sizes.heads} heads must divide hidden={sizes.hidden}, and kv_heads="
            f"{sizes.kv_heads} must divide them"
        )
    return text.strip(), sizes


def _size(part: str) -> tuple[str, int | bool]:
    key, _, value = part.partition("=")
    key = key.strip().lower().replace("-", "_")
    key = WORDS.get(key, key)
    names = [field.name for field in fields(Sizes)]
    if key not in names:
        raise UnknownNameError(f"unknown size {key!r} of {parameter('model')}", names, name=key)
    if key in ("gated", "tied"):
        if value.strip().lower() not in ("true", "false", "yes", "no"):
            raise UsageError(f"invalid {key}={value!r}: expected yes or no")
        return key, value.strip().lower() in ("true", "yes")
    digits = re.fullmatch(r"\s*(\d+)\s*", value)
    if digits is None or not 0 < int(digits[1]) <= LARGEST:
        raise UsageError(f"invalid {key}={value!r}: expected a whole number from 1")
    return key, int(digits[1])


def from_sizes(
    text: str, *, precision: str, compiled: bool, compiled_loss: bool = False, sequence: int | None = None
) -> ModelCost:
    """Return the cost of a transformer that is trained in this precision with AdamW, parameters kept in float32.

    `compiled` stands for compiled blocks, and `compiled_loss` for a loss that is compiled, too.
    """
    name, sizes = sizes_of(text)
    if sequence is not None:
        sizes = replace(sizes, sequence=sequence)
    element = 4.0 if precision in ("fp32", "tf32") else 2.0
    low = precision == "fp8"
    block = _block(sizes, element=element, compiled=compiled, low=low)
    tokens, width = sizes.sequence, sizes.hidden
    moved, at_hand = (FUSED_LOGITS_BYTES, FUSED_LOSS_BYTES) if compiled_loss else (LOGITS_BYTES, LOSS_BYTES)
    head = Work(matrix_flops=2.0 * width * sizes.vocabulary * tokens, traffic_bytes=moved / 2 * _logits(sizes))
    body = block.forward
    model_flops = 3 * (sizes.layers * (body.matrix_flops + body.attention_flops) + head.matrix_flops)
    degrees = tuple(degree for degree in _powers_of_two(sizes.kv_heads) if sizes.heads % degree == 0)
    embedding = float(width * sizes.vocabulary)
    return ModelCost(
        name=f"{name} (sequence {sizes.sequence:,})",
        basis="sizes",
        unit="tokens",
        units_per_sample=tokens,
        blocks=sizes.layers,
        block=block,
        first_parameters=0.0 if sizes.tied else embedding,
        last_parameters=embedding + width,
        last_forward=head,
        last_backward=Work(matrix_flops=2 * head.matrix_flops, traffic_bytes=head.traffic_bytes),
        last_kept_bytes=tokens * width * element,
        last_working_bytes=at_hand * _logits(sizes),
        model_flops=model_flops,
        compute_bytes=element,
        launches=float(sizes.layers * (COMPILED_LAUNCHES if compiled else LAUNCHES)),
        tensor_degrees=degrees,
        cast_bytes=element if element < 4 else 0.0,
        gathers_casts=True,
    )


def _logits(sizes: Sizes) -> float:
    return float(sizes.sequence * sizes.vocabulary)


def _powers_of_two(most: int) -> list[int]:
    return [2**power for power in range(1, most.bit_length()) if most % 2**power == 0]


@dataclass(frozen=True, kw_only=True)
class _Widths:
    """Elements of a token at the places of a block."""

    hidden: float
    kv: float
    ffn: float
    gates: int

    @classmethod
    def of(cls, sizes: Sizes) -> _Widths:
        kv = sizes.hidden * sizes.kv_heads / sizes.heads
        return cls(hidden=sizes.hidden, kv=kv, ffn=sizes.ffn, gates=2 if sizes.gated else 1)

    @property
    def parameters(self) -> float:
        attention = 2 * self.hidden**2 + 2 * self.hidden * self.kv
        return attention + (self.gates + 1) * self.hidden * self.ffn


def _block(sizes: Sizes, *, element: float, compiled: bool, low: bool) -> BlockCost:
    wide, tokens = _Widths.of(sizes), float(sizes.sequence)
    scale = element / 2
    products = 2 * wide.parameters * tokens
    # A causal mask leaves half of the scores.
    attention = 2.0 * tokens**2 * wide.hidden
    traffic = tokens * scale * _traffic(wide, compiled)
    casts = _float8_bytes(wide, tokens) if low else (0.0, 0.0)
    forward = Work(
        matrix_flops=products, attention_flops=attention, traffic_bytes=traffic + casts[0], low_fraction=float(low)
    )
    backward = Work(
        matrix_flops=2 * products,
        attention_flops=BACKWARD_OF_ATTENTION * attention,
        traffic_bytes=TRAFFIC_OF_BACKWARD * traffic + casts[1],
        low_fraction=float(low),
    )
    boundary = tokens * wide.hidden * element
    kept = _kept(wide, tokens, element, compiled)
    again = _recomputed(wide, tokens, low)
    return BlockCost(
        parameters=wide.parameters + 2 * wide.hidden,
        forward=forward,
        backward=backward,
        recompute={
            "none": Work(),
            "selective": replace(forward, matrix_flops=again, attention_flops=0.0),
            "full": forward,
        },
        kept_bytes={**kept, "full": boundary},
        # What a checkpointed block computes again stands beside the gradients of its widest parts.
        working_bytes=kept["none"] + 2 * tokens * wide.ffn * element,
        boundary_bytes=boundary,
        weight_traffic_bytes=wide.parameters * (WEIGHT_CAST_BYTES * (element < 4) + 2 * FLOAT8_CAST_BYTES * low),
    )


def _traffic(wide: _Widths, compiled: bool) -> float:
    """Return the bytes that the elementwise operators of a forward move for a token, in 16 bits."""
    norm, rotary = (FUSED_NORM_BYTES, FUSED_ROTARY_BYTES) if compiled else (NORM_BYTES, ROTARY_BYTES)
    # Activation alone: read and write; with a gate, another operator reads both and writes.
    activation = 2.0 * (wide.gates + 1) if compiled else 4.0 + 6.0 * (wide.gates - 1)
    return (
        2 * norm * wide.hidden
        + rotary * (wide.hidden + wide.kv)
        + activation * wide.ffn
        + 2 * RESIDUAL_BYTES * wide.hidden
    )


def _float8_bytes(wide: _Widths, tokens: float) -> tuple[float, float]:
    """Return the bytes of casts to fp8 in forward and backward; the weights' are done once for a batch."""
    inputs = 3 * wide.hidden + wide.ffn
    outputs = 2 * wide.hidden + 2 * wide.kv + (wide.gates + 1) * wide.ffn
    return FLOAT8_CAST_BYTES * tokens * inputs, FLOAT8_CAST_BYTES * tokens * outputs


def _kept(wide: _Widths, tokens: float, element: float, compiled: bool) -> Mapping[Recompute, float]:
    """Return the bytes that a block keeps for its backward, without and with selective checkpointing."""
    norms = 2 * wide.hidden * (1 if compiled else 2.5)  # written out, a norm keeps its input as float as well
    attention = 3 * wide.hidden + 3 * wide.kv  # query, key and value as rotated, the input, and the output
    ffn = wide.hidden + (wide.gates + 1) * wide.ffn
    none = (norms + attention + ffn) * tokens * element
    # Every second product and attention's output are kept: torchtitan's `selective_ac_option = "op"`.
    saved = 2 * wide.hidden + wide.kv + wide.ffn + wide.hidden + wide.hidden
    return {"none": none, "selective": saved * tokens * element}


def _recomputed(wide: _Widths, tokens: float, low: bool) -> float:
    """Return the FLOPs of products that selective checkpointing does again: every second, or all in fp8."""
    if low:  # scaled products are not on the list of what is kept
        return 2 * wide.parameters * tokens
    return 2 * tokens * (wide.hidden * wide.kv + wide.hidden**2 + wide.hidden * wide.ffn)
