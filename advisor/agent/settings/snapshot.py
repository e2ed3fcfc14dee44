"""Snapshot of a training between two updates, and its return, bit for bit on the CPU.

Kept are parameters with their gradients, buffers and modes of modules, averaged copies of trained modules, the state
of optimizers, of torch's schedulers and of the script's gradient scalers, and the random states of Python, NumPy, torch
and its devices. Objects stay the script's own: their contents are written back. Copies that memory does not hold lie in
a file (`spilled.py`). Batches are a tape's work (`agent/loader/tape.py`). The script's own counters are left alone;
those that have moved are named.
"""

from __future__ import annotations

import contextlib
import gc
from typing import Any, NamedTuple

from ...refused import Refused
from ...worker_seeds import is_generator
from ..loader.free_memory import free_bytes
from ..loader.random_states import global_states, set_global_states, set_state, state_of
from .script_counters import Counters
from .spilled import Spill, Spilled, takes
from .untrained import form_of

LARGEST_SHARE = 0.5
"""Share of the free memory that a snapshot may take: the updates that follow need some, too."""
PLAIN = (bool, int, float, complex, str, bytes, type(None))
DEPTH = 6
"""Depth of nested containers in the state of an optimizer and the like; LBFGS needs four."""


class _Kept(NamedTuple):
    """One value: its kind, the script's own object, and what it held."""

    kind: str
    own: Any
    content: Any


class Snapshot:
    """State of the training when it was taken. Raises Refused if neither memory nor the folder's disk would hold it."""

    def __init__(self, folder: str = "") -> None:
        import torch

        self._torch = torch
        self._memo: dict[int, _Kept] = {}
        modules, optimizers, others = _found(torch.nn.Module, torch.optim.Optimizer, _kinds_of_others(torch))
        trained = {id(p) for one in optimizers for group in one.param_groups for p in group["params"]}
        self._left = self._leave_frozen(modules, trained)
        self._spill: Spill | None = None
        self._spilled = self._too_large(modules, optimizers, folder)
        with torch.no_grad():
            self._modules = [self._module(module) for module in modules]
            self._objects = [self._attributes(each) for each in (*optimizers, *others)]
            parameters = [kept for kept in self._memo.values() if kept.kind == "tensor" and kept.own.requires_grad]
            self._gradients = [(kept.own, self._keep(kept.own.grad)) for kept in parameters if kept.own.is_leaf]
        self.bytes = sum(_bytes_of(kept.content) for kept in self._memo.values() if kept.kind == "tensor")
        """Bytes that the copies take."""
        self.on_disk = self._spill is not None
        self._memo = {number: kept for number, kept in self._memo.items() if kept.kind == "tensor"}
        self._states = global_states()
        self._device_states = _device_states(torch)
        self._counters = Counters()
        self._generators = [(each, state_of(each)) for each in self._counters.held(is_generator)]

    def close(self) -> None:
        """Give the disk's space back, after the last return."""
        if self._spill is not None:
            self._spill.close()

    # --- return -------------------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Write everything back."""
        with self._torch.no_grad():
            for module, parts, plain in self._modules:
                for part in parts:
                    self._back(part)
                vars(module).update(plain)
            for owner, kept in self._objects:
                vars(owner).update({name: self._back(value) for name, value in kept.items()})
            for parameter, gradient in self._gradients:
                parameter.grad = self._back(gradient)
        set_global_states(self._states)
        _set_device_states(self._torch, self._device_states)
        for generator, state in self._generators:
            set_state(generator, state)

    def moved(self) -> list[str]:
        """Return the script's own counters that differ from what they were, by name."""
        return self._counters.moved()

    def changed_outside(self) -> int:
        """Return the number of frozen tensors that were not copied and have changed since."""
        return sum(1 for tensor, version in self._left if tensor._version != version)

    def _back(self, kept: _Kept) -> Any:
        """Write a value back into the script's own object, and return the object."""
        if kept.kind == "tensor":
            own, content = kept.own, kept.content
            if isinstance(content, Spilled):
                content = content.read().to(own.device)
            if content.is_sparse:
                return content.clone()
            if own.shape == content.shape and own.dtype == content.dtype:
                own.copy_(content)
            else:
                own.data = content.clone()
            return own
        if kept.kind == "dict":
            held = {key: self._back(value) for key, value in kept.content}
            kept.own.clear()
            kept.own.update(held)
        elif kept.kind == "list":
            kept.own[:] = [self._back(value) for value in kept.content]
        elif kept.kind == "tuple":
            return type(kept.own)(self._back(value) for value in kept.content) if kept.content else kept.own
        return kept.own

    # --- taking -------------------------------------------------------------------------------------------------------

    def _module(self, module: Any) -> tuple[Any, list[_Kept], dict[str, Any]]:
        held = vars(module)
        parts = [self._keep(held[name]) for name in ("_parameters", "_buffers") if type(held.get(name)) is dict]
        plain = {name: value for name, value in held.items() if type(value) in PLAIN}
        return module, parts, plain

    def _attributes(self, owner: Any) -> tuple[Any, dict[str, _Kept]]:
        """Keep the attributes of an optimizer, a scheduler or a scaler."""
        kept = {name: self._keep(value) for name, value in vars(owner).items() if _is_state(value)}
        return owner, kept

    def _keep(self, value: Any, depth: int = DEPTH) -> _Kept:
        if isinstance(value, self._torch.Tensor):
            known = self._memo.get(id(value))
            if known is None or known.own is not value:
                known = self._memo[id(value)] = self._copied(value)
            return known
        if depth and isinstance(value, dict):
            return _Kept("dict", value, [(key, self._keep(item, depth - 1)) for key, item in list(value.items())])
        if depth and type(value) is list:
            return _Kept("list", value, [self._keep(item, depth - 1) for item in value])
        if depth and type(value) is tuple:
            return _Kept("tuple", value, [self._keep(item, depth - 1) for item in value])
        return _Kept("same", value, None)

    def _copied(self, tensor: Any) -> _Kept:
        if tensor.is_inference():  # nobody may write into it
            return _Kept("same", tensor, None)
        if self._spill is not None and tensor.device.type in self._spilled and takes(tensor):
            return _Kept("tensor", tensor, self._spill.put(tensor))
        return _Kept("tensor", tensor, tensor.detach().clone())

    def _leave_frozen(self, modules: list[Any], trained: set[int]) -> list[tuple[Any, int]]:
        """Mark frozen parameters, except those of averages and targets, as left alone; return them with versions."""
        forms = {
            form_of(module) for module in modules if any(id(parameter) in trained for parameter in module.parameters())
        }
        left = {}
        copies: set[int] = set()
        for module in modules:
            parameters = list(module.parameters())
            if any(id(p) in trained or p.requires_grad for p in parameters):
                continue
            if parameters and form_of(module) in forms:
                copies.update(map(id, parameters))
            left.update({id(p): p for p in parameters})
        for number in copies:
            left.pop(number, None)
        for number, tensor in left.items():
            self._memo[number] = _Kept("same", tensor, None)
        return [(tensor, tensor._version) for tensor in left.values() if not tensor.is_inference()]

    def _too_large(self, modules: list[Any], optimizers: list[Any], folder: str) -> set[str]:
        """Return the kinds of devices whose copies go to a disk, and open a file for them. Raises Refused."""
        needed: dict[str, int] = {}
        seen = set(self._memo)
        tensors = [tensor for module in modules for tensor in _own_tensors(module)]
        tensors += [tensor for one in optimizers for entry in one.state.values() for tensor in _in_entry(entry)]
        for tensor in tensors:
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            size = _bytes_of(tensor)
            gradient = _bytes_of(tensor.grad) if tensor.is_leaf and tensor.grad is not None else 0
            needed[tensor.device.type] = needed.get(tensor.device.type, 0) + size + gradient
        left: dict[str, int] = {}
        why = ""
        for kind, size in needed.items():
            free = free_bytes() if kind == "cpu" else _free_on_device(self._torch, kind)
            if free is not None and size > LARGEST_SHARE * free:
                left[kind] = size
                why = (
                    f"a copy of the training's state takes {size / 2**30:.2f} GiB, more than half of the "
                    f"{free / 2**30:.2f} GiB that are free ({kind})"
                )
        if left and not folder:
            raise Refused(why)
        if left:
            try:
                self._spill = Spill(folder, sum(left.values()))
            except Refused as no_place:
                raise Refused(f"{why}, and {no_place}") from no_place
        return set(left)


def _found(*kinds: Any) -> list[list[Any]]:
    """Return the objects of the process that are of each kind; one pass, as there are half a million objects."""
    objects = gc.get_objects()
    types = set(map(type, objects))
    place = {cls: number for number, kind in enumerate(kinds) for cls in types if issubclass(cls, kind)}
    found: list[list[Any]] = [[] for _ in kinds]
    for item in objects:
        if type(item) in place:
            found[place[type(item)]].append(item)
    return found


def _kinds_of_others(torch: Any) -> tuple[Any, ...]:
    schedules, scalers = torch.optim.lr_scheduler, torch.amp
    kinds = [getattr(schedules, name, None) for name in ("LRScheduler", "_LRScheduler", "ReduceLROnPlateau")]
    return tuple(kind for kind in (*kinds, getattr(scalers, "GradScaler", None)) if isinstance(kind, type))


def _is_state(value: Any) -> bool:
    return type(value) in PLAIN or isinstance(value, (dict, list, tuple)) or hasattr(value, "untyped_storage")


def _own_tensors(module: Any) -> list[Any]:
    held = vars(module)
    parts = [held.get(name) for name in ("_parameters", "_buffers")]
    return [tensor for part in parts if isinstance(part, dict) for tensor in part.values() if tensor is not None]


def _in_entry(entry: Any) -> list[Any]:
    """Return the tensors of one parameter's entry in an optimizer's state."""
    values = list(entry.values()) if isinstance(entry, dict) else []
    values += [item for value in values if isinstance(value, list) for item in value]
    return [value for value in values if hasattr(value, "untyped_storage")]


def _bytes_of(tensor: Any) -> int:
    if isinstance(tensor, Spilled):
        return tensor.bytes
    if tensor.is_sparse:
        return _bytes_of(tensor._values()) + _bytes_of(tensor._indices())
    return int(tensor.numel()) * int(tensor.element_size())


def _free_on_device(torch: Any, kind: str) -> int | None:
    if kind != "cuda":
        return None
    free, _total = torch.cuda.mem_get_info()
    return int(free) + int(torch.cuda.memory_reserved()) - int(torch.cuda.memory_allocated())


def _device_states(torch: Any) -> Any:
    used = torch.cuda.is_available() and torch.cuda.is_initialized()
    return torch.cuda.get_rng_state_all() if used else None


def _set_device_states(torch: Any, states: Any) -> None:
    if states is not None:
        with contextlib.suppress(RuntimeError):  # a graph is being captured
            torch.cuda.set_rng_state_all(states)
