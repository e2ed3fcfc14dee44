"""Linear layers that several processes share: by columns or by rows, with whole tensors for all that leaves them.

`parallelize_module` of torch does it. Its styles know `nn.Linear` only; here they know the transposed layer of
transformers as well. A column's output is this process' features, or a DTensor that knows of the others (`as_dtensor`):
code between the layers that counts heads is right with the latter, and slower.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import sharding, whole_copies
from .linear_pairs import Pair, is_transposed

TENSORS_OF_FORWARD, TENSORS_OF_BACKWARD = 3, 6
"""Tensors that attention on CPUs takes: query, key and value; in the backward its gradient, output and sums as well."""


class PieceOfTensors:
    """Mark of a layer of which this process holds a part."""


class Shared:
    """Pairs of layers of one block, shared out among the processes; `restore` makes them whole again."""

    def __init__(self, block: Any, pairs: Iterable[Pair], mesh: Any, as_dtensor: set[str]) -> None:
        """Share the pairs; those whose last layer is in `as_dtensor` hand on DTensors."""
        from torch.distributed.tensor.parallel import parallelize_module

        pairs = list(pairs)
        if as_dtensor:
            _know_attention_of_cpus()
        modules = dict(block.named_modules())
        self.layers = {name: modules[name] for pair in pairs for name in pair.names}
        self._before = {name: _state(layer) for name, layer in self.layers.items()}
        column, row = _styles()
        plan: dict[str, Any] = {}
        for pair in pairs:
            plan.update({name: column(use_local_output=pair.last not in as_dtensor) for name in pair.first})
            plan[pair.last] = row()
        parallelize_module(block, mesh, plan)
        for name in {name for pair in pairs if pair.in_place for name in pair.first}:
            # What torch hands on is a view that must not be changed in place.
            modules[name].register_forward_hook(whole_copies.mark(_copy_output))
        self.renewed = {
            id(old): layer._parameters[name]
            for key, layer in self.layers.items()
            for name, old in self._before[key]["_parameters"].items()
            if old is not None
        }
        """Id of a parameter from before → its part."""
        self.originals = [
            old for state in self._before.values() for old in state["_parameters"].values() if old is not None
        ]

    def restore(self) -> None:
        """Put everything back as it was."""
        for name, layer in self.layers.items():
            for key, value in self._before[name].items():
                layer.__dict__[key] = value
            layer.__dict__.pop("_distribute_module_applied", None)

    def keep(self) -> None:
        """Let the layers be saved, loaded, copied and pickled as whole ones; forget their former parameters."""
        self._before = {}
        for layer in self.layers.values():
            cls: Any = type(layer)
            layer.__class__ = _piece_of(cls)
            sharding.save_whole(layer)


def _copy_output(_layer: object, _inputs: object, output: Any) -> Any:
    return output.clone()


def _state(layer: Any) -> dict[str, Any]:
    names = ("_parameters", "_forward_pre_hooks", "_forward_hooks", "_forward_pre_hooks_with_kwargs")
    return {name: type(layer.__dict__[name])(layer.__dict__[name]) for name in names if name in layer.__dict__}


_classes: dict[Any, Any] = {}


def _piece_of(cls: Any) -> Any:
    """Return the class of such a layer in parts: it differs in how it is copied and pickled only."""
    if cls not in _classes:
        made: Any = type(cls.__name__, (PieceOfTensors, cls), {"__module__": cls.__module__, "__doc__": cls.__doc__})
        made.__qualname__ = cls.__qualname__
        whole_copies.allow_class(made)
        _classes[cls] = made
    return _classes[cls]


def _styles() -> tuple[Any, Any]:
    from torch import nn
    from torch.distributed.tensor import Replicate, Shard, distribute_module, distribute_tensor
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel

    def part(layer: Any, mesh: Any, weight: Any, bias: Any) -> None:
        for name, placement in (("weight", weight), ("bias", bias)):
            whole = layer._parameters.get(name)
            if whole is not None:
                placed = distribute_tensor(whole.detach(), mesh, [placement])
                layer.register_parameter(name, nn.Parameter(placed, requires_grad=whole.requires_grad))

    def share(style: Any, module: Any, mesh: Any, weight: Any, bias: Any) -> Any:
        """Apply a style of torch to a layer, with the placements that it knows for `nn.Linear` only."""
        return distribute_module(
            module,
            mesh,
            lambda _name, layer, mesh: part(layer, mesh, weight, bias),
            lambda layer, inputs, mesh: style._prepare_input_fn(
                style.input_layouts, style.desired_input_layouts, layer, inputs, mesh
            ),
            lambda layer, outputs, mesh: style._prepare_output_fn(
                style.output_layouts, style.use_local_output, layer, outputs, mesh
            ),
        )

    class Column(ColwiseParallel):
        def _apply(self, module: Any, device_mesh: Any) -> Any:
            return share(self, module, device_mesh, Shard(1 if is_transposed(module) else 0), Shard(0))

    class Row(RowwiseParallel):
        def _apply(self, module: Any, device_mesh: Any) -> Any:
            self.desired_input_layouts = (Shard(-1),)
            return share(self, module, device_mesh, Shard(0 if is_transposed(module) else 1), Replicate())

    return Column, Row


def _know_attention_of_cpus() -> None:
    """Tell torch how to share out its attention on CPUs by heads, where it does not know."""
    import torch
    from torch.distributed.tensor import Replicate, Shard
    from torch.distributed.tensor.experimental import register_sharding

    operators: Any = torch.ops.aten

    def by_heads(results: int, tensors: int) -> Any:
        def placements(*arguments: Any, attn_mask: Any = None, **_rest: Any) -> Any:
            others = [None] * (len(arguments) - tensors)
            mask = [] if attn_mask is None else [Replicate()]
            return [([one] * results, [one] * tensors + others + mask) for one in (Shard(1), Replicate())]

        return placements

    attention, backward = (
        operators._scaled_dot_product_flash_attention_for_cpu,
        operators._scaled_dot_product_flash_attention_for_cpu_backward,
    )
    register_sharding(attention.default)(by_heads(results=2, tensors=TENSORS_OF_FORWARD))
    register_sharding(backward.default)(by_heads(results=3, tensors=TENSORS_OF_BACKWARD))
