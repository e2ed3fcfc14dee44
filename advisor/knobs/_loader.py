"""What the knobs of the training loader share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable

from ..plural import plural
from ..repeated_draws import Workers
from ._base import FOR_ACCELERATORS, Knob, Values, key

if TYPE_CHECKING:
    from ..types import Hardware, LoaderFacts, Workload

NO_LOADER = "no DataLoader feeds the updates"
COPYING_DEVICE = "cuda"
"""Device type to which copies from page-locked memory need not be waited for."""
NO_WORKERS = "the script's loader has no workers (num_workers=0)"


def workers_effect(_hardware: Hardware, workload: Workload) -> str:
    """Return `exact` only if no random number is drawn in workers, which have their own states; else `resampled`."""
    return "exact" if draws_nothing(workload) else "resampled"


def loader_knob(
    keyword: str,
    *,
    title: str,
    values: Callable[[Hardware, Workload], Values],
    example: Any,
    wrong: Callable[[Any], str | None],
    chosen_for: tuple[str, ...],
    changes: str,
    effect: Callable[[Hardware, Workload], str] = workers_effect,
    needs: str = "",
    usual_on_accelerator: bool = False,
    noticed: Callable[[Mapping[str, Any]], tuple[str, str]] | None = None,
    option_names: tuple[str, ...] = (),
) -> Knob:
    """Return the knob for this keyword of `DataLoader`; the other parameters are fields of `Knob`."""
    return Knob(
        id=keyword,
        title=title,
        values=values,
        example=example,
        effect=effect,
        apply=lambda controls, value: controls.loaders.adjust(keyword, **{keyword: value}),
        restore=lambda controls: controls.loaders.adjust(keyword, **{keyword: None}),
        wrong=wrong,
        hooks=("loader", "model"),
        usual_on_accelerator=usual_on_accelerator,
        by_hand=f"DataLoader(…, {keyword}={{value}})",
        chosen_for=chosen_for,
        fails_in="batch",
        noticed=noticed,
        needs=needs,
        loader_keyword=keyword,
        starts_the_loader=True,
        option_names=option_names,
        formats={
            "lightning": key("dataloader", keyword),
            "python": key("loader", keyword),
            "transformers": key(f"dataloader_{keyword}"),
        },
        changes=changes,
        described=lambda workload, value: with_train_loader(workload, **{keyword: value}),
    )


def with_train_loader(workload: Workload, **fields: Any) -> Workload:
    """Return the workload with other fields of the loader that feeds the updates."""
    loaders = tuple(
        replace(loader, **fields) if loader is workload.train_loader else loader for loader in workload.loaders
    )
    return replace(workload, loaders=loaders)


def unused_workers(loader: LoaderFacts) -> str:
    """Return the end of a sentence on a setting by which the script's own process reads; "" without workers."""
    count = loader.num_workers
    return f"; the script's {plural(count, 'worker')} {'is' if count == 1 else 'are'} then unused" if count else ""


def workers_with(settings: Mapping[str, Any], baseline: Workers) -> Workers | None:
    """Return the loader's workers with these settings; None if the script's own process reads the samples."""
    number = settings.get("num_workers", baseline.number)
    if settings.get("cache_dataset") or settings.get("whole_batches") or not isinstance(number, int):
        return None
    return Workers(number, bool(settings.get("persistent_workers", baseline.stay)))


def draws_nothing(workload: Workload) -> bool:
    """Return whether fetching a batch was seen to draw no random number, neither for its samples nor in collating."""
    facts = workload.facts
    return facts.dataset_draws is False and not facts.collate_draws


def copied_batches(workload: Workload, why: str) -> Values:
    """Return the values of a knob for copies of batches in page-locked memory: on, or why it is closed."""
    loader = workload.train_loader
    if workload.device == "cpu":
        return Values(why_closed=FOR_ACCELERATORS)
    if loader is None:
        return Values(why_closed=NO_LOADER)
    if workload.device != COPYING_DEVICE:
        return Values(why_closed=f"training runs on {workload.device}: no batch is copied to a CUDA device")
    return Values(values=(True,), why=why, needed_is_on=loader.pin_memory)
