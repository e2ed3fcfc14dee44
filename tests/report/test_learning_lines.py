"""Lines of the report on the learning: the length of the training, and the gradient noise scale."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from advisor.report.profile.learning import early_stop_line, noise_scale_line
from advisor.types import EarlyStop, NoiseScale, Profile

from . import sample

STOP = EarlyStop(
    seen=400, planned=1_000, stop_at=600, low=500, tolerance=0.02, left=0.031, left_low=0.012, left_high=0.05
)
SCALE = NoiseScale(
    updates=48, small_samples=32, large_samples=64, batch_samples=64, samples=192.0, low=120.0, high=300.0
)


def profile(**changes: Any) -> Profile:
    return replace(sample.ALL["healthy"](), **changes)


def test_the_part_that_adds_nothing_is_told_with_what_is_left() -> None:
    assert early_stop_line(profile(early_stop=STOP)) == (
        "updates after 600 (500 at the earliest) of 1,000 are expected to add nothing: 40% of the training. By 400 "
        "updates seen, the loss falls by 0.0310 more (0.0120–0.0500)"
    )


def test_a_training_seen_to_its_end_has_nothing_left() -> None:
    assert early_stop_line(profile(early_stop=replace(STOP, seen=1_000))) == (
        "updates after 600 (500 at the earliest) of 1,000 are expected to add nothing: 40% of the training"
    )


def test_nothing_is_told_where_nothing_is_known() -> None:
    assert early_stop_line(profile()) is None
    assert early_stop_line(profile(early_stop=replace(STOP, stop_at=None))) is None
    assert early_stop_line(profile(early_stop=replace(STOP, why_not="too few"))) is None
    assert noise_scale_line(profile()) is None


def test_the_noise_scale_is_told_with_what_a_larger_batch_saves() -> None:
    assert noise_scale_line(profile(noise_scale=SCALE)) == (
        "192 samples (120–300), the critical batch size here; at 64, a sample does 75% of the work that it does in a "
        "small batch, and twice the batch needs 62% of the updates"
    )


def test_an_open_interval_has_its_low_end_only() -> None:
    assert noise_scale_line(profile(noise_scale=replace(SCALE, samples=None, high=None))) == (
        "at least 120 samples, by 48 updates: larger batches may pay"
    )
