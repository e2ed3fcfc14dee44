"""What options of a script may do to its training, by the knobs that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from advisor.rules._examples import conv_model, evolve, healthy_cpu
from advisor.target.option_effects import effect_of
from advisor.types import Workload

from .test_script_options import OWN_BATCHES, command, option, workload

WRITTEN = workload(
    option("-b", "--batch-size", value=8),
    option("--accumulation-steps", value=4),
    option("--num-workers", value=0),
    option("--lr", value=0.1),
    option("--epochs", value=3),
    option("--rows", value=8),
    option("--loaders", value=0),
)


def effect(arguments: Mapping[str, Any], found: Workload = WRITTEN, **stand_for: str) -> str:
    options = {f"--{name}": knob for name, knob in stand_for.items()}
    return effect_of(arguments, options, hardware=OWN_BATCHES.hardware, workload=found, command=command())


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({}, "exact"),
        ({"--num-workers": 2}, "resampled"),
        ({"--num-workers": 0}, "exact"),
        ({"--batch-size": 16, "--accumulation-steps": 2}, "numerics"),
        ({"-b": 16, "--accumulation-steps": 2}, "numerics"),
        ({"--batch-size": 16}, "training"),
        ({"--accumulation-steps": 2}, "training"),
        ({"--batch-size": 16, "--accumulation-steps": 4}, "training"),
        ({"--lr": 0.2}, "training"),
        ({"--epochs": 9}, "training"),
        ({"--warp": 9}, "training"),
        ({"--rows": 9}, "training"),
        ({"--num-workers": 2, "--warp": 9}, "training"),
    ],
    ids=str,
)
def test_the_tier_is_that_of_the_knobs_that_the_options_stand_for(arguments: Mapping[str, Any], found: str) -> None:
    assert effect(arguments) == found


def test_an_option_that_was_mapped_is_known_by_its_knob() -> None:
    assert effect({"--loaders": 2}, loaders="num_workers") == "resampled"
    assert effect({"--rows": 16, "--accumulation-steps": 2}, rows="micro_batch") == "numerics"
    assert effect({"--rows": 16}, rows="global_batch") == "training"


def test_its_name_says_more_than_a_file() -> None:
    assert effect({"--lr": 0.2}, lr="num_workers") == "training"


def test_of_a_loader_that_draws_nothing_more_workers_change_nothing() -> None:
    seen = evolve(healthy_cpu(), {"workload": {"facts": {"dataset_draws": False, "collate_draws": False}}}).workload
    found = evolve(seen, {"arguments": (option("--num-workers", value=0),)})
    assert effect({"--num-workers": 2}, found) == "exact"


def test_batch_norm_sees_the_pieces() -> None:
    found = evolve(WRITTEN, {"models": (conv_model(),)})
    assert effect({"--batch-size": 16, "--accumulation-steps": 2}, found) == "training"


def test_smaller_pieces_of_an_update_whose_size_has_an_option_of_its_own() -> None:
    found = evolve(WRITTEN, {"arguments": (option("--batch-size", value=8), option("--total-batch-size", value=64))})
    assert effect({"--batch-size": 16}, found) == "numerics"
    assert effect({"--batch-size": 16, "--total-batch-size": 128}, found) == "training"


def test_what_was_not_seen_as_written_changes_the_training() -> None:
    found = evolve(WRITTEN, {"arguments": ()})
    assert effect({"--rows": 16, "--parts": 2}, found, rows="micro_batch", parts="micro_batch") == "training"
    assert effect({"--loaders": 2}, found, loaders="num_workers") == "resampled"
