"""Keep workers between epochs instead of restarting them; short epochs gain most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..plural import plural
from ._base import Values, truth
from ._loader import NO_LOADER, NO_WORKERS, loader_knob

if TYPE_CHECKING:
    from ..types import Hardware, Workload


def _values(_hardware: Hardware, workload: Workload) -> Values:
    loader = workload.train_loader
    if loader is None:
        return Values(why_closed=NO_LOADER)
    if loader.persistent_workers:
        return Values(why_closed=f"{plural(loader.num_workers, 'worker')} already persist between epochs")
    if loader.length_batches is None and workload.facts.loader_starts < 2:
        return Values(why_closed="the loader has no length, and no second epoch was seen")
    if not loader.num_workers:
        return Values(values=(True,), why=f"{NO_WORKERS}: those that are tried may persist")
    return Values(
        values=(True,),
        why=f"{plural(loader.num_workers, 'worker')} restarted every "
        + (f"{loader.length_batches} batches" if loader.length_batches is not None else "epoch"),
        needed_is_on=True,
    )


KNOB = loader_knob(
    "persistent_workers",
    title="workers persist between epochs",
    values=_values,
    example=True,
    usual_on_accelerator=True,
    wrong=truth,
    needs="num_workers",
    chosen_for=("cpus",),
    changes="Workers keep their memory between epochs, also during evaluation.",
)
