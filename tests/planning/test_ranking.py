"""The plan as a whole: what fits, what limits, and how long it takes to make."""

from __future__ import annotations

import time

import pytest

from advisor.errors import UsageError
from advisor.planning import Given, devices_of, from_sizes, planned
from advisor.planning.transformer import sizes_of
from advisor.types import Plan, PlannedLayout

MOST_SECONDS = 2.0


def plan_of(devices: str, model: str = "llama3-8b", *, batch: int | None = None, given: Given | None = None) -> Plan:
    cluster = devices_of(devices, "bf16", given or Given())
    return planned(from_sizes(model, precision="bf16", compiled=True), cluster, precision="bf16", global_batch=batch)


def best(plan: Plan, **wanted: object) -> PlannedLayout:
    rows = (*plan.layouts, *plan.too_large)
    return next(one for one in rows if all(getattr(one.layout, name) == value for name, value in wanted.items()))


def test_a_plan_for_1024_devices_takes_two_seconds_at_most() -> None:
    begin_s = time.process_time()
    plan = plan_of("h100:8x128", "llama3-70b", batch=2048)
    assert time.process_time() - begin_s < MOST_SECONDS
    assert plan.considered > 1000


def test_every_layout_uses_all_devices_and_all_samples() -> None:
    plan = plan_of("h100:8x4", batch=64)
    for one in (*plan.layouts, *plan.too_large):
        layout = one.layout
        assert layout.devices == 32
        assert layout.data * layout.micro_batch * layout.micro_steps == 64


def test_layouts_are_ranked_by_speed_and_what_is_too_large_by_what_is_missing() -> None:
    plan = plan_of("h100:8", batch=16)
    speeds = [one.samples_per_s for one in plan.layouts]
    missing = [one.missing_bytes for one in plan.too_large]
    assert speeds == sorted(speeds, reverse=True)
    assert missing == sorted(missing)
    assert all(one.fits for one in plan.layouts)
    assert min(missing) > 0


def test_memory_that_does_not_fit_is_told_by_its_largest_part() -> None:
    plan = plan_of("h100:8", batch=16)
    ddp = best(plan, sharding="ddp", data=8)
    assert ddp.limits == "gradients"  # with the copy in DDP's buckets
    assert ddp.missing_bytes == pytest.approx(ddp.memory.total_bytes - ddp.usable_bytes)


def test_sharding_splits_the_state_and_nothing_else() -> None:
    plan = plan_of("h100:8", "gpt2", batch=64)
    ddp, sharded = best(plan, sharding="ddp", data=8), best(plan, sharding="fsdp2", data=8)
    assert sharded.memory.optimizer_bytes == pytest.approx(ddp.memory.optimizer_bytes / 8)
    assert sharded.memory.activations_bytes == pytest.approx(ddp.memory.activations_bytes)


def test_checkpointing_costs_time_and_saves_activations() -> None:
    plan = plan_of("h100:8", batch=8)
    plain = best(plan, sharding="fsdp2", data=8, recompute="none")
    full = best(plan, sharding="fsdp2", data=8, recompute="full")
    assert full.memory.activations_bytes < plain.memory.activations_bytes / 10
    assert full.samples_per_s < 0.85 * plain.samples_per_s
    assert full.time.recompute_s > 0 == plain.time.recompute_s


def test_a_slow_network_favours_layouts_that_stay_in_a_machine() -> None:
    fast, slow = plan_of("h100:8x4", batch=64), plan_of("h100:8x4", batch=64, given=Given(network_gb_s=0.5))
    assert best(slow, sharding="fsdp2", data=32).limits == "communication of replicas"
    gain = [
        best(plan, sharding="hybrid", data=32).samples_per_s / best(plan, sharding="fsdp2", data=32).samples_per_s
        for plan in (fast, slow)
    ]
    assert gain[1] > 1.1 > gain[0]


def test_a_longer_pipeline_waits_less_with_more_micro_batches() -> None:
    bubbles = [
        one.time.bubble_s / one.time.total_s
        for batch in (8, 64)
        for one in [best(plan_of("h100:8", batch=batch), sharding="none", pipeline=8, interleaved=1)]
    ]
    assert bubbles[1] < bubbles[0] / 2


def test_an_update_that_cannot_be_split_names_the_remedy() -> None:
    with pytest.raises(
        UsageError, match=r"no layout splits an update of 7 samples over 1,000 devices.*global_batch=1000"
    ):
        plan_of("h100:8x125", "layers=2,hidden=64,heads=1,vocabulary=100", batch=7)


def test_sizes_can_be_written_out_and_changed() -> None:
    _name, known = sizes_of("llama3-8b,sequence=4096")
    _name, written = sizes_of("layers=32,hidden=4096,heads=32,kv=8,ffn=14336,vocab=128256,seq=4096")
    assert known == written


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("llama9", "unknown model 'llama9': expected one of llama"),
        ("layers=3,hidden=64,heads=5,vocabulary=10", "5 heads must divide hidden=64"),
        ("layers=3,hidden=64,heads=4", "vocabulary is missing, such as vocabulary=32"),
        ("layers=many,hidden=64,heads=4,vocabulary=9", "invalid layers='many': expected a whole number"),
        ("llama3-8b,depth=4", "unknown size 'depth'"),
    ],
)
def test_sizes_that_describe_no_model_are_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        sizes_of(text)


def test_parameters_are_those_of_the_model() -> None:
    known = {"llama3-8b": 8.03e9, "llama3-70b": 70.6e9, "llama3-405b": 405.9e9, "llama2-13b": 13.0e9, "gpt2": 124e6}
    for name, count in known.items():
        cost = from_sizes(name, precision="bf16", compiled=False)
        assert cost.parameters == pytest.approx(count, rel=0.01)
