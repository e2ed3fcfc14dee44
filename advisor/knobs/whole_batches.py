"""Ask the dataset for whole batches where it answers a list of indices, as a table does.

Torch's loader asks for each sample by itself and stacks them. For rows of tensors in memory that takes many times
longer than indexing them at once. The batches are compared before it is used: they are the same, in the same order.
The main process reads them, as workers would have to send each batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._base import Knob, Values, always, truth
from ._loader import NO_LOADER, unused_workers

if TYPE_CHECKING:
    from ..types import Hardware, LoaderFacts, ScriptFacts, Workload

TORCHS_COLLATE = "torch.utils.data._utils.collate.default_collate"
"""The collate function whose batches are stacked samples, and nothing else."""


def _values(_hardware: Hardware, workload: Workload) -> Values:
    loader = workload.train_loader
    if loader is None:
        return Values(why_closed=NO_LOADER)
    why_closed = _why_closed(loader, workload.facts)
    if why_closed is not None:
        return Values(why_closed=why_closed)
    return Values(
        values=(True,), why=f"{loader.dataset_class} may answer a list of indices at once{unused_workers(loader)}"
    )


def _why_closed(loader: LoaderFacts, facts: ScriptFacts) -> str | None:
    name = loader.dataset_class
    reasons = (
        (loader.iterable, f"{name} is iterable: its samples have no indices to read them by"),
        (loader.batch_size is None, "the loader reads whole batches already (batch_size=None)"),
        (loader.collate != TORCHS_COLLATE, f"batches are made by {loader.collate}, which needs single samples"),
        (facts.dataset_draws, f"{name} draws random numbers when read: each sample needs its own"),
        (facts.answers_batches is False, f"{name} does not answer a list of indices with the same batch"),
    )
    return next((why for holds, why in reasons if holds), None)


WHOLE_BATCHES = '''

class WholeBatches(torch.utils.data.Dataset):
    """Reads a batch at once; for datasets that answer a list of indices as a table does."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        return self.dataset[index]

    def __getitems__(self, indices):
        return self.dataset[indices]


LOADER["collate_fn"] = torch.utils.data.default_convert
'''
"""Source of the dataset that reads whole batches in plain torch, and of the collate function that goes with it."""


def _in_python(value: Any, _training: Any) -> Mapping[str, Any]:
    if not value:
        return {}
    return {"loader": {"num_workers": 0}, "keep": "WholeBatches(dataset)", "code": [WHOLE_BATCHES]}


KNOB = Knob(
    id="whole_batches",
    title="batches read from the dataset at once",
    values=_values,
    example=True,
    effect=always("exact"),
    apply=lambda controls, value: controls.loaders.adjust("whole_batches", whole_batches=value or None),
    restore=lambda controls: controls.loaders.adjust("whole_batches", whole_batches=None),
    wrong=truth,
    hooks=("loader", "model"),
    by_hand="DataLoader(dataset, sampler=BatchSampler(sampler, batch_size, drop_last), batch_size=None)",
    fails_in="batch",
    starts_the_loader=True,
    # The script's own process reads the batches; a cache keeps single samples.
    excludes=("num_workers", "cache_dataset"),
    formats={"python": _in_python},
    changes="None for the training: the batches are the same. Workers of the script's loader are not started.",
)
