"""whole_batches: a dataset that answers as a table is asked for whole batches, and no other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Subset, TensorDataset

from advisor import knobs, rules
from advisor.agent.loader.sample_parts import equal
from advisor.knobs.whole_batches import WHOLE_BATCHES
from advisor.rules._examples import evolve, healthy_cpu, train_loader
from advisor.types import Evidence

KNOB = knobs.get("whole_batches")


def values(facts: dict[str, Any] | None = None, **loader: Any) -> Any:
    workload = {"loaders": (train_loader(**loader),), "facts": facts or {}}
    found: Evidence = evolve(healthy_cpu(), {"workload": workload})
    return KNOB.values(found.hardware, found.workload)


def test_a_dataset_that_answers_batches_opens_it() -> None:
    assert values({"answers_batches": True}, num_workers=0).values == (True,)
    assert "the script's 2 workers are then unused" in values(num_workers=2).why


@pytest.mark.parametrize(
    ("facts", "loader", "reason"),
    [
        ({"answers_batches": False}, {}, "does not answer a list of indices"),
        ({"dataset_draws": True}, {}, "draws random numbers"),
        ({}, {"iterable": True, "dataset_class": "Tar"}, "Tar is iterable"),
        ({}, {"batch_size": None}, "reads whole batches already"),
        ({}, {"collate": "train.pad"}, "batches are made by train.pad"),
    ],
)
def test_what_closes_it_is_said(facts: dict[str, Any], loader: dict[str, Any], reason: str) -> None:
    assert reason in values(facts, **loader).why_closed


def test_the_finding_opens_it_and_says_whether_the_dataset_can() -> None:
    rule = rules.get("row_by_row_dataset")
    assert "whole_batches" in rule.helpful_knobs
    firing = [one.evidence for one in rule.examples if one.fires is True]
    assert rule.establish is not None
    known = [rule.establish(one.workload.facts, one).answers_batches for one in firing]
    assert known[:3] == [True, False, False]  # a TensorDataset, records, an archive


def test_plain_torch_reads_the_same_batches() -> None:
    data = Subset(TensorDataset(torch.arange(60.0).reshape(20, 3), torch.arange(20)), range(19, -1, -2))
    module: dict[str, Any] = {"torch": torch, "LOADER": {"num_workers": 0}}
    exec(WHOLE_BATCHES, module)
    found = list(DataLoader(module["WholeBatches"](data), batch_size=4, **module["LOADER"]))
    assert equal(found, list(DataLoader(data, batch_size=4))) is None
