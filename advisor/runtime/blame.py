"""Attribution of a process' early end: to the script itself, to a window, or to a longer epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .. import wire
from ..types import Failure
from .script_run_record import ScriptRunRecord
from .session_result import Outcome, SessionResult

CHECK = "without changes"
"""Window that checks if a script fails in the same place when nothing was changed."""
PAST_THE_FAILURE = 3
"""Updates beyond the failed one that such a window waits for."""
_BY_KIND = {
    "trace": "while its calls were recorded",
    "device_trace": "while its device was traced",
    "bare": "while some of advisor's hooks were off",
    "epoch_end": "after an epoch was ended early",
}
_CRASHED = "the script crashed"
"""Agent's words for a window that a crash cut short."""
_HUNG, _KILLED = "the script hung", "the script's process ended"


class Blame:
    """Judge that attributes early ends to their causes, decides how to continue, and writes into the result."""

    def __init__(self, result: SessionResult, *, outlives_failures: bool) -> None:
        self._result = result
        self._outlives_failures = outlives_failures
        self._prolongs: bool | None = None
        """True if epochs may continue past their end: once the script has ended too soon, until it fails for it."""
        self._doubted: ScriptRunRecord | None = None
        """Process that failed after a change; the next one shows whose failure that was."""

    def window_for(self, window: wire.Window) -> wire.Window:
        """Return the window as it is sent: an epoch is prolonged only if the script alone ends too soon."""
        return replace(window, natural=window.natural or not self._prolongs)

    def process_ended(self, script_run: ScriptRunRecord) -> None:
        if script_run.end == "finished" and self._prolongs is None:
            self._prolongs = True

    def is_the_scripts(self, script_run: ScriptRunRecord) -> bool:
        """Return True if the end of this process says something about the script itself."""
        return script_run.number not in self._result.ours and script_run is not self._doubted

    @property
    def checked(self) -> bool:
        """Return True if the script was restarted, with nothing changed, to see if it fails again."""
        return self._doubted is not None

    def keep_counted(self, script_run: ScriptRunRecord, waiting: list[wire.Window]) -> wire.WindowDone | None:
        """Return what a window had counted when the process hung or died without a word; None if nothing is known."""
        so_far, failure = script_run.so_far, script_run.failure
        if so_far is None or failure is None or so_far.id not in [window.id for window in waiting]:
            return None
        return replace(so_far, cut_short=_HUNG if failure.kind == "hang" else _KILLED)

    def go_on(
        self, script_run: ScriptRunRecord, waiting: list[wire.Window], *, sent: int, is_baseline: bool
    ) -> list[wire.Window]:
        """Return the windows for the next process; this one was given `sent`, of which `waiting` have no report."""
        failure, goodbye = script_run.failure, script_run.goodbye
        never_began = not is_baseline and not script_run.updates
        if failure is not None:
            again = self._after_failure(script_run, failure, waiting)
            if again is not None:
                return again
            kind, message = str(failure.kind), failure.message
        elif goodbye is not None and goodbye.reason not in ("finished", "crashed"):
            kind, message = "refused", "advisor failed on it"
        elif never_began or (not is_baseline and len(waiting) == sent):
            kind, message = "exit", f"the script ended after {script_run.updates} updates, before any was counted"
        else:
            return waiting
        charged = waiting if never_began else waiting[:1]
        for window in charged:
            self._result.refuse(window.id, script_run, kind, message)
        return _without_what_if(waiting[len(charged) :], charged[0].what_if if charged else None)

    def saw(self, outcome: Outcome) -> None:
        """Take a reported window; a check of a failure acquits the script if that has got past the failure."""
        doubted = self._doubted
        if outcome.id != CHECK or doubted is None or doubted.failure is None:
            return
        if isinstance(outcome, wire.WindowDone) and len(outcome.wall_s) >= self._result.windows[CHECK].min_updates:
            self._charge(doubted, doubted.failure, "after a change by advisor; unmodified it continued")
            self._result.unexplained = None

    def _after_failure(
        self, script_run: ScriptRunRecord, failure: Failure, waiting: list[wire.Window]
    ) -> list[wire.Window] | None:
        """Return the windows to continue with; None if the process died in the first window that waits."""
        longer = next((note.text for note in script_run.notes if note.kind == wire.PROLONGED), None)
        if longer is not None:
            self._prolongs = False  # without it, the script has ended well
            self._charge(script_run, failure, f"after {longer}, as requested by advisor")
            return waiting
        ran = [name for name, number in self._result.script_run_of.items() if number == script_run.number]
        cut = _cut_by_crash([self._result.outcomes[name] for name in ran])
        died_in = self._result.windows[cut] if cut is not None else next(iter(waiting), None)
        changed = _change_in(died_in) if died_in is not None else None
        if died_in is not None and changed is not None:
            self._charge(script_run, failure, changed)
            if cut is None:
                return None
            self._result.refuse(cut, script_run, str(failure.kind), failure.message)
            return _without_what_if(waiting, died_in.what_if)
        before = any(_change_in(self._result.windows[name]) for name in ran)
        if before and not self._outlives_failures and self._doubted is None:
            self._doubted, self._result.unexplained = script_run, failure
            return [_check(script_run), *(window for window in waiting if _change_in(window) is None)]
        return None if cut is None else waiting

    def _charge(self, script_run: ScriptRunRecord, failure: Failure, why: str) -> None:
        self._result.ours[script_run.number] = f"{failure.message} {why}"


def _change_in(window: wire.Window) -> str | None:
    """Describe what advisor changes in this window; return None if it only observes."""
    if window.config:
        return "with " + ", ".join(f"{name}={value}" for name, value in window.config.items())
    if window.what_if is not None:
        return f"in the what-if {window.what_if}"
    return _BY_KIND.get(window.kind)


def _cut_by_crash(outcomes: Sequence[Outcome]) -> str | None:
    """Return the window that was being counted when the script crashed or hung, if it was reported."""
    done = [outcome for outcome in outcomes if isinstance(outcome, wire.WindowDone)]
    cut = [each.id for each in done if each.cut_short in (_CRASHED, _HUNG, _KILLED)]
    return cut[-1] if cut else None


def _check(script_run: ScriptRunRecord) -> wire.Window:
    """Return a window of as many updates as the failed process made, and a few more, with nothing changed."""
    count = script_run.updates + PAST_THE_FAILURE
    return wire.Window(id=CHECK, warm_up_updates=0, min_updates=count, max_updates=count, least_updates=count)


def _without_what_if(windows: list[wire.Window], broken: str | None) -> list[wire.Window]:
    """Remove a what-if that broke the script, since it would again, and windows that were only its neighbours."""
    if broken is None:
        return windows
    kept = [window for window in windows if window.what_if != broken]
    return kept if any(window.what_if or window.config or window.kind != "measure" for window in kept) else []
