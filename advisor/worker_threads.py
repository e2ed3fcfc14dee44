"""Limit on the threads that libraries start in each loader worker, beside the one that fetches.

torch gives its own operations one thread in a worker. NumPy's linear algebra and OpenCV do not know of workers: each
worker starts as many threads as there are CPUs, and all of them wait for one another.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

LIBRARY = "threadpoolctl"
"""Library that finds the thread pools of others: NumPy's OpenBLAS or BLIS, MKL, OpenMP."""

SEVERAL = 1.25
"""Threads that a worker keeps busy while it reads samples, from which they compete with those of other workers."""


class WorkerThreads:
    """Loader's `worker_init_fn` that lets libraries use this many threads in the worker.

    `then` is the script's own `worker_init_fn`, which runs afterwards. OpenCV is limited where it is imported by then.
    """

    def __init__(self, threads: int, then: Callable[[int], Any] | None = None) -> None:
        self.threads = threads
        self.then = then

    def __call__(self, worker_id: int) -> None:
        import threadpoolctl

        threadpoolctl.threadpool_limits(self.threads)
        opencv = sys.modules.get("cv2")
        if opencv is not None:
            opencv.setNumThreads(self.threads)
        if self.then is not None:
            self.then(worker_id)
