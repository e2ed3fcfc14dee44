"""Trace of a few updates, whose timings are discarded: the script's tensor calls by line, and the operators per update.

Patches of the methods themselves record the calls, not a TorchFunctionMode: dynamo guards on the stack of those modes
and would recompile a compiled model.
"""

from __future__ import annotations

import builtins
import copy
import gc
import sys
import time
from typing import TYPE_CHECKING, Any, Callable

from ..base import modes
from ..base.pass_through import passes_on_to_c
from ..base.patches import Patches
from ..loop.clock import LOADING, StepClock
from ..loop.frames import TORCH, USER, Frames
from .operators import Operators
from .values import Values

if TYPE_CHECKING:
    from types import FrameType

    from torch import Tensor

READS = {
    # Methods that wait for the device and bring a value to the interpreter, with their reported names.
    "item": "item",
    "tolist": "tolist",
    "cpu": "cpu",
    "numpy": "numpy",
    "__array__": "numpy",
    "__bool__": "bool",
    "__float__": "float",
    "__int__": "int",
    "__index__": "int",
    "nonzero": "nonzero",
}
MOVES = ("to", "cuda")
REGISTRATIONS = ("register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook")
"""Methods of a module, all reported as `register_hook`."""
MAX_DURATIONS = 20_000
MAX_SITES = 200


class Tracer:
    """Recorder with `start` and `stop` at the ends of updates; `report` gives the fields of `types.Trace`."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self._frames = Frames()
        self._patches = Patches()
        self._functions = Patches()
        """Patches of functions that compiled code may call: replacing them makes dynamo recompile it."""
        self._mode: Any = None
        self._inside = False
        self._reset()

    def _reset(self) -> None:
        self._sites: dict[tuple[str, str, int, str, str, str], list[int]] = {}
        self._operators_of: dict[int, int] = {}
        """Operators by the number of updates that had ended: an evaluation in one update must not count for all."""
        self._evaluating: dict[int, int] = {}
        """Those of them in evaluations."""
        self._durations_ns: list[int] = []
        self._updates_before = self._clock.updates
        self._updates = 0
        self.moments: list[tuple[int, int, str, tuple[str, int, str]]] = []
        """Begin, end, name and place of every call that `start_calls` records."""
        self._keeps_moments = False
        self.operators = Operators(self._clock, self._frames)
        """Operators outside evaluations."""
        self._operators_of_all = Operators(self._clock, self._frames)
        self._values = Values(self._clock, self._frames)
        self.why_no_operators: str | None = None
        """Reason why operators were not counted; calls are recorded nevertheless."""

    def start(self, compiled: bool = False) -> None:
        """Begin; `compiled` means that the updates run compiled code, so operators are left alone."""
        self._reset()
        self._patch()
        self.why_no_operators = modes.refusal(compiled)
        if self.why_no_operators is None:
            self._mode = modes.enter(self._around)

    def know_buffers(self, buffers: list[Tensor]) -> None:
        """Take these for constants until they are written to."""
        self._values.know(buffers)

    def start_calls(self) -> None:
        """Begin to note when calls of tensor methods begin and end, and nothing else."""
        self._reset()
        self._keeps_moments = True
        self._patch_methods()

    def step_aside(self) -> None:
        """Let compiled code run undisturbed. Operators are no longer counted; calls are, once it has ended."""
        self._functions.pause()
        if self._mode is not None:
            modes.leave(self._mode)
            self.why_no_operators = modes.COMPILED
            self._durations_ns.clear()

    def step_back(self) -> None:
        """Resume recording calls after compiled code has ended."""
        self._functions.resume()

    def stop(self) -> None:
        """Restore the state before `start`."""
        self._updates = self._clock.updates - self._updates_before
        mode, self._mode = self._mode, None
        if mode is not None:
            modes.leave(mode)
        self._functions.restore()
        self._patches.restore()

    def report(self) -> dict[str, Any]:
        import statistics  # 3 ms of every start, if it stood at the top

        updates = max(1, self._updates)
        counts = self._counts(updates)
        ranked = sorted(self._sites.items(), key=lambda item: -item[1][1])[:MAX_SITES]
        return {
            "updates": self._updates,
            "torch_calls_per_update": float(statistics.median(counts)) if self.why_no_operators is None else None,
            "kernel_median_s": self._kernel_median_s(),
            "operators": self._report_of_operators(updates) if self.why_no_operators is None else None,
            "calls": [
                {
                    "what": what,
                    "file": file,
                    "line": line,
                    "function": function,
                    "calls_per_update": calls / updates,
                    "seconds_per_update": spent_ns / 1e9 / updates,
                    "bytes_per_update": size // updates if size else None,
                    "detail": detail,
                    "library": library,
                }
                for (what, file, line, function, detail, library), (calls, spent_ns, size) in ranked
            ],
        }

    def _report_of_operators(self, updates: int) -> dict[str, Any]:
        return {**self._operators(updates).report(updates), **self._values.report(updates)}

    def _counts(self, updates: int) -> list[int]:
        """Return the number of operators of each update."""
        within = [0] * updates if self._evaluates_in_each(updates) else self._evaluated(updates)
        numbers = range(self._updates_before, self._updates_before + updates)
        return [self._operators_of.get(number, 0) - beside for number, beside in zip(numbers, within)]

    def _operators(self, updates: int) -> Operators:
        """Return the operators that are a part of the updates."""
        return self._operators_of_all if self._evaluates_in_each(updates) else self.operators

    def _evaluated(self, updates: int) -> list[int]:
        """Return how many operators of each update were an evaluation's."""
        return [self._evaluating.get(self._updates_before + number, 0) for number in range(updates)]

    def _evaluates_in_each(self, updates: int) -> bool:
        """Return whether each of several updates has an evaluation: it is then a part of them."""
        return updates > 1 and all(self._evaluated(updates))

    # --- operators ----------------------------------------------------------------------------------------------------

    @passes_on_to_c
    def _around(self, func: Any, args: Any, kwargs: Any) -> Any:
        if self._is_skipped(sys._getframe(1)):
            return func(*args, **kwargs)
        updates = self._clock.updates
        self._operators_of[updates] = self._operators_of.get(updates, 0) + 1
        if self._clock.awaits_training:
            self._evaluating[updates] = self._evaluating.get(updates, 0) + 1
        if getattr(func, "is_view", False):
            return func(*args, **kwargs)
        begin_ns = time.perf_counter_ns()
        result = func(*args, **kwargs)
        spent_ns = time.perf_counter_ns() - begin_ns
        if self._clock.device is None and len(self._durations_ns) < MAX_DURATIONS:
            self._durations_ns.append(spent_ns)
        self._operators_of_all.saw(func, args, result, spent_ns)
        if not self._clock.awaits_training:
            self.operators.saw(func, args, result, spent_ns)
            self._values.saw(func, args, kwargs, result, spent_ns)
        return result

    def _is_skipped(self, frame: FrameType | None) -> bool:
        """Return whether to skip an operator: the loader's, our own, or one in a forked process."""
        clock = self._clock
        return clock.phase in LOADING or clock.paused or clock.in_child or self._frames.is_own(frame)

    def _kernel_median_s(self) -> float | None:
        import statistics  # 3 ms of every start, if it stood at the top

        return statistics.median(self._durations_ns) / 1e9 if self._durations_ns else None

    # --- calls --------------------------------------------------------------------------------------------------------

    def _patch_methods(self) -> None:
        import torch

        patches = self._patches
        for method, what in READS.items():
            if hasattr(torch.Tensor, method):
                patches.replace(torch.Tensor, method, self._maker(what, self._read_detail))
        for method in MOVES:
            patches.replace(torch.Tensor, method, self._maker(method, self._move_detail))

    def _patch(self) -> None:
        import torch

        self._patch_methods()
        functions = self._functions
        functions.replace(torch.cuda, "synchronize", self._maker("synchronize", _no_detail))
        functions.replace(torch.cuda, "empty_cache", self._maker("empty_cache", _no_detail))
        for name in REGISTRATIONS:
            functions.replace(torch.nn.Module, name, self._maker("register_hook", _no_detail))
        functions.replace(torch.Tensor, "register_hook", self._maker("register_hook", _no_detail))
        for owner, name, what in (
            (copy, "deepcopy", "deepcopy"),
            (gc, "collect", "gc.collect"),
            (builtins, "print", "print"),
        ):
            original = functions.replace(owner, name, self._maker(what, _no_detail))
            # `from copy import deepcopy` creates a separate name in the user's module.
            functions.replace_copies(original, getattr(owner, name), self._is_user_file)

    def _is_user_file(self, file: str) -> bool:
        return self._frames.owner(file) == USER

    def _maker(self, what: str, describe: Callable[[Any, Any, Any], Any]) -> Callable[[Any], Any]:
        return lambda original: self._recording(original, what, describe)

    def _recording(self, original: Any, what: str, describe: Callable[[Any, Any, Any], Any]) -> Any:
        patches, clock = self._patches, self._clock

        @passes_on_to_c
        def call(*args: object, **kwargs: object) -> Any:
            # Calls inside a call that is already recorded (a print that formats a tensor) belong to that one.
            if not patches.on or self._inside or clock.paused or not clock.mine():
                return original(*args, **kwargs)
            self._inside = True
            begin_ns = time.perf_counter_ns()
            try:
                result = original(*args, **kwargs)
            finally:
                self._inside = False
            end_ns = time.perf_counter_ns()
            try:
                described = describe(args, kwargs, result)
                if described is not None:
                    self._record(sys._getframe(1), what, begin_ns, end_ns, *described)
            except Exception as error:
                self.why_no_operators = self.why_no_operators or f"recording {what} failed: {error!r}"
            return result

        call.__name__ = call.__qualname__ = getattr(original, "__name__", what)
        call.__doc__ = getattr(original, "__doc__", None)
        call.__module__ = getattr(original, "__module__", None) or "builtins"
        return call

    def _record(self, frame: FrameType | None, what: str, begin_ns: int, end_ns: int, detail: str, size: int) -> None:
        if self._frames.is_own(frame):
            return
        at = self._frames.library_line(frame)
        if not at and self._made_by_torch(frame):
            return
        file, line, function = self._frames.line(frame)
        if self._keeps_moments:
            read = "cpu" if detail.startswith("to cpu") else what
            self.moments.append((begin_ns, end_ns, read, (file, line, function)))
            return
        detail = " ".join(part for part in (detail, at and f"in {at}") if part)
        key = (what, file, line, function, detail, self._frames.library(frame))
        site = self._sites.setdefault(key, [0, 0, 0])
        site[0] += 1
        site[1] += end_ns - begin_ns
        site[2] += size

    def _made_by_torch(self, frame: FrameType | None) -> bool:
        """Detect reads by torch: an optimizer that reads its step count is not a user's wait; formatting a tensor
        is."""
        while frame is not None and frame.f_code.co_filename.endswith("_tensor.py"):
            frame = frame.f_back
        return frame is not None and self._frames.owner(frame.f_code.co_filename) == TORCH

    def _read_detail(self, args: Any, _kwargs: object, _result: object) -> tuple[str, int] | None:
        tensor = args[0]
        if tensor.device.type == "cpu" and self._clock.device is not None:
            return None  # with an accelerator in use, a value on the CPU is already available
        return "", int(tensor.numel()) * int(tensor.element_size())

    def _move_detail(self, args: Any, kwargs: object, result: Any) -> tuple[str, int] | None:
        source = args[0]
        if source.device == result.device:
            return None
        size = int(source.numel()) * int(source.element_size())
        waits = "non_blocking" if _is_non_blocking(args, kwargs) else "blocking"
        if source.device.type != "cpu":
            return f"to {result.device.type}, {waits}", size
        return f"{'pinned' if _pinned(source) else 'pageable'}, {waits}", size


def _is_non_blocking(args: Any, kwargs: Any) -> bool:
    """Read `non_blocking` of `to(device, dtype, non_blocking)` and the like: by name, or the first positional bool."""
    flags = [value for value in args[1:] if isinstance(value, bool)]
    return bool(kwargs.get("non_blocking", flags[0] if flags else False))


def _pinned(tensor: Tensor) -> bool:
    import torch

    cuda: Any = torch.cuda
    return bool(cuda.is_initialized() and tensor.is_pinned())


def _no_detail(_args: object, _kwargs: object, _result: object) -> tuple[str, int]:
    return "", 0
