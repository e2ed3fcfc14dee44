"""Protection of the final report from dying workers: torch's SIGCHLD handler raises wherever the main thread is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .nothing import nothing


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Ignore children that end inside the `with`: the script has ended, and its reason is known."""
    import signal
    import threading

    number = getattr(signal, "SIGCHLD", None)
    handler = signal.getsignal(number) if number is not None else None
    if number is None or not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    # Blocking the signal would not help: another thread would receive it, and Python runs the handler in this one.
    signal.signal(number, nothing)
    try:
        yield
    finally:
        signal.signal(number, handler)
