"""Observation of torch's compiling for us: when, how long, and into how many pieces."""

from __future__ import annotations

import sys
import time
from collections import Counter

from ...refused import Refused
from ..base import dynamo, modes

LONGEST_S = 900.0
"""Seconds after which a single compilation counts as hung; large models with tuned kernels take minutes."""


class Account:
    """Costs and results of compiling under one combination of settings."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0
        self.graphs = 0
        self.breaks: Counter[str] = Counter()
        self.recompiles = 0
        """Compilations of a model that had compiled code, which did not fit."""
        self.misfit = ""
        """Reason, in torch's words, of the latest."""
        self.failure = ""


class CompileWatch:
    """Recorder of torch's compilations: when, how long, and into how many pieces."""

    def __init__(self) -> None:
        self.installed = False
        self.compiles = 0
        self.busy_since_s: float | None = None
        """perf_counter at the start of the present compilation; None outside of one."""
        self.seconds = 0.0
        self.accounts: dict[tuple[object, ...], Account] = {}
        self.account = Account()
        self._graphs = 0
        self._breaks: Counter[str] = Counter()
        self._limit: int | None = None

    def install(self) -> None:
        if self.installed:
            return
        modes.compiled_by_us()
        try:
            from torch._dynamo.callback import callback_handler

            callback_handler.register_start_callback(self._begins)
            callback_handler.register_end_callback(self._ends)
        except (ImportError, AttributeError) as error:
            raise Refused("this version of torch does not report when it compiles, so the cost is unknown") from error
        dynamo.hide()
        self._graphs, self._breaks = _counted()
        self.installed = True

    def limit(self, combinations: int) -> None:
        """Allow each combination of settings as many recompiles as the script's process would have for one."""
        config: object = sys.modules.get("torch._dynamo.config")
        if not self.installed or not hasattr(config, "recompile_limit"):
            return
        if self._limit is None:
            self._limit = config.recompile_limit
        config.recompile_limit = self._limit * max(1, combinations)

    def any_graph(self, mode: str) -> bool:
        """Return whether this mode has compiled anything, under any other settings."""
        return any(account.graphs for (other, *_), account in self.accounts.items() if other == mode)

    def at_work(self) -> bool:
        """Return whether a compilation is running and not hung; called by the thread that reports signs of life."""
        since_s = self.busy_since_s
        return since_s is not None and time.perf_counter() - since_s < LONGEST_S

    def _begins(self, _args: object = None) -> None:
        self.busy_since_s = time.perf_counter()

    def _ends(self, _args: object = None) -> None:
        began_s, self.busy_since_s = self.busy_since_s, None
        spent = time.perf_counter() - began_s if began_s is not None else 0.0
        self.seconds += spent
        self.compiles += 1
        account = self.account
        account.seconds += spent
        graphs, breaks = _counted()
        account.graphs += graphs - self._graphs
        account.breaks.update(breaks - self._breaks)
        self._graphs, self._breaks = graphs, breaks


def _counted() -> tuple[int, Counter[str]]:
    """Return the graphs and graph breaks in this process so far."""
    from torch._dynamo.utils import counters

    breaks: Counter[str] = Counter({str(reason): count for reason, count in counters["graph_break"].items()})
    return int(counters["stats"]["unique_graphs"]), breaks


def latest_misfit() -> str:
    """Return why existing code did not fit the last time, in torch's words; "" if torch kept no reason."""
    utils: object = sys.modules.get("torch._dynamo.utils")
    failures = [reasons[-1] for reasons in getattr(utils, "guard_failures", {}).values() if reasons]
    return str(failures[-1]).partition(": ")[2] if failures else ""
