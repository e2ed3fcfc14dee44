"""Notices when the training enters code that torch compiles, before dynamo looks at what is open there.

Dynamo gives a function up for good when it first runs under a dispatch mode, and compiles it anew under hooks on saved
tensors or where a function that it calls was replaced. What watches an update therefore steps aside first.

Every compiled call sets dynamo's callback through one function of `torch._dynamo.eval_frame`: a compiled module or
function, a compiled optimizer, what torch compiles by itself. Ours stands in its place while updates are watched.
"""

from __future__ import annotations

import sys
from threading import get_ident
from typing import Any, Callable

from . import dynamo, imports
from .pass_through import passes_on_to_c
from .patches import Patches

MODULE = "torch._dynamo.eval_frame"
SETTER = "_maybe_set_eval_frame"


class CompiledCalls:
    """`watch` before the updates in question, `stop` after them; `entered` tells of those between."""

    def __init__(
        self, concerns: Callable[[], bool], step_aside: Callable[[], None], step_back: Callable[[], None]
    ) -> None:
        """`concerns` tells whether the calling thread is watched. `step_aside` runs before a compiled call that
        concerns us, `step_back` once no thread is inside one."""
        self._concerns = concerns
        self._step_aside = step_aside
        self._step_back = step_back
        self._patches = Patches()
        self._awaiting_import = False
        self._open: dict[int, Any] = {}
        """By thread, the frame of dynamo that the outermost compiled call goes on in."""
        self.watching = False
        self.entered = False
        """Whether compiled code was entered since `watch`."""
        self.fault: str | None = None

    @property
    def inside(self) -> bool:
        """Whether a compiled call goes on just now."""
        return bool(self._open)

    def watch(self) -> bool:
        """Begin, where that has not happened; False where this version of torch does not let us."""
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
        """Everything is as it was before `watch`."""
        self.watching = False
        self._open = {}
        self._patches.restore()

    def _imported(self, module: Any) -> None:
        self._awaiting_import = False
        if not self.watching:
            return
        if hasattr(module, SETTER):
            self._install(module)
        else:  # the script is about to compile something, and we would not notice
            self._enter(None)

    def _install(self, module: Any) -> None:
        dynamo.hide()
        self._patches.replace(module, SETTER, self._make)

    def _make(self, original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        patches = self._patches

        @passes_on_to_c
        def set_callback(callback: Any) -> Any:
            if not patches.on:
                return original(callback)
            caller = sys._getframe(1)
            # None: frames are left alone from here on. False: compiled code runs, and nothing new is compiled.
            if callback is not None:
                self._enter(caller)
                return original(callback)
            prior = original(None)
            self._leave(caller)
            return prior

        return set_callback

    def _enter(self, caller: Any) -> None:
        self._open.setdefault(get_ident(), caller)
        if self._concerns():
            self.entered = True
            self._never_raise(self._step_aside)

    def _leave(self, caller: Any) -> None:
        # Dynamo itself calls functions that it leaves alone, while it compiles: then the opener is still at work. As a
        # context manager it is opened by one frame and closed by another, and the first is gone by then.
        opener = self._open.get(get_ident(), self)
        if opener is caller or (opener is not self and not _is_running(opener)):
            del self._open[get_ident()]
            if not self._open:
                self._never_raise(self._step_back)

    def _never_raise(self, step: Callable[[], None]) -> None:
        """We are called in the middle of the script's own call."""
        try:
            step()
        except Exception as error:
            self.fault = f"what watches operators could not make way for compiled code: {error!r}"


def _is_running(wanted: Any) -> bool:
    frame: Any = sys._getframe()
    while frame is not None and frame is not wanted:
        frame = frame.f_back
    return frame is not None


def _outermost_frame(module: Any) -> Any:
    """Of the frames that run now, the one of this module that was called first."""
    frame: Any = sys._getframe()
    found = None
    while frame is not None:
        if frame.f_globals is vars(module):
            found = frame
        frame = frame.f_back
    return found
