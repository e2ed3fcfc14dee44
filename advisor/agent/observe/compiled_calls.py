"""Detection of calls into code that torch compiles, before dynamo sees our open modes, hooks and patches.

Dynamo gives up a function permanently if it first runs under a dispatch mode. It recompiles it under hooks on saved
tensors, or if a function that it calls was replaced. Observers of an update therefore step aside first.

Every compiled call sets dynamo's callback through one function of `torch._dynamo.eval_frame`: a compiled module,
function or optimizer, or code that torch compiles on its own. Ours replaces that function while updates are watched.
"""

from __future__ import annotations

import sys
from threading import get_ident
from types import ModuleType
from typing import Any, Callable

from ..base import dynamo, imports
from ..base.pass_through import passes_on_to_c
from ..base.patches import Patches

MODULE = "torch._dynamo.eval_frame"
SETTER = "_maybe_set_eval_frame"


class CompiledCalls:
    """Watch on compiled calls: `watch` before the updates in question, `stop` after them, then read `entered`."""

    def __init__(
        self, concerns: Callable[[], bool], step_aside: Callable[[], None], step_back: Callable[[], None]
    ) -> None:
        """Take the callbacks: `concerns` returns whether the calling thread is watched. `step_aside` runs before a
        compiled call that concerns us, `step_back` once no thread is inside one."""
        self._concerns = concerns
        self._step_aside = step_aside
        self._step_back = step_back
        self._patches = Patches()
        self._awaiting_import = False
        self._open: dict[int, Any] = {}
        """Thread identifier → dynamo's frame of the outermost compiled call in progress."""
        self.watching = False
        self.entered = False
        """True if compiled code was entered since `watch`."""
        self.fault: str | None = None

    @property
    def inside(self) -> bool:
        """True while a compiled call is in progress."""
        return bool(self._open)

    def watch(self) -> bool:
        """Begin watching unless already begun; return False if this torch version does not allow it."""
        if self.watching:
            return True
        module = sys.modules.get(MODULE)
        self._open = {get_ident(): _outermost_frame(module)} if dynamo.inside_compiled_call() else {}
        self.entered = self.inside
        if module is None:  # nothing can have been compiled yet
            if not self._awaiting_import:
                self._awaiting_import = True
                imports.when_imported(MODULE, self._imported)
        elif not hasattr(module, SETTER):
            return False
        else:
            self._install(module)
        self.watching = True
        return True

    def stop(self) -> None:
        """Restore the state before `watch`."""
        self.watching = False
        self._open = {}
        self._patches.restore()

    def _imported(self, module: ModuleType) -> None:
        self._awaiting_import = False
        if not self.watching:
            return
        if hasattr(module, SETTER):
            self._install(module)
        else:  # the script is about to compile something, and we would not notice
            self._enter(None)

    def _install(self, module: object) -> None:
        dynamo.hide()
        self._patches.replace(module, SETTER, self._make)

    def _make(self, original: Callable[[object], object]) -> Callable[[object], object]:
        patches = self._patches

        @passes_on_to_c
        def set_callback(callback: object) -> object:
            if not patches.on:
                return original(callback)
            caller = sys._getframe(1)
            # None: frames are ignored from here on. False: compiled code runs, and nothing new is compiled.
            if callback is not None:
                self._enter(caller)
                return original(callback)
            prior = original(None)
            self._leave(caller)
            return prior

        return set_callback

    def _enter(self, caller: object) -> None:
        self._open.setdefault(get_ident(), caller)
        if self._concerns():
            self.entered = True
            self._never_raise(self._step_aside)

    def _leave(self, caller: object) -> None:
        # While compiling, dynamo itself calls functions that it ignores: then the opener is still running. A context
        # manager is opened by one frame and closed by another; the opener is gone by then.
        opener = self._open.get(get_ident(), self)
        if opener is caller or (opener is not self and not _is_running(opener)):
            del self._open[get_ident()]
            if not self._open:
                self._never_raise(self._step_back)

    def _never_raise(self, step: Callable[[], None]) -> None:
        """Note errors, because we run in the middle of the script's own call."""
        try:
            step()
        except Exception as error:
            self.fault = f"operator tracing could not be suspended for compiled code: {error!r}"


def _is_running(wanted: object) -> bool:
    frame: Any = sys._getframe()
    while frame is not None and frame is not wanted:
        frame = frame.f_back
    return frame is not None


def _outermost_frame(module: object) -> object:
    """Return the outermost running frame of this module."""
    frame: Any = sys._getframe()
    found = None
    while frame is not None:
        if frame.f_globals is vars(module):
            found = frame
        frame = frame.f_back
    return found
