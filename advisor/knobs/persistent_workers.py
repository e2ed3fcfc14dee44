"""Keep workers between epochs instead of restarting them; short epochs gain most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import Knob, Values, truth
from ._loader import NO_LOADER, NO_WORKERS, workers_tier

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls


def _values(_hardware: Hardware, workload: Workload) -> Values:
    loader = workload.train_loader
    if loader is None:
        return Values(why_closed=NO_LOADER)
    if loader.persistent_workers:
        return Values(why_closed=f"the {loader.num_workers} workers already persist between epochs")
    if loader.length_batches is None and workload.facts.loader_starts < 2:
        return Values(why_closed="the loader has no length, and no second epoch was seen")
    if not loader.num_workers:
        return Values(values=(True,), why=f"{NO_WORKERS}: those that are tried may persist", needs="num_workers")
    return Values(
        values=(True,),
        why=f"{loader.num_workers} workers are restarted every "
        + (f"{loader.length_batches} batches" if loader.length_batches is not None else "epoch"),
        needs="num_workers",
        needed_is_on=True,
    )


def _apply(controls: Controls, value: Any) -> None:
    controls.loaders.adjust("persistent_workers", persistent_workers=value)


def _restore(controls: Controls) -> None:
    controls.loaders.adjust("persistent_workers", persistent_workers=None)


KNOB = Knob(
    id="persistent_workers",
    title="workers persist between epochs",
    scope="live",
    values=_values,
    tier=workers_tier,
    apply=_apply,
    restore=_restore,
    usual_on_accelerator=True,
    wrong=truth,
    by_hand="DataLoader(…, persistent_workers={value})",
    chosen_for=("cpus",),
    fails_in="batch",
    changes="Workers keep their memory between epochs, also during evaluation.",
    hooks=("loader", "model"),
)
