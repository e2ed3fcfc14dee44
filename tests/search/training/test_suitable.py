"""Scripts that no single loss judges, by their parts; and the space of those that one does."""

from __future__ import annotations

from dataclasses import replace

from advisor.rules._examples import evolve, healthy_cpu, train_loader
from advisor.search.training import open_training_space, unsuitable
from advisor.types import Command, OptimizerFacts, RangeTest, RateBracket, RateSuggestion, Workload

OPTIMIZER = OptimizerFacts(
    class_name="SGD",
    main=True,
    parameters=100,
    tensors=2,
    groups=1,
    fused=None,
    foreach=None,
    steps_per_update=1.0,
    learning_rate=0.03,
    momentum=0.0,
    has_schedule=False,
)
EVIDENCE = evolve(healthy_cpu(), {"workload": {"loaders": (train_loader(batch_size=32, length_samples=3200),)}})


def workload(*optimizers: OptimizerFacts, **facts: object) -> Workload:
    found = EVIDENCE.workload
    return replace(found, optimizers=optimizers or (OPTIMIZER,), facts=replace(found.facts, **facts))  # type: ignore[arg-type]


def test_one_optimizer_is_judged_by_its_loss_with_and_without_accumulation() -> None:
    assert unsuitable(workload(micro_steps=1, batches_per_update=1.0)) is None
    assert unsuitable(workload(micro_steps=4, batches_per_update=4.0)) is None


def test_two_optimizers_that_take_turns_are_refused() -> None:
    why = unsuitable(workload(OPTIMIZER, replace(OPTIMIZER, main=False), micro_steps=2, batches_per_update=1.0))
    assert why is not None
    assert why.startswith("2 optimizers step alternately, with 2 backwards in an update: each has a loss of its own")


def test_two_optimizers_of_one_loss_are_not() -> None:
    both = (OPTIMIZER, replace(OPTIMIZER, main=False))
    assert unsuitable(workload(*both, micro_steps=1, batches_per_update=1.0)) is None
    assert unsuitable(workload(*both, micro_steps=4, batches_per_update=4.0)) is None


def test_one_that_never_steps_takes_no_turns() -> None:
    idle = replace(OPTIMIZER, main=False, steps_per_update=0.0)
    assert unsuitable(workload(OPTIMIZER, idle, micro_steps=2, batches_per_update=1.0)) is None


def test_what_a_policy_does_itself_is_refused() -> None:
    assert unsuitable(workload(environment=True)) is not None


def test_the_space_has_rates_around_the_scripts_own_and_the_choices_of_its_optimizer() -> None:
    space = open_training_space(EVIDENCE.hardware, workload())
    assert space.rate is not None
    assert (space.rate.baseline, space.rate.low, space.rate.high) == (0.03, 0.0003, 3.0)
    assert space.has("momentum", 0.9)
    assert space.has("lr_schedule", "cosine")
    assert space.choices["global_batch"] == (64, 128, 256)


def test_a_range_test_gives_the_bracket_and_the_scripts_own_rate_stays_in_it() -> None:
    bracket = RateBracket(falls_from=0.3, steepest=0.5, valley=0.7, diverges_from=1.0)
    command = Command(target="train.py", is_module=False, args=(), cwd="/", interpreter="/py")
    tested = RangeTest(command=command, bracket=bracket, suggestion=RateSuggestion(rate=0.4, low=0.3, high=0.5))
    space = open_training_space(EVIDENCE.hardware, workload(), tested=tested)
    assert space.rate is not None
    assert (space.rate.low, space.rate.high, space.rate.suggestion) == (0.03, 1.0, 0.4)
    # Without a suggestion, a rate that does not train is no place to begin; one that does is.
    unsure = replace(tested, suggestion=None)
    space = open_training_space(EVIDENCE.hardware, workload(), tested=unsure)
    assert space.rate is not None
    assert space.rate.suggestion == 0.7
    space = open_training_space(
        EVIDENCE.hardware, workload(), tested=replace(unsure, bracket=replace(bracket, falls_from=0.02))
    )
    assert space.rate is not None
    assert space.rate.suggestion is None


def test_what_the_user_leaves_out_and_what_is_set_in_all_is_not_tried() -> None:
    space = open_training_space(EVIDENCE.hardware, workload(), without=["momentum"], always=["global_batch"])
    assert not {"momentum", "global_batch"} & set(space.choices)
    assert [one.what for one in space.skipped] == ["momentum", "optimizer"]  # the rates of SGD suit no other
    only = open_training_space(EVIDENCE.hardware, workload(), only=["momentum"])
    assert only.rate is None
    assert set(only.choices) == {"momentum"}


def test_a_larger_batch_is_left_alone_where_its_rate_would_rise_through_the_shortest_trainings() -> None:
    space = open_training_space(EVIDENCE.hardware, workload(), shortest=100)
    assert "global_batch" not in space.choices
    assert "global_batch" in [one.what for one in space.skipped]
    adam = workload(replace(OPTIMIZER, class_name="Adam"))
    assert "global_batch" in open_training_space(EVIDENCE.hardware, adam, shortest=100).choices
    assert "global_batch" in open_training_space(EVIDENCE.hardware, workload(), shortest=400).choices


def test_an_optimizer_without_a_rate_closes_the_range() -> None:
    space = open_training_space(EVIDENCE.hardware, workload(replace(OPTIMIZER, learning_rate=None)))
    assert space.rate is None
    assert "learning_rate" in [one.what for one in space.skipped]
