"""Observation of every torch operator for one or two updates, and the cases where it is impossible.

The mode is entered at the end of one update and left at the end of a later one, so it cannot be a `with`. Scopes that
the script opens meanwhile may still be open when ours ends; they are kept.
"""

from __future__ import annotations

import sys
from typing import Any, Callable

from .pass_through import passes_on_to_c

Around = Callable[[Any, Any, Any], Any]
"""Function of an operator, its arguments and keyword arguments; must call it once and return its result."""

COMPILED = "the script uses torch.compile, which would stop compiling a function that first runs under tracing"

_mode_class: Any = None
_before_ours: bool | None = None
"""True if the script had compiled anything when we began to compile for it; None if we never did."""


def refusal(compiled: bool) -> str | None:
    """Return why operators cannot be watched now, or None if they can. `compiled`: the updates run compiled code."""
    import torch

    if compiled:
        return COMPILED
    if any(not _is_ours(mode) for mode in _stack()):
        return "the script itself traces operators (a TorchDispatchMode is active)"
    cuda: Any = torch.cuda
    if cuda.is_initialized() and cuda.is_current_stream_capturing():
        return "the script is capturing a CUDA graph"
    return None


def are_watched() -> bool:
    """Return whether anybody watches torch's operators now, the script or we, or captures them."""
    return bool(_stack()) or refusal(compiled=False) is not None


def compile_used() -> bool:
    """Return whether `torch.compile` was called in this process or has compiled anything; never import dynamo.

    A call is enough: dynamo skips a function forever if its first run happens under a dispatch mode.
    """
    frames = sys.modules.get("torch._dynamo.eval_frame")
    # Every optimizer disables dynamo for itself, which shows up as the backend None.
    backends = getattr(frames, "cached_backends", {}).values()
    return compiled_code_ran() or any(backend is not None for backend in list(backends))


def compiled_by_us() -> None:
    """Record that we compile from now on."""
    global _before_ours
    if _before_ours is None:
        _before_ours = compiled_code_ran()


def compiling_by_us() -> bool:
    """Return whether we compile for the script, or did."""
    return _before_ours is not None


def compiled_by_script() -> bool:
    """Return whether the script itself has compiled anything."""
    return compiled_code_ran() if _before_ours is None else _before_ours


def compiled_code_ran() -> bool:
    """Return whether dynamo has compiled anything in this process."""
    utils = sys.modules.get("torch._dynamo.utils")
    if utils is None:
        return False
    frames = getattr(utils, "counters", {}).get("frames") or {}
    return bool(frames.get("total") or getattr(utils, "compilation_time_metrics", None))


def enter(around: Around) -> object:
    """Watch every operator of this thread (and of its backward) until `leave`.

    The mode goes on torch's stack without `__enter__`, which also sets flags for dynamo. Restored out of order, those
    would stay set permanently.
    """
    import torch

    mode = _class()(around)
    torch._C._push_on_torch_dispatch_stack(mode)
    return mode


def leave(mode: Any) -> None:
    """Remove the mode from the stack, wherever the script's own scopes have left it."""
    import torch

    mode.around = None
    above: list[Any] = []
    while torch._C._len_torch_dispatch_stack() > 0:
        top = torch._C._pop_torch_dispatch_stack(None)
        if top is mode:
            break
        above.append(top)
    for other in reversed(above):
        torch._C._push_on_torch_dispatch_stack(other)


def open_here() -> bool:
    """Return whether one of our modes is open on this thread; backward threads share the training thread's modes."""
    return any(_is_ours(mode) for mode in _stack())


def _stack() -> list[object]:
    import torch

    return [torch._C._get_dispatch_stack_at(index) for index in range(torch._C._len_torch_dispatch_stack())]


def _is_ours(mode: object) -> bool:
    return _mode_class is not None and isinstance(mode, _mode_class)


def _class() -> Any:
    global _mode_class
    if _mode_class is not None:
        return _mode_class
    from torch.utils._python_dispatch import TorchDispatchMode

    class OperatorMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __init__(self, around: Around) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.around: Around | None = around

        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            # The default imports dynamo at the first operator: it takes seconds, and memory that seems the script's.
            return False

        @passes_on_to_c
        def __torch_dispatch__(self, func: Any, types: object, args: Any = (), kwargs: Any = None) -> object:
            around = self.around
            if around is None:
                return func(*args, **(kwargs or {}))
            return around(func, args, kwargs or {})

    _mode_class = OperatorMode
    return _mode_class
