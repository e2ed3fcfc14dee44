"""Model in pieces, one on each process (`fully_shard`): applied in place, with the script's optimizer remapped.

Everything that leaves the process stays whole: `state_dict` of model and optimizer give full tensors, as a script for
one process saves and loads them. Lists of parameters that the script made before are still good for clipping.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ..base.pass_through import stands_for
from ..base.patches import Patches
from ..loader.record import is_library
from . import data_parallel, whole_copies
from .blocks import repeated_blocks
from .gradient_readers import replace_clipping

REPLICAS = 2
"""Replicas of a model in hybrid pieces: the fewest, as each further one takes memory."""
FEWEST_OF_HYBRID = 4
"""Processes from which on each of two replicas has several."""


def why_not(root: Any, optimizers: list[Any]) -> str | None:
    """Return why the model cannot be cut into pieces; None if it can."""
    if root is None:
        return (
            "several models are trained, or a method of the model is called in its place: its pieces are not gathered"
        )
    if type(root).__name__ in ("OptimizedModule", "DistributedDataParallel"):
        return f"the model is wrapped in {type(root).__name__}"
    inside = {id(parameter) for parameter in root.parameters()}
    if any(
        id(parameter) not in inside for one in optimizers for group in one.param_groups for parameter in group["params"]
    ):
        return "the optimizer has parameters that are not the model's"
    dtypes = {parameter.dtype for parameter in root.parameters()}
    if len(dtypes) > 1:
        return f"the model has parameters of several dtypes: {', '.join(sorted(map(str, dtypes)))}"
    return None


def why_no_replicas(ranks: int) -> str | None:
    """Return why so many processes cannot hold the model in pieces and several times; None if they can."""
    if ranks >= FEWEST_OF_HYBRID and ranks % REPLICAS == 0:
        return None
    return f"hybrid pieces are for an even number of processes, {FEWEST_OF_HYBRID} or more, and these are {ranks}"


def mesh_of(device: str, ranks: int, *, hybrid: bool) -> Any:
    """Return the processes among which the model is cut; hybrid pieces are cut once for each replica."""
    from torch.distributed.device_mesh import init_device_mesh

    if not hybrid:
        return init_device_mesh(device, (ranks,))
    return init_device_mesh(device, (REPLICAS, ranks // REPLICAS), mesh_dim_names=("replicas", "pieces"))


def apply(root: Any, optimizers: list[Any], mesh: Any, reshards: bool) -> None:
    """Cut the model and its repeated blocks into pieces, and give the optimizers their parameters."""
    from torch.distributed.fsdp import fully_shard

    root = data_parallel.inside(root)
    before = dict(root.named_parameters(remove_duplicate=False))
    blocks = repeated_blocks([root])
    for block in blocks.modules if blocks is not None else ():
        fully_shard(block, mesh=mesh, reshard_after_forward=reshards)
    fully_shard(root, mesh=mesh, reshard_after_forward=reshards)
    after = dict(root.named_parameters(remove_duplicate=False))
    renewed = {id(old): after[name] for name, old in before.items()}
    for optimizer in optimizers:
        give_pieces(optimizer, renewed)
        save_optimizer_whole(optimizer)
    save_whole(root)
    whole_copies.allow(root)
    Clipping(before.values(), renewed).replace()


def give_pieces(optimizer: Any, renewed: dict[int, Any]) -> None:
    """Give an optimizer the pieces in place of its parameters; `renewed` maps the ids of the latter."""
    for group in optimizer.param_groups:
        group["params"] = [renewed.get(id(parameter), parameter) for parameter in group["params"]]
    for old in list(optimizer.state):
        piece = renewed.get(id(old))
        if piece is not None:
            optimizer.state[piece] = {name: cut(value, piece) for name, value in optimizer.state.pop(old).items()}


class Clipping:
    """Clipping for parameters by whatever reference the script holds; `kept` keeps the old ones' ids from reuse."""

    def __init__(self, kept: Iterable[Any] = (), renewed: Mapping[int, Any] | None = None) -> None:
        self.kept = list(kept)
        self.renewed = dict(renewed or {})

    def replace(self) -> None:
        """Put it in place of torch's functions, in the script's modules as well."""
        replace_clipping(_patches, functools.partial(_for_pieces, self), lambda file: not is_library(file))

    def present(self, parameters: Any) -> Any:
        if hasattr(parameters, "detach"):
            return self.renewed.get(id(parameters), parameters)
        return [self.renewed.get(id(parameter), parameter) for parameter in parameters]


_patches = Patches()


def _for_pieces(clipping: Clipping, original: Callable[..., Any]) -> Callable[..., Any]:
    @stands_for(original)
    def clip(parameters: Any, *args: object, **kwargs: object) -> Any:
        found = original(clipping.present(parameters), *args, **kwargs)
        return found.full_tensor() if hasattr(found, "full_tensor") else found

    return clip


# --- what is saved and loaded -------------------------------------------------------------------------------------


def _model_whole(_module: object, state: dict[str, Any], prefix: str, _metadata: object) -> None:
    for name, value in state.items():
        if name.startswith(prefix) and hasattr(value, "full_tensor"):
            state[name] = value.full_tensor()


def _model_in_pieces(module: Any, state: dict[str, Any], prefix: str, *_rest: object) -> None:
    pieces = dict(module.named_parameters(remove_duplicate=False))
    for name, piece in pieces.items():
        value = state.get(prefix + name)
        if value is not None and not hasattr(value, "full_tensor") and hasattr(piece, "full_tensor"):
            state[prefix + name] = _like(value, piece)


def _like(value: Any, piece: Any) -> Any:
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(piece.device), piece.device_mesh, piece.placements)


def save_whole(module: Any) -> None:
    """Let the module's state be whole in what is saved, and be cut in what is loaded."""
    module.register_state_dict_post_hook(whole_copies.mark(_model_whole))
    module.register_load_state_dict_pre_hook(whole_copies.mark(_model_in_pieces))


def save_optimizer_whole(optimizer: Any) -> None:
    """Let the optimizer's state be whole in what is saved, and be cut in what is loaded."""
    optimizer.register_state_dict_post_hook(_optimizer_whole)
    optimizer.register_load_state_dict_pre_hook(_optimizer_in_pieces)


def _optimizer_whole(_optimizer: object, state: dict[str, Any]) -> dict[str, Any]:
    whole = {
        number: {name: _full(value) for name, value in entries.items()} for number, entries in state["state"].items()
    }
    return {**state, "state": whole}


def _full(value: Any) -> Any:
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def _optimizer_in_pieces(optimizer: Any, state: dict[str, Any]) -> dict[str, Any]:
    pieces = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    by_number = dict(zip(numbers, pieces))
    parts = {
        number: {name: cut(value, by_number.get(number)) for name, value in entries.items()}
        for number, entries in state["state"].items()
    }
    return {**state, "state": parts}


def cut(value: Any, piece: Any) -> Any:
    shape = getattr(value, "shape", None)
    if shape is None or hasattr(value, "full_tensor") or not hasattr(piece, "full_tensor") or shape != piece.shape:
        return value
    return _like(value, piece)
