"""Ctrl-C and SIGTERM: an orderly end that keeps the measurements."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from ..errors import Terminated

AGAIN_S = 0.05
"""Seconds until a signal is resent that came when nothing could be raised; such moments last microseconds."""
ENDINGS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}


def listen() -> None:
    """End the work in order at the first signal, ask for patience at the second, and leave at once at the third.

    A signal that the parent process had us ignore (`nohup`, a background job) stays ignored. Python drops an exception
    raised in a destructor or a callback (an import has such moments); a signal that arrives there is sent again.
    """
    heard = 0
    usual = sys.unraisablehook

    def end(number: int, _frame: Any) -> None:
        nonlocal heard
        heard += 1
        if heard == 1:
            raise ENDINGS[signal.Signals(number)]
        if heard > 2:
            os._exit(128 + number)  # the script's processes and the isolated view end with this process
        os.write(2, b"advisor: ending; once more leaves at once, without keeping what was measured\n")

    def dropped(what: sys.UnraisableHookArgs) -> None:
        nonlocal heard
        number = next((number for number, ending in ENDINGS.items() if what.exc_type is ending), None)
        if heard == 0 or number is None:
            usual(what)
            return
        heard -= 1
        again = threading.Timer(AGAIN_S, signal.pthread_kill, (threading.main_thread().ident, number))
        again.daemon = True
        again.start()

    for number in ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)
    sys.unraisablehook = dropped


def ignore() -> None:
    """Ignore late signals, which must not turn the end of finished work into a traceback."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)
