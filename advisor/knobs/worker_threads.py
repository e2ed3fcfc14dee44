"""Threads that libraries may start in each loader worker.

torch limits its own operations to one thread in a worker; NumPy's linear algebra and OpenCV start one for each CPU, in
every worker. It is opened only where the workers' fetches were seen to use several threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable

from ..worker_threads import SEVERAL
from ._base import Knob, Values, always, whole_number
from ._loader import NO_LOADER, NO_WORKERS

if TYPE_CHECKING:
    from ..types import Hardware, Workload

MOST = 64
LIMITED = '''

def limit_threads(_worker_id):
    """Let libraries use {value} thread{s} in a worker of the loader."""
    import threadpoolctl

    threadpoolctl.threadpool_limits({value})
'''
"""Source of the limit in plain torch."""


def _values(_hardware: Hardware, workload: Workload) -> Values:
    loader = workload.train_loader
    if loader is None:
        return Values(why_closed=NO_LOADER)
    if not loader.num_workers:
        return Values(why_closed=NO_WORKERS)
    threads = workload.facts.fetching_threads
    if threads is None:
        return Values(why_closed="the threads of the script's workers cannot be seen: they are not forked")
    if threads < SEVERAL:
        return Values(why_closed="the script's workers use one thread each")
    return Values(
        values=(1,), why=f"each of the script's {loader.num_workers} workers keeps {threads:.1f} threads busy"
    )


def _limited(workload: Workload, _value: Any) -> Workload:
    return replace(workload, facts=replace(workload.facts, fetching_threads=1.0))


def _worker_init(value: Any, then: Callable[[int], Any] | None) -> Callable[[int], Any]:
    from ..worker_threads import WorkerThreads

    return WorkerThreads(value, then)


def _in_python(value: Any, _training: Any) -> Mapping[str, Any]:
    source = LIMITED.format(value=value, s="s" if value != 1 else "")
    return {"worker_init": "limit_threads", "code": [source]}


KNOB = Knob(
    id="worker_threads",
    title="threads of libraries in each loader worker",
    values=_values,
    example=1,
    effect=always("numerics"),
    apply=lambda controls, value: controls.loaders.adjust("worker_threads", worker_threads=value),
    restore=lambda controls: controls.loaders.adjust("worker_threads", worker_threads=None),
    wrong=whole_number(1, MOST),
    hooks=("loader", "model"),
    by_hand="DataLoader(…, worker_init_fn=lambda _: threadpoolctl.threadpool_limits({value}))",
    chosen_for=("cpus",),
    fails_in="batch",
    starts_the_loader=True,
    needs="num_workers",
    formats={"python": _in_python},
    described=_limited,
    worker_init=_worker_init,
    changes="NumPy's linear algebra may form sums in another order: samples then differ in their last digits.",
)
