"""Memory of the process, and memory that an update keeps."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Callable

from ..base.pass_through import stands_for
from ..base.patches import Patches

if TYPE_CHECKING:
    from torch import Tensor

LAST_KEPT = 4
"""Storages kept last in a forward that are looked at: those of the loss (a softmax, targets, weights)."""
COMPILED = "the script uses torch.compile, which would recompile under hooks on saved tensors"
DISABLED = "the script's code allows no hooks on saved tensors, as torch.func does not"


def rss_bytes() -> int:
    """Return the current resident memory (Linux: 10 µs), elsewhere the peak so far; 0 if neither is available."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return peak_rss_bytes()


def peak_rss_bytes() -> int:
    """Return the largest resident memory so far, or since `reset_peak_rss`; 0 if unavailable."""
    try:
        with open("/proc/self/status", "rb") as file:
            for line in file:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        pass
    try:
        import resource
    except ImportError:
        return 0
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(largest) if sys.platform == "darwin" else int(largest) * 1024


def reset_peak_rss() -> bool:
    """Begin a new peak; return False if the system does not allow it (the peak is then since the start)."""
    try:
        with open("/proc/self/clear_refs", "wb") as file:
            file.write(b"5")
        return True
    except OSError:
        return False


class HostPeak:
    """Largest resident memory of the process, per window and overall."""

    def __init__(self) -> None:
        self._largest = 0
        self._is_reset = False

    def begin(self) -> None:
        """Begin a counted window."""
        self._largest = self.largest()
        self._is_reset = reset_peak_rss()

    def take(self) -> int | None:
        """Return peak bytes since `begin`; None if the system keeps one peak for the whole process."""
        found = peak_rss_bytes()
        self._largest = max(self._largest, found)  # the kernel's own figure fluctuates by some pages
        return found or None if self._is_reset else None

    def largest(self) -> int:
        """Return the peak bytes since the process began."""
        return max(self._largest, peak_rss_bytes())


def give_back() -> None:
    """Return memory of earlier windows from the allocator's arenas to the system if possible (glibc).

    The next window's memory is then its own."""
    import ctypes

    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return


def memory_in_use(models: Iterable[Any], optimizers: Iterable[Any]) -> dict[str, int | None]:
    """Return bytes by the names of `types.MemoryUse`; None where a tensor's size is unavailable.

    Call this at the end of an update: gradients exist only between backward and `zero_grad`. `optimizers` may be
    tuples whose first item is one.
    """
    plain = [entry[0] if isinstance(entry, tuple) else entry for entry in optimizers]
    parameters = _parameters(list(models), plain)
    known = _storages(parameters)
    return {
        "parameters_bytes": _sum(known),
        "gradients_bytes": _sum(_storages([p.grad for p in parameters if p.grad is not None])),
        "optimizer_bytes": _sum(_storages(_state_tensors(plain), without=known)),
    }


class Activations:
    """Peak bytes that the forwards of one update keep for backward.

    Each storage counts once, and trained parameters do not count at all. Memory that backward has freed, or that a
    checkpoint recomputes, is not held and does not count: with accumulation the largest micro-step counts, not the sum.
    """

    def __init__(self) -> None:
        self._hooks: Any = None
        self._ledger = _Ledger()
        self._patches = Patches()
        self.why: str | None = None
        """Reason for a missing number, after a `start` or `stop` without one."""

    def start(self, compiled: bool = False) -> bool:
        """Begin to watch; return False, with the reason in `why`, if impossible, as with compiled updates
        (`compiled`)."""
        import torch

        autograd: Any = torch._C._autograd
        top = getattr(autograd, "_top_saved_tensors_default_hooks", None)
        if compiled:
            self.why = COMPILED
        elif top is None:
            self.why = "this torch does not report which hooks on saved tensors are set"
        elif top(True) is not None:
            self.why = "the script sets its own hooks on saved tensors"
        elif not autograd._saved_tensors_hooks_is_enabled():
            self.why = "hooks on saved tensors are disabled"
        else:
            self.why = None
        if self.why is not None:
            return False
        self._ledger = _Ledger()
        self._hooks = (self._ledger.pack, self._ledger.unpack)
        autograd._push_saved_tensors_default_hooks(*self._hooks)
        self._patches.replace(autograd, "_saved_tensors_hooks_disable", self._disabling)
        return True

    def _disabling(self, original: Callable[[str], None]) -> Callable[[str], None]:
        """Return what disables hooks on saved tensors, without ours: it raises RuntimeError if any are set."""

        @stands_for(original, in_c=True)
        def disable(message: str) -> None:
            if self._patches.on:
                self.step_aside(DISABLED)
            original(message)

        return disable

    @property
    def held_bytes(self) -> int:
        """Bytes that are kept for the backward now."""
        return self._ledger.held_bytes

    @property
    def last_bytes(self) -> int | None:
        """Bytes of the largest storage among the last ones kept in a forward; None if nothing was kept."""
        return self._ledger.last_bytes or None

    def open_here(self) -> bool:
        """Return whether our hooks are the active ones on this thread; backward threads share the training thread's."""
        if self._hooks is None:
            return False
        import torch

        autograd: Any = torch._C._autograd
        top = autograd._top_saved_tensors_default_hooks(True)
        return top is not None and top[0] == self._hooks[0]

    def step_aside(self, why: str = COMPILED) -> None:
        """Let code that bears no hooks run undisturbed; the updates since `start` then have no number."""
        if self._hooks is not None:
            self._take_out(self._hooks)
            self._ledger.failed = why

    def stop(self) -> int | None:
        """Return the peak bytes; None if nothing was kept or watching failed."""
        if self._hooks is None:
            return None
        hooks, self._hooks = self._hooks, None
        self._patches.restore()
        self._take_out(hooks)
        self.why = self._ledger.failed
        return self._ledger.peak_bytes or None if self.why is None else None

    def _take_out(self, hooks: tuple[Any, Any]) -> None:
        import torch

        autograd: Any = torch._C._autograd
        above = []
        while True:
            top = autograd._top_saved_tensors_default_hooks(True)
            if top is None:
                break
            autograd._pop_saved_tensors_default_hooks()
            if top[0] == hooks[0]:
                break
            above.append(top)  # a scope of the script that was opened after ours and is still open
        for pack, unpack in reversed(above):
            autograd._push_saved_tensors_default_hooks(pack, unpack)


class _Ledger:
    """Storages currently kept for backward."""

    def __init__(self) -> None:
        self._kept: dict[int, list[int]] = {}
        self.held_bytes = 0
        self.peak_bytes = 0
        self._last: deque[int] = deque(maxlen=LAST_KEPT)
        self.last_bytes = 0
        self.failed: str | None = None

    def pack(self, tensor: Tensor) -> Any:
        try:
            key, size = _storage(tensor)
            # Detach: a saved output would otherwise keep its own graph alive forever.
            kept = _Kept(tensor.detach(), self, None if _is_parameter(tensor) else key)
        except Exception as error:
            self.failed = self.failed or f"a saved tensor could not be inspected: {error!r}"
            return tensor
        if kept.key is not None:
            entry = self._kept.setdefault(key, [0, size])
            if entry[0] == 0:
                self.held_bytes += size
                self.peak_bytes = max(self.peak_bytes, self.held_bytes)
            entry[0] += 1
            self._last.append(size)
        return kept

    def unpack(self, packed: object) -> Any:
        return packed.tensor if type(packed) is _Kept else packed

    def release(self, key: int) -> None:
        if self._last:  # the backward begins
            self.last_bytes = max(self.last_bytes, *self._last)
            self._last.clear()
        entry = self._kept.get(key)
        if entry is None:
            return
        entry[0] -= 1
        if entry[0] == 0:
            del self._kept[key]
            self.held_bytes -= entry[1]


class _Kept:
    """Tensor kept for backward; its deletion releases the storage."""

    __slots__ = ("_ledger", "key", "tensor")

    def __init__(self, tensor: Tensor, ledger: _Ledger, key: int | None) -> None:
        self.tensor = tensor
        self._ledger = ledger
        self.key = key
        """Storage that is counted; None for a parameter's."""

    def __del__(self) -> None:
        if self.key is not None:
            self._ledger.release(self.key)


def _is_parameter(tensor: Tensor) -> bool:
    """Detect a trained leaf or a view of one: a linear layer keeps the transpose of its weight."""
    base = tensor._base if tensor._base is not None else tensor
    return bool(base.is_leaf and base.requires_grad)


def _parameters(models: list[Any], optimizers: list[Any]) -> list[Any]:
    """Return the parameters of models and optimizers, each once; scripts without modules have only the latter."""
    found = [parameter for model in models for parameter in model.parameters()]
    found += [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    return list({id(parameter): parameter for parameter in found}.values())


def _state_tensors(optimizers: list[Any]) -> list[Any]:
    found: list[Any] = []
    pending = [value for optimizer in optimizers for value in optimizer.state.values()]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, (list, tuple)):
            pending.extend(value)
        elif hasattr(value, "element_size"):
            found.append(value)
    return found


def _storages(tensors: Iterable[Any], without: dict[int, int] | None = None) -> dict[int, int] | None:
    """Return bytes by storage; None if one is unavailable."""
    found: dict[int, int] = {}
    try:
        for tensor in tensors:
            key, size = _storage(tensor)
            if without is None or key not in without:
                found[key] = size
    except Exception:
        return None
    return found


def _storage(tensor: Tensor) -> tuple[int, int]:
    """Return identity and bytes of the storage with the tensor's elements on this rank."""
    local = getattr(tensor, "_local_tensor", tensor)
    if local.is_sparse:
        values = local._values()
        return values.untyped_storage()._cdata, int(values.untyped_storage().nbytes())
    storage = local.untyped_storage()
    return storage._cdata, int(storage.nbytes())


def _sum(storages: dict[int, int] | None) -> int | None:
    return None if storages is None else sum(storages.values())
