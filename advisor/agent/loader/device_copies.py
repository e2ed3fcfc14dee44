"""Copies of the loaders' batches to the device: without waiting for them, or before the script asks for them.

The script keeps its own calls, `batch.to(device)` or `batch.cuda()`. Only tensors are treated so that a loader has
delivered itself, in page-locked memory; all others are copied as the script has it. A batch that is copied ahead is
handed over at the script's own call, if nobody has written to it meanwhile and the call is the one of the last batch.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Collection
from typing import Any, Callable, NamedTuple

from ...refused import Refused
from ..base import forks
from ..base.pass_through import passes_on_to_c, stands_for
from ..base.patches import Patches
from ..base.tensors import tensors_in
from ..loop.clock import StepClock
from ..loop.copies import leaves_by_to
from .delivery import Deliveries

WITHOUT_WAITING, AHEAD = "without_waiting", "ahead"
TRIED_BATCHES = 8
"""Delivered batches without a copy that could be treated, after which the setting is given up."""
REWRITTEN = "the script writes to its batches after it has copied them to the device"
UNUSED = {
    WITHOUT_WAITING: "no tensor that the loader delivers in page-locked memory is copied by the training thread",
    AHEAD: "no batch was there, in page-locked memory, before the script asked for it",
}


class CopyBackend:
    """Only layer that touches the device here; tests put a stand-in in its place."""

    def __init__(self) -> None:
        self._streams: dict[Any, Any] = {}

    def check(self) -> None:
        """Raise Refused if there is no such device."""
        import torch

        if not torch.cuda.is_available():
            raise Refused("there is no CUDA device to copy to")

    def is_pinned(self, tensor: Any) -> bool:
        return bool(tensor.is_pinned())

    def on_default_stream(self) -> bool:
        """Return False where the script orders its streams itself."""
        import torch

        return torch.cuda.current_stream() == torch.cuda.default_stream()

    def copy_ahead(self, copy: Callable[[], Any], device: Any) -> tuple[Any, Any]:
        """Run `copy` on a stream of its own; return its result and the event of its end."""
        import torch

        cuda: Any = torch.cuda
        if device not in self._streams:
            self._streams[device] = cuda.Stream(device)
        with cuda.stream(self._streams[device]):
            result = copy()
            event = cuda.Event()
            event.record(self._streams[device])
        return result, event

    def hand_over(self, result: Any, event: Any) -> None:
        """Let the current stream wait for the copy, and keep its memory until that stream has used it."""
        import torch

        stream = torch.cuda.current_stream(result.device)
        stream.wait_event(event)
        result.record_stream(stream)


class _Call(NamedTuple):
    """Call by which the script copies the tensor at one place of its batches."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class _Copied(NamedTuple):
    source: weakref.ref[Any]
    version: int
    call: _Call
    result: Any
    event: Any


class DeviceCopies:
    """Treatment of copies, one instance per process; does nothing until one is switched on."""

    def __init__(self, deliveries: Deliveries, clock: StepClock, broke: Callable[[str, str], None]) -> None:
        self._deliveries = deliveries
        self._clock = clock
        self._broke = broke
        self._patches = Patches()
        self._on: dict[str, str] = {}
        """Treatment in force → setting that asked for it."""
        self._treated: set[str] = set()
        """Treatments that a batch has had."""
        self._batches = 0
        self._delivered: dict[int, tuple[weakref.ref[Any], int]] = {}
        """Identity of a delivered tensor → the tensor, and its place in the batch."""
        self._read: list[tuple[weakref.ref[Any], int]] = []
        """Tensors that may still be read by a copy, with their versions."""
        self._calls: dict[int, tuple[_Call, Any]] = {}
        """Place in the batch → the script's call for the last one, and the device that it copies to."""
        self._copied: dict[int, _Copied] = {}
        self.backend = CopyBackend()
        forks.watch(self)

    # --- for the knobs ------------------------------------------------------------------------------------------------

    def switch(self, treatment: str, on: bool, by: str = "") -> None:
        """Treat copies so from the next batch on, or no longer.

        `by` is the setting to charge if that turns out impossible. Raises Refused if there is no device.
        """
        if not on:
            self._switch_off(treatment)
            return
        self.backend.check()
        self._on[treatment] = by
        self._batches = 0
        self._treated.discard(treatment)
        if not self._patches.on:
            import torch

            self._patches.replace(torch.Tensor, "to", lambda original: self._wrapper("to", original))
            self._patches.replace(torch.Tensor, "cuda", lambda original: self._wrapper("cuda", original))
        self._deliveries.on_batch = self._delivers

    def _switch_off(self, treatment: str) -> None:
        self._on.pop(treatment, None)
        if treatment == AHEAD:
            self._copied.clear()
        if not self._on:
            self._patches.restore()
            self._deliveries.on_batch = None
            self._delivered.clear()
            self._calls.clear()
            self._read.clear()

    def forked(self) -> None:
        """Do nothing in a child; what is on the device is kept, and never freed there."""
        self._patches.on = False
        self._deliveries.on_batch = None

    # --- at a delivery ------------------------------------------------------------------------------------------------

    def _delivers(self, batch: object, fetcher: Any) -> None:
        """Prepare for the copies of a batch; a fault of ours gives the settings up and never reaches the script."""
        try:
            self._prepare(batch, fetcher)
        except Exception as error:
            self._give_up(f"{type(error).__name__}: {error}", list(self._on))

    def _prepare(self, batch: object, fetcher: Any) -> None:
        if self._rewritten():
            self._give_up(REWRITTEN, list(self._on))
        self._batches += 1
        if self._batches > TRIED_BATCHES:
            for treatment in [one for one in self._on if one not in self._treated]:
                self._give_up(UNUSED[treatment], [treatment])
        if not self._on:
            return
        present = {id(tensor): (weakref.ref(tensor), place) for place, tensor in enumerate(tensors_in(batch))}
        kept = {number: known for number, known in self._delivered.items() if known[0]() is not None}
        self._delivered = {**kept, **present}
        if AHEAD in self._on:
            self._copy_ahead(fetcher, present)

    def _give_up(self, why: str, treatments: list[str]) -> None:
        for by in [self._on[treatment] for treatment in treatments if treatment in self._on]:
            self._broke(by, why)

    def _rewritten(self) -> bool:
        read, self._read = self._read, []
        for reference, version in read:
            tensor: Any = reference()
            if tensor is not None and tensor._version != version:
                return True
        return False

    def _copy_ahead(self, fetcher: Any, present: Collection[int]) -> None:
        """Begin the copies of the next batch, if it has arrived, and drop those of batches before the present one."""
        self._copied = {number: copied for number, copied in self._copied.items() if number in present}
        batch = _next_arrived(fetcher) if self._calls else None
        if batch is None or not self.backend.on_default_stream():
            return
        for place, tensor in enumerate(tensors_in(batch)):
            call, device = self._calls.get(place, (None, None))
            if call is None or tensor.requires_grad or not self.backend.is_pinned(tensor):
                continue
            copy = functools.partial(getattr(tensor, call.name), *call.args, **{**call.kwargs, "non_blocking": True})
            result, event = self.backend.copy_ahead(copy, device)
            self._copied[id(tensor)] = _Copied(weakref.ref(tensor), tensor._version, call, result, event)

    # --- around the script's call -------------------------------------------------------------------------------------

    def _wrapper(self, name: str, original: Any) -> Any:
        import torch

        clock, patches = self._clock, self._patches
        compiling, get_ident = torch.compiler.is_dynamo_compiling, threading.get_ident

        @stands_for(original, in_c=True)
        def call(tensor: Any, *args: Any, **kwargs: Any) -> Any:
            known = self._delivered.get(id(tensor))
            if known is None or not patches.on or compiling() or get_ident() != clock.owner or clock.paused:
                return original(tensor, *args, **kwargs)
            if known[0]() is not tensor or not _copies(name, tensor, args, kwargs):
                return original(tensor, *args, **kwargs)
            return self._copy(original, tensor, known[1], _Call(name, args, kwargs))

        return call

    @passes_on_to_c
    def _copy(self, original: Any, tensor: Any, place: int, call: _Call) -> Any:
        ahead: Any = self._copied.pop(id(tensor), None)
        if not self.backend.on_default_stream() or not self.backend.is_pinned(tensor):
            return original(tensor, *call.args, **call.kwargs)
        if ahead is not None and ahead.source() is tensor and ahead.version == tensor._version and ahead.call == call:
            self.backend.hand_over(ahead.result, ahead.event)
            treatment, result = AHEAD, ahead.result
        elif WITHOUT_WAITING in self._on:
            treatment = WITHOUT_WAITING
            result = original(tensor, *call.args, **{**call.kwargs, "non_blocking": True})
        else:
            treatment, result = "", original(tensor, *call.args, **call.kwargs)
        self._calls[place] = call, result.device
        if treatment:
            self._treated.add(treatment)
            self._read.append((weakref.ref(tensor), tensor._version))
        return result


def _copies(name: str, tensor: Any, args: Any, kwargs: Any) -> bool:
    """Return whether the call copies the tensor off the host, in a form that can be changed and compared."""
    import torch

    if tensor.device.type != "cpu" or any(isinstance(word, bool) for word in args):
        return False  # how to wait is said by its place
    if any(isinstance(word, torch.Tensor) for word in (*args, *kwargs.values())):
        return False
    return name == "cuda" or leaves_by_to(args, kwargs)


def _next_arrived(fetcher: Any) -> object:
    """Return the batch that a loader with workers and page-locked memory will deliver next; None if it is not there."""
    number = getattr(fetcher, "_rcvd_idx", None)
    info = getattr(fetcher, "_task_info", {}).get(number, ())
    if len(info) == 2:
        return info[1]
    arrived: Any = getattr(fetcher, "_data_queue", None)
    waiting = getattr(arrived, "queue", None)
    if number is None or waiting is None:
        return None
    with arrived.mutex:
        return next((item[1] for item in waiting if isinstance(item, tuple) and item[0] == number), None)
