"""Interception of single modules' calls, without a trace in anything the script saves or copies.

`Module.__call__` checks its module's slot `_compiled_call_impl` first. The cheapest place for the slot is the module's
own dictionary, and `Module.__getstate__` leaves that entry out. Classes with their own pickling (torch's recurrent
ones, some user classes) get a descriptor on the class instead, so that their objects stay untouched.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Callable

from .pass_through import passes_on

if TYPE_CHECKING:
    from torch import nn

SLOT = "_compiled_call_impl"

Run = Callable[[Any, Callable[..., Any], Any, Any], Any]
"""Function of (module, the call it would have made, args, kwargs)."""


class CallSlot:
    """Callable in place of one module's call. Pickled or copied, it becomes the previous slot value."""

    __slots__ = ("__weakref__", "previous", "ref", "run")

    def __init__(self, module: nn.Module, run: Run, previous: Any) -> None:
        self.ref = weakref.ref(module)
        self.run = run
        self.previous = previous
        """Slot value from the script's own `module.compile()`; None without one."""

    @passes_on
    def __call__(self, *args: Any, **kwargs: object) -> object:
        module = self.ref()
        previous = self.previous
        # A shallow copy of a dead module may still hold us.
        original = previous if previous is not None else module._call_impl  # type: ignore[union-attr]
        return self.run(module, original, args, kwargs)

    def __reduce_ex__(self, protocol: object) -> Any:
        if self.previous is None:
            return type(None), ()
        return self.previous.__reduce_ex__(protocol)


class ClassSlot:
    """Descriptor with the slots of a class's objects; objects without a slot find None, as usual."""

    def __init__(self) -> None:
        self.slots: dict[int, CallSlot] = {}

    def __get__(self, module: nn.Module, _owner: object = None) -> CallSlot | None:
        slot = self.slots.get(id(module))
        return slot if slot is not None and slot.ref() is module else None

    def __reduce_ex__(self, _protocol: object) -> Any:
        return type(None), ()  # a class of `__main__` that is pickled by value


def put(module: nn.Module, run: Run) -> CallSlot:
    """Intercept this module's calls."""
    import torch

    previous = module.__dict__.get(SLOT)
    usual: object = torch.nn.Module.__getstate__
    slot = CallSlot(module, run, previous)
    cls = type(module)
    # An entry in the object's own dictionary would hide one on the class.
    if previous is not None or cls.__getstate__ is usual:
        module.__dict__[SLOT] = slot
        return slot
    on_class = vars(cls).get(SLOT)
    if not isinstance(on_class, ClassSlot):
        on_class = ClassSlot()
        setattr(cls, SLOT, on_class)
    on_class.slots[id(module)] = slot
    return slot


def take(module: nn.Module, slot: CallSlot) -> None:
    """Restore the previous slot; if the script has compiled the module meanwhile, that stays."""
    own = module.__dict__
    if own.get(SLOT) is slot:
        if slot.previous is None:
            del own[SLOT]
        else:
            own[SLOT] = slot.previous
    cls = type(module)
    on_class = vars(cls).get(SLOT)
    if isinstance(on_class, ClassSlot) and on_class.slots.get(id(module)) is slot:
        del on_class.slots[id(module)]
        if not on_class.slots:
            delattr(cls, SLOT)


def is_taken(module: nn.Module) -> bool:
    """Return whether the module's calls are intercepted, by us or by the script's `module.compile()`."""
    on_class = vars(type(module)).get(SLOT)
    return module.__dict__.get(SLOT) is not None or (isinstance(on_class, ClassSlot) and id(module) in on_class.slots)


def compiled_by_script(module: nn.Module) -> bool:
    """Return whether the script called `module.compile()`."""
    found = module.__dict__.get(SLOT)
    return found.previous is not None if isinstance(found, CallSlot) else found is not None


def is_compiled(module: nn.Module) -> bool:
    """Return whether the script compiled the module, by `torch.compile` or by its own method."""
    return type(module).__name__ == "OptimizedModule" or compiled_by_script(module)
