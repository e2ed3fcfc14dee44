"""Knobs in the controller: which values are worth trying for which workload, and what closes them."""

from __future__ import annotations

from typing import Any

import pytest

from advisor import knobs
from advisor.rules._examples import evolve, healthy_cpu, healthy_cuda, model, train_loader
from advisor.types import Evidence

CPU = healthy_cpu()
CUDA = healthy_cuda(workload={"flags": {"autocast_dtype": None}})


def values(name: str, evidence: Evidence) -> Any:
    return knobs.get(name).values(evidence.hardware, evidence.workload)


def with_loader(**changes: Any) -> Evidence:
    found: Evidence = evolve(CPU, {"workload": {"loaders": (train_loader(**changes),)}})
    return found


@pytest.mark.parametrize("name", [knob.id for knob in knobs.all_knobs()])
def test_the_scripts_own_setting_is_never_among_the_values(name: str) -> None:
    loader = CPU.workload.train_loader
    assert loader is not None
    own = {
        "num_workers": loader.num_workers,
        "global_batch": loader.batch_size,
        "precision": "fp32",
        "prefetch_factor": loader.prefetch_factor,
        "persistent_workers": loader.persistent_workers,
        "pin_memory": loader.pin_memory,
        "threads": CPU.workload.flags.num_threads,
    }
    assert own.get(name, False) not in values(name, CPU).values


@pytest.mark.parametrize("evidence", [CPU, CUDA], ids=["cpu", "cuda"])
@pytest.mark.parametrize("name", [knob.id for knob in knobs.all_knobs()])
def test_what_is_worth_trying_is_never_wrong(name: str, evidence: Evidence) -> None:
    assert [knobs.get(name).wrong(value) for value in values(name, evidence).values if value is not None] == [
        None for _ in values(name, evidence).values
    ]


@pytest.mark.parametrize("name", ["num_workers", "global_batch"])
def test_without_a_loader_there_is_nothing_to_set(name: str) -> None:
    assert "no DataLoader" in values(name, evolve(CPU, {"workload": {"loaders": ()}})).why_closed


def test_as_many_workers_as_cpus_come_first() -> None:
    found = evolve(with_loader(num_workers=0), {"hardware": {"cpu": {"usable_cpus": 6.0}}})
    assert values("num_workers", found).values[0] == 6


def test_no_more_workers_than_cpus() -> None:
    found = evolve(with_loader(num_workers=0), {"hardware": {"cpu": {"usable_cpus": 2.0}}})
    assert max(values("num_workers", found).values) == 2


def test_an_iterable_dataset_closes_the_workers() -> None:
    assert "deliver all of its samples" in values("num_workers", with_loader(iterable=True)).why_closed


def test_generators_that_cannot_be_seeded_close_workers_that_the_script_does_not_have() -> None:
    fault = {"workload": {"facts": {"generators_fault": "Pictures.rng draws the same"}}}
    found = [values("num_workers", evolve(with_loader(num_workers=number), fault)).why_closed for number in (0, 2)]
    assert found == ["Pictures.rng draws the same", None]


def test_workers_draw_other_numbers_unless_nothing_is_drawn() -> None:
    knob = knobs.get("num_workers")
    quiet = evolve(CPU, {"workload": {"facts": {"dataset_draws": False}}})
    assert [knob.effect(e.hardware, e.workload) for e in (CPU, quiet)] == ["resampled", "exact"]


def test_batches_are_multiples_of_the_samples_an_update() -> None:
    found = evolve(with_loader(batch_size=16, length_samples=10_000), {"workload": {"facts": {"micro_steps": 4}}})
    assert values("global_batch", found).values == (128, 256, 512)


def test_a_batch_leaves_an_epoch_some_updates() -> None:
    found = with_loader(batch_size=16, length_samples=300)
    assert values("global_batch", found).values == (32,)


def test_a_small_dataset_closes_the_batch() -> None:
    assert "20 samples" in values("global_batch", with_loader(batch_size=16, length_samples=20)).why_closed


def test_autocast_of_the_scripts_own_closes_the_precision() -> None:
    assert "its own autocast" in values("precision", healthy_cuda()).why_closed


def test_a_cpu_without_bf16_closes_the_precision() -> None:
    found = evolve(CPU, {"hardware": {"cpu": {"instruction_sets": ("avx512f",)}}})
    assert "no bf16 instructions" in values("precision", found).why_closed


def test_a_cpu_with_bf16_opens_it() -> None:
    found = evolve(CPU, {"hardware": {"cpu": {"instruction_sets": ("avx512f", "amx_bf16")}}})
    assert values("precision", found).values == ("bf16",)


def test_an_old_gpu_closes_the_precision() -> None:
    old = evolve(CUDA.hardware.accelerators[0], {"compute_capability": (6, 1)})
    found = evolve(CUDA, {"hardware": {"accelerators": (old,)}})
    assert "6.1" in values("precision", found).why_closed


def test_weights_that_are_small_already_close_the_precision() -> None:
    small = model(device="cuda:0", parameter_dtypes={"bfloat16": 12_000_000})
    assert "bfloat16" in values("precision", evolve(CUDA, {"workload": {"models": (small,)}})).why_closed


def test_an_unknown_knob_names_the_known_ones() -> None:
    with pytest.raises(KeyError, match="num_workers"):
        knobs.get("warp_drive")
