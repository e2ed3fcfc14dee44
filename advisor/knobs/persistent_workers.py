"""Workers that stay from epoch to epoch, where torch would start new ones: short epochs gain most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import Values, truth
from ._loader import NO_LOADER, NO_WORKERS, loader_knob

if TYPE_CHECKING:
    from ..types import Hardware, Workload


def _values(_hardware: Hardware, workload: Workload) -> Values:
    loader = workload.train_loader
    if loader is None:
        return Values(why_closed=NO_LOADER)
    if loader.persistent_workers:
        return Values(why_closed=f"the {loader.num_workers} workers stay from epoch to epoch already")
    if loader.length_batches is None and workload.facts.loader_starts < 2:
        return Values(why_closed="the loader says no length, and no second epoch of it was seen")
    if not loader.num_workers:
        return Values(values=(True,), why=f"{NO_WORKERS}: those that are tried may stay")
    return Values(
        values=(True,),
        why=f"{loader.num_workers} workers are started anew every "
        + (f"{loader.length_batches} batches" if loader.length_batches is not None else "epoch"),
        needed_is_on=True,
    )


KNOB = loader_knob(
    "persistent_workers",
    title="workers stay from epoch to epoch",
    values=_values,
    usual_on_accelerator=True,
    wrong=truth,
    needs="num_workers",
    chosen_for=("cpus",),
    changes="Workers keep their memory between epochs, during the evaluation too.",
)
