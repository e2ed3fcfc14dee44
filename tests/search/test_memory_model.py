"""Peaks over micro-batches: what would not fit is refused, what may fit is not."""

from __future__ import annotations

import pytest

from advisor.search.memory_model import Batch, MemoryModel
from advisor.types import Config

MIB = 2**20


def model(limit_mib: int = 1000, a_sample_mib: float | None = None, **batch: int) -> MemoryModel:
    return MemoryModel(
        batch=Batch(micro_batch=32, **batch),
        limit_bytes=limit_mib * MIB,
        where="of device memory",
        bytes_a_sample=a_sample_mib * MIB if a_sample_mib is not None else None,
    )


def config(**settings: object) -> Config:
    return Config.of(settings)  # type: ignore[arg-type]


def seen(found: MemoryModel, *peaks: tuple[Config, int]) -> MemoryModel:
    for settings, mib in peaks:
        found.saw(settings, mib * MIB)
    return found


TWO_SIZES = ((config(), 132), (config(global_batch=64), 164))
"""100 MiB that stand, and 1 MiB a sample."""


def test_two_sizes_make_a_line() -> None:
    assert seen(model(), *TWO_SIZES).predict(config(global_batch=256)) == pytest.approx(356 * MIB)


def test_what_would_not_fit_is_refused_with_the_figures() -> None:
    why = seen(model(300), *TWO_SIZES).refuses(config(global_batch=256))
    assert why == (
        "256 samples at a time would need about 0.3 GiB of the 0.3 GiB of device memory "
        "(fitted to the peaks of 2 batch sizes)"
    )


def test_what_fits_is_not() -> None:
    assert seen(model(400), *TWO_SIZES).refuses(config(global_batch=256)) is None


def test_before_anything_is_known_nothing_is_refused() -> None:
    assert model(1).refuses(config(global_batch=4096)) is None


def test_one_size_and_the_measured_activations_are_enough() -> None:
    found = seen(model(300, a_sample_mib=1.0), (config(), 132))
    assert found.predict(config(global_batch=256)) == pytest.approx(356 * MIB)


def test_one_size_alone_is_not() -> None:
    assert seen(model(1), (config(), 132)).predict(config(global_batch=256)) is None


def test_a_setting_that_halves_a_sample_lets_a_larger_batch_fit() -> None:
    found = seen(model(300), *TWO_SIZES, (config(precision="bf16"), 116))
    assert found.refuses(config(global_batch=256)) is not None
    assert found.predict(config(global_batch=256, precision="bf16")) == pytest.approx(228 * MIB)


def test_settings_that_were_seen_alone_are_put_together() -> None:
    halves = (config(precision="bf16"), 116), (config(activation_checkpointing=True), 108)
    both = config(global_batch=256, precision="bf16", activation_checkpointing=True)
    assert seen(model(), *TWO_SIZES, *halves).predict(both) == pytest.approx((100 + 256 / 8) * MIB)


def test_what_a_setting_adds_does_not_grow_with_the_batch() -> None:
    cached = (config(cache_dataset=True), 232)
    assert seen(model(), *TWO_SIZES, cached).predict(config(cache_dataset=True, global_batch=64)) == pytest.approx(
        264 * MIB
    )


def test_two_sizes_of_a_setting_make_a_line_of_their_own() -> None:
    own = (config(compile="default"), 332), (config(compile="default", global_batch=64), 340)
    found = seen(model(), *TWO_SIZES, *own)
    assert found.predict(config(compile="default", global_batch=128)) == pytest.approx(356 * MIB)


def test_what_ran_out_refuses_all_larger_ones_of_its_kind() -> None:
    found = model()
    found.ran_out(config(global_batch=128))
    refused = [found.refuses(config(global_batch=size)) is not None for size in (64, 128, 256)]
    assert refused == [False, True, True]


def test_what_was_run_is_never_refused() -> None:
    found = seen(model(100), *TWO_SIZES)
    assert found.refuses(config(global_batch=64)) is None


def test_smaller_pieces_of_the_same_batch_need_less() -> None:
    found = seen(model(), *TWO_SIZES)
    assert found.predict(config(micro_batch=8, global_batch=256)) == pytest.approx(108 * MIB)


def test_a_batch_over_several_pieces_and_ranks_is_divided() -> None:
    batch = Batch(micro_batch=8, micro_steps=2, world_size=4)
    assert batch.micro_batch_of({"global_batch": 128}) == 16
