"""Last words that no dying worker interrupts: torch's handler for SIGCHLD raises wherever the main thread is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Children that end meanwhile are not told: the script has ended, and knows why."""
    import signal
    import threading

    number = getattr(signal, "SIGCHLD", None)
    handler = signal.getsignal(number) if number is not None else None
    if number is None or not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    # Blocking the signal is no help: another thread would take it, and Python runs the handler in this one.
    signal.signal(number, _wait_for_nothing)
    try:
        yield
    finally:
        signal.signal(number, handler)


def _wait_for_nothing(_number: int, _frame: object) -> None:
    return None
