"""Exceptions of the script: removal of our frames, and a report for the controller."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any

from ...wire import Crashed
from .own_folder import PACKAGE

_OURS = tuple(
    os.path.join(PACKAGE, name)
    for name in ("agent" + os.sep, "knobs" + os.sep, "whatif" + os.sep, "discovery.py", "wire.py")
)
LONGEST_TRACEBACK = 20_000
"""Maximum characters; Python itself cuts a RecursionError's traceback, but an ExceptionGroup's may have any length."""
_OUT_OF_MEMORY_TEXTS = (
    "out of memory",
    "DefaultCPUAllocator",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "std::bad_alloc",
)
"""Messages of torch's allocators and of the libraries below them."""


def cut_chain(error: BaseException) -> None:
    """Remove our frames from the exception, its causes, contexts and group members."""
    for part in chain(error):
        part.__traceback__ = _cut(part.__traceback__)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception, its causes, contexts and group members; each once, outermost first."""
    seen: set[int] = set()
    left = [error]
    while left:
        part = left.pop(0)
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        members = getattr(part, "exceptions", ())
        more = [part.__cause__, part.__context__, *(members if isinstance(members, tuple) else ())]
        left += [other for other in more if isinstance(other, BaseException)]


def is_out_of_memory(error: BaseException) -> bool:
    return any(_says_out_of_memory(part) for part in chain(error))


def crash_report(error: BaseException, rank: int) -> Crashed:
    import traceback

    cut_chain(error)
    try:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except Exception as failure:  # the script's exception class cannot produce its text
        text = f"{type(error).__name__} (its traceback cannot be shown: {failure!r})\n"
    if len(text) > LONGEST_TRACEBACK:
        half = LONGEST_TRACEBACK // 2
        text = f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
    return Crashed(
        rank=rank,
        kind="oom" if is_out_of_memory(error) else "crash",
        exceptions=[_in_words(part) for part in chain(error)],
        traceback=text,
    )


def _says_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    text = _in_words(error)
    return any(part in text for part in _OUT_OF_MEMORY_TEXTS)


def _in_words(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}".removesuffix(": ")
    except Exception:
        return type(error).__name__


def _cut(traceback: Any) -> Any:
    """Return the traceback without our frames.

    Frames of the import system adjacent to ours are removed, too: Python itself omits them unless one of our frames is
    among them. Frames before the script's first frame (runpy, for -m) also go.
    """
    kept: list[Any] = []
    row: list[object] = []
    while traceback is not None:
        if _is_ours(traceback) or _is_machinery(traceback, first=not kept):
            row.append(traceback)
        else:
            if not any(map(_is_ours, row)):
                kept += row
            row = []
            kept.append(traceback)
        traceback = traceback.tb_next
    if not any(map(_is_ours, row)):
        kept += row
    for this, following in zip(kept, [*kept[1:], None]):
        this.tb_next = following
    return kept[0] if kept else None


def _is_ours(traceback: Any) -> bool:
    filename: str = traceback.tb_frame.f_code.co_filename
    return filename.startswith(_OURS)


def _is_machinery(traceback: Any, *, first: bool) -> bool:
    filename: str = traceback.tb_frame.f_code.co_filename
    return filename.startswith("<frozen importlib") or (
        first and (filename == "<frozen runpy>" or filename.endswith(os.sep + "runpy.py"))
    )


def is_of_a_worker(error: Exception) -> bool:
    """Return whether torch's signal handler raised it because a worker just died: the script's error, not ours."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename.endswith("signal_handling.py")
