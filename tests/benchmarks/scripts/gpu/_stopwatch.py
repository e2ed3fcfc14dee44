"""Times a training by its own clock: warm-up, then counted seconds between two synchronised ends."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from typing import Any

import torch

SETTLE_UPDATES = 5
TRACED_UPDATES = 30
TRACED_S = 3.0
"""Of slow updates fewer are traced, but ten."""
RESULT = "RESULT "
"""Begins a line for programs: JSON follows."""


def add_options(parser: ArgumentParser) -> None:
    """Add the options of the stopwatch; without them the training goes on as if there was none."""
    group = parser.add_argument_group("stopwatch")
    group.add_argument("--seconds", type=float, default=0.0, help="counted, then the training ends; 0: it goes on")
    group.add_argument("--warm", type=int, default=10, help="updates before anything is counted")
    group.add_argument("--settle", type=float, default=1.0, help="seconds between a start and the counted ones")
    group.add_argument("--trace", action="store_true", help="busy time of the device in an update, by torch.profiler")
    group.add_argument("--wait", action="store_true", help="after the warm-up, count once for each line on stdin")


class Stopwatch:
    """Counts samples; `lap` after every update says when to leave the epoch, `over` when to leave the training.

    Each count begins with a fresh epoch: batches that loaders made while nobody asked are in none.
    """

    def __init__(self, options: Namespace, device: str) -> None:
        self.over = False
        self._options = options
        self._is_cuda = device == "cuda"
        self._jobs = iter(["time", *(["trace"] if options.trace else [])])
        self._is_warm = False
        self._job = ""
        self._updates = 0
        self._samples = 0
        self._since = 0.0
        self._counts = False
        self._profiler: Any = None

    def lap(self, samples: int) -> bool:
        """Note an update of so many samples; true where the epoch is to be left."""
        if not self._options.seconds:
            return False
        self._updates += 1
        if not self._is_warm:
            if self._updates < self._options.warm:
                return False
            self._is_warm = True
            self._next_job()
            return True
        if not self._counts:
            if self._updates >= SETTLE_UPDATES and time.perf_counter() - self._since >= self._options.settle:
                self._begin()
            return False
        self._samples += samples
        if not self._is_done():
            return False
        self._finish()
        self._next_job()
        return True

    def _next_job(self) -> None:
        self._synchronize()
        if self._options.wait:
            print("ready", flush=True)
            self._job = sys.stdin.readline().strip()
        else:
            self._job = next(self._jobs, "")
        self.over = not self._job
        if self._job == "trace" and self._is_cuda:
            # This takes a second or so, in which loaders would fill their queues: it stands before the epoch.
            self._profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
            self._profiler.prepare_trace()
        self._counts, self._updates, self._since = False, 0, time.perf_counter()

    def _begin(self) -> None:
        self._synchronize()
        if self._profiler is not None:
            self._profiler.start_trace()
        self._counts, self._updates, self._samples, self._since = True, 0, 0, time.perf_counter()

    def _is_done(self) -> bool:
        elapsed_s = time.perf_counter() - self._since
        if self._job == "trace":
            return self._updates >= (TRACED_UPDATES if elapsed_s < TRACED_S else TRACED_UPDATES // 3)
        return elapsed_s >= self._options.seconds

    def _finish(self) -> None:
        self._synchronize()
        wall_s = time.perf_counter() - self._since
        if self._job == "trace":
            found = {"busy_s": self._busy_s() / self._updates if self._profiler is not None else None}
        else:
            found = {"samples_per_s": self._samples / wall_s, "update_s": wall_s / self._updates}
        print(RESULT + json.dumps(found), flush=True)

    def _busy_s(self) -> float:
        profiler, self._profiler = self._profiler, None
        profiler.stop_trace()
        on_device = [event for event in profiler.events() if event.device_type.name == "CUDA"]
        # Annotations span what they name, gaps and all: only kernels and copies are work.
        work = [event for event in on_device if not getattr(event, "is_user_annotation", False)]
        return union((event.time_range.start, event.time_range.end) for event in work) / 1e6

    def _synchronize(self) -> None:
        if self._is_cuda:
            torch.cuda.synchronize()


def union(spans: Iterable[tuple[float, float]]) -> float:
    """The length that spans cover together, where they overlap counted once."""
    covered, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        covered += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return covered


def compiled(target: Any, options: Namespace, mode: str | None = None) -> Any:
    """`target` compiled; small ones only traced, which needs no C++ compiler and a tenth of the time."""
    return torch.compile(target, backend="aot_eager") if options.small else torch.compile(target, mode=mode)
