"""Plans from profiles of devices of all kinds, complete or not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from report import sample

import advisor
from advisor.errors import NothingMeasuredError
from advisor.types import BlockUse, OneBlock, OperatorUse, PlannedLayout, Profile, Trace

GIB = 2**30
BLOCKS = BlockUse(
    class_name="Block",
    count=24,
    parameters=1_000_000_000,
    kept_bytes=45 * GIB,
    input_bytes=3 * GIB,
    seconds_fraction=0.28,
    flops_fraction=0.3,
)


def traced(profile: Profile, *, blocks: BlockUse | None = BLOCKS) -> Profile:
    operators = OperatorUse(blocks=blocks)
    trace = Trace(updates=1, torch_calls_per_update=2000.0, kernel_median_s=None, calls=(), operators=operators)
    return replace(profile, trace=trace)


EACH = tuple(
    OneBlock(
        name=f"transformer.h.{number}",
        parameters=BLOCKS.parameters // 24,
        kept_bytes=BLOCKS.kept_bytes // 24,
        seconds_fraction=0.28 / 24,
    )
    for number in range(24)
)


def alone(profile: Profile, devices: str, **given: Any) -> PlannedLayout:
    found = advisor.plan(profile=profile, devices=devices, **given)
    return max(found.layouts, key=lambda one: (one.layout.recompute == "none", one.layout.micro_batch))


def test_the_measured_device_gets_the_measured_time() -> None:
    profile = traced(sample.gpu_transformer())
    assert profile.steps is not None
    waited = profile.phases["data_wait"]
    found = alone(profile, "here")
    assert 1 / found.samples_per_s * profile.steps.samples_per_update == pytest.approx(
        profile.steps.mean_s * (1 - waited), rel=0.02
    )


def test_the_measured_peak_is_that_of_the_plan() -> None:
    profile = traced(sample.gpu_transformer())
    assert profile.memory is not None
    assert alone(profile, "here").memory.total_bytes == pytest.approx(profile.memory.peak_bytes, rel=0.01)


def test_another_device_is_scaled_by_its_peaks() -> None:
    profile = traced(sample.gpu_transformer())
    ratio = alone(profile, "a100").samples_per_s / alone(profile, "h200").samples_per_s
    # Between the ratios of their peaks in float32 (19.5 : 67, at fractions of 0.66 and 0.46) and of their bandwidths.
    assert 0.3 < ratio < 0.46


def test_without_blocks_nothing_can_be_computed_again_or_split() -> None:
    found = advisor.plan(profile=traced(sample.gpu_transformer(), blocks=None), devices="h200:2")
    assert (
        found.closed["pipeline"] == found.closed["activation checkpointing"] == "the profile shows no repeated blocks"
    )
    assert {one.layout.recompute for one in (*found.layouts, *found.too_large)} == {"none"}


def test_blocks_can_be_computed_again_and_split() -> None:
    found = advisor.plan(profile=traced(sample.gpu_transformer()), devices="h200:2")
    rows = (*found.layouts, *found.too_large)
    assert {one.layout.recompute for one in rows} == {"none", "full"}
    assert {one.layout.pipeline for one in rows} == {1, 2}
    assert "heads of a model" in found.closed["tensor parallelism"]


def test_a_profile_of_a_cpu_says_little_of_an_accelerator() -> None:
    found = advisor.plan(profile=traced(sample.healthy()), devices="h100")
    assert found.uncertainty >= 0.5
    assert any("counted FLOPs" in said for said in found.assumptions)


@pytest.mark.parametrize("profile", [sample.healthy(), sample.nothing_measured()], ids=["no trace", "no update"])
def test_a_profile_that_lacks_what_a_plan_needs_is_refused(profile: Profile) -> None:
    with pytest.raises(NothingMeasuredError, match="plan"):
        advisor.plan(profile=profile, devices="h100")


def test_stages_begin_at_the_blocks_that_were_measured() -> None:
    profile = traced(sample.gpu_transformer(), blocks=replace(BLOCKS, each=EACH))
    found = advisor.plan(profile=profile, devices="h100:4", global_batch=64)
    split = {one.layout.stages: one.split_points for one in (*found.layouts, *found.too_large)}
    assert split[1] == ()
    assert len(split[2]) == 1
    assert len(split[4]) == 3
    assert found.split_by == "measured time and memory"
    # A tenth of the FLOPs is the head's, which the last stage has beside its blocks.
    assert split[2] == ("transformer.h.13",)


def test_without_the_names_of_blocks_a_plan_asks_for_a_new_profile() -> None:
    found = advisor.plan(profile=traced(sample.gpu_transformer()), devices="h100:4", global_batch=64)
    assert not any(one.split_points for one in found.layouts)
    assert any("names the blocks" in line for line in found.improve)
