"""Linear layers that belong together in a block: some that widen, and the one that takes what they give.

What belongs together shows in a trace of the block's own forward, never in names. `Pair.aligned` is true if the
features pass from the first layers to the last one through elementwise operators only: each could be on another device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..base.tensors import tensors_in

ELEMENTWISE = frozenset(
    """
    relu relu_ relu6 gelu silu silu_ mish sigmoid sigmoid_ tanh tanh_ elu elu_ selu celu hardswish hardsigmoid
    leaky_relu softplus hardtanh square abs erf exp clamp clamp_min clamp_max pow __pow__ neg __neg__ mul __mul__
    __rmul__ mul_ __imul__ add __add__ __radd__ add_ __iadd__ sub __sub__ __rsub__ div __truediv__ true_divide sqrt
    rsqrt to float half bfloat16 type_as contiguous clone identity dropout
    """.split()  # noqa: SIM905
)
"""Names of functions that treat each feature alone."""
DRAWING = ("dropout", "dropout_", "alpha_dropout", "feature_dropout", "bernoulli", "bernoulli_", "rand_like")
ADDING = ("add", "__add__", "__radd__", "add_", "__iadd__", "sub", "__sub__", "__rsub__")
RESHAPING = ("view", "reshape", "unflatten")
LOOKING = ("__get__", "size", "dim", "stride", "numel", "is_floating_point", "element_size", "get_device")


@dataclass
class Pair:
    """Layers by their names in the block."""

    first: list[str]
    last: str
    aligned: bool = True
    heads: set[int] = field(default_factory=set)
    """Sizes of the first part of what features were cut into, as into heads."""
    draws: bool = False
    """True if a random function stands between them that is no module of torch's `Dropout`."""
    dropouts: set[str] = field(default_factory=set)
    """Modules between them that drop features at random."""
    in_place: bool = False
    """True if the first layers' output is changed in place."""
    drops_elsewhere: bool = False
    """True if one of these is called for something else as well."""

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.first, self.last)


def layers_of(block: Any) -> dict[str, Any]:
    """Return the block's linear layers by name: those of torch, and the transposed ones of transformers."""
    import torch

    return {
        name: module
        for name, module in block.named_modules()
        if type(module) is torch.nn.Linear or is_transposed(module)
    }


def is_transposed(module: Any) -> bool:
    """Return whether it is transformers' `Conv1D`: a linear layer with the inputs in the rows of its weight."""
    return type(module).__name__ == "Conv1D" and type(module).__module__.startswith("transformers.")


def sizes(layer: Any) -> tuple[int, int]:
    """Return the inputs and outputs of a linear layer."""
    rows, columns = layer.weight.shape
    return (int(rows), int(columns)) if is_transposed(layer) else (int(columns), int(rows))


@dataclass
class _Flow:
    """Outputs of layers on the way to another one."""

    sources: frozenset[str]
    as_made: bool = True
    """True if the last dimension is still that of the layer's features."""


class Tracer:
    """Observer of one forward of a block, as a mode of torch's functions."""

    def __init__(self, block: Any) -> None:
        self._layers = layers_of(block)
        self._by_weight = {id(layer.weight): name for name, layer in self._layers.items()}
        self._biases = {id(layer.bias): name for name, layer in self._layers.items() if layer.bias is not None}
        self._flows: dict[int, _Flow] = {}
        self._kept: list[Any] = []
        self._sinks: dict[str, set[str]] = {}
        self._unaligned: set[str] = set()
        self._lost: set[str] = set()
        self._heads: dict[str, set[int]] = {}
        self._dropouts: dict[str, set[str]] = {}
        self._draws: set[str] = set()
        self._dropping: list[str] = []
        self._drops_elsewhere: set[str] = set()
        self._in_place: set[str] = set()

    @contextlib.contextmanager
    def watching(self, block: Any) -> Iterator[None]:
        from torch.overrides import TorchFunctionMode

        saw = self._saw

        class Mode(TorchFunctionMode):
            def __torch_function__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
                result = function(*args, **(kwargs or {}))
                saw(function, args, kwargs or {}, result)
                return result

        handles = []
        for name, module in block.named_modules():
            if type(module).__name__ == "Dropout":
                handles.append(module.register_forward_pre_hook(lambda *_, name=name: self._dropping.append(name)))
                handles.append(module.register_forward_hook(lambda *_: self._dropping.pop() and None))
        try:
            with Mode():
                yield
        finally:
            for handle in handles:
                handle.remove()

    def pairs(self, output: Any) -> list[Pair]:
        """Return the pairs of the forward that has ended with this output."""
        for tensor in tensors_in(output):
            flow = self._flows.get(id(tensor))
            self._lost |= flow.sources if flow is not None else set()
        found: dict[str, Pair] = {}
        for source, sinks in self._sinks.items():
            if len(sinks) != 1 or source in self._lost:
                continue
            (last,) = sinks
            pair = found.setdefault(last, Pair(first=[], last=last))
            pair.first.append(source)
            pair.aligned = pair.aligned and source not in self._unaligned
            pair.draws = pair.draws or source in self._draws
            pair.in_place = pair.in_place or source in self._in_place
            pair.heads |= self._heads.get(source, set())
            pair.dropouts |= self._dropouts.get(source, set())
            pair.drops_elsewhere = bool(pair.dropouts & self._drops_elsewhere)
        return list(found.values())

    # --- one function -------------------------------------------------------------------------------------------------

    def _saw(self, function: Any, args: Any, kwargs: Any, result: Any) -> None:
        name = getattr(function, "__name__", "")
        inputs = list(tensors_in((args, kwargs)))
        flows = [flow for tensor in inputs if (flow := self._flows.get(id(tensor))) is not None]
        used = {self._by_weight[id(tensor)] for tensor in inputs if id(tensor) in self._by_weight}
        outputs = list(tensors_in(result))
        if self._dropping and not flows and outputs:
            self._drops_elsewhere.add(self._dropping[-1])
        if name in LOOKING or (not flows and not used) or not outputs:
            return
        if used:
            self._saw_layer(name, used, flows, outputs)
            return
        self._follow(name, flows, inputs, outputs, _draws(name, args, kwargs))

    def _saw_layer(self, name: str, used: set[str], flows: list[_Flow], outputs: list[Any]) -> None:
        if name not in ("linear", "addmm") or len(used) != 1 or len(outputs) != 1:
            self._lost |= used  # its weight is used by something else as well
            for flow in flows:
                self._lost |= flow.sources
            return
        (layer,) = used
        sources: frozenset[str] = frozenset().union(*(flow.sources for flow in flows))
        if sources and all(flow.as_made for flow in flows) and not any(self._widens(source) for source in sources):
            self._lost |= sources  # this layer may itself be the first of an MLP
            sources = frozenset()
        for source in sources:
            self._sinks.setdefault(source, set()).add(layer)
        if not sources and not any(layer in sinks for sinks in self._sinks.values()):
            self._note(outputs[0], _Flow(frozenset([layer])))
            self._sinks.setdefault(layer, set())

    def _widens(self, name: str) -> bool:
        taken, given = sizes(self._layers[name])
        return given >= taken

    def _follow(self, name: str, flows: list[_Flow], inputs: list[Any], outputs: list[Any], draws: bool) -> None:
        sources: frozenset[str] = frozenset().union(*(flow.sources for flow in flows))
        beside = [tensor for tensor in inputs if id(tensor) not in self._flows]
        if name in ADDING and any(tensor.ndim and tensor.requires_grad for tensor in beside):
            self._lost |= sources  # a residual: what follows is of the whole block
            return
        as_made = all(flow.as_made for flow in flows)
        if any(output is one for output in outputs for one in inputs):
            self._in_place |= sources
        if self._dropping:
            for source in sources:
                self._dropouts.setdefault(source, set()).add(self._dropping[-1])
        elif draws:
            self._draws |= sources
        if as_made and name in RESHAPING:
            before, after = inputs[0].shape, outputs[0].shape
            as_made = before[-1] == after[-1]
            if not as_made and len(after) >= len(before) and len(outputs) == 1:
                heads = int(after[-2])
                for source in sources:
                    self._heads.setdefault(source, set()).add(heads)
        elif as_made:
            as_made = name in ELEMENTWISE and all(tensor.ndim == 0 or tensor.shape[-1] == 1 for tensor in beside)
        if not as_made:
            self._unaligned |= sources
        for output in outputs:
            self._note(output, _Flow(sources, as_made))

    def _note(self, tensor: Any, flow: _Flow) -> None:
        self._flows[id(tensor)] = flow
        self._kept.append(tensor)  # its id must stay its own


def _draws(name: str, args: Any, kwargs: Any) -> bool:
    """Return whether a function draws random numbers in this call."""
    if name == "scaled_dot_product_attention":
        return bool(kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0))
    if name == "dropout":
        return bool(kwargs.get("p", args[1] if len(args) > 1 else 0.5)) and bool(
            kwargs.get("training", args[2] if len(args) > 2 else True)
        )
    return name in DRAWING
