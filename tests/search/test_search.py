"""The search, on a machine whose speeds are known: windows go in, made-up measurements come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advisor import wire
from advisor.rules._examples import evolve, train_loader
from advisor.search import KnobSelection, SearchRequest, open_space
from advisor.storage import record_file
from advisor.target.script_options import ArgumentKnob, CommandLine
from advisor.types import Abstention, Config, Diagnosis

from .machine import (
    EVIDENCE,
    FULL_PRECISION,
    INPUT_BOUND,
    SMALL_STEPS,
    Answer,
    Machine,
    nothing_helps,
    selection,
    workers_help,
)

# --- the space ----------------------------------------------------------------------------------------------------


def test_a_finding_opens_the_knobs_that_it_names() -> None:
    space = open_space(EVIDENCE.hardware, EVIDENCE.workload, Diagnosis(findings=(FULL_PRECISION,)))
    assert [knob.id for knob in space.knobs] == ["precision", "fused_optimizer", "threads"]


def test_what_no_finding_points_to_is_closed_and_told() -> None:
    space = open_space(EVIDENCE.hardware, EVIDENCE.workload, Diagnosis(findings=(FULL_PRECISION,)))
    assert {one.what: one.why for one in space.closed}["num_workers"] == "no finding suggests it"


def test_on_a_cpu_what_costs_nothing_to_try_is_open_whatever_the_findings_say() -> None:
    space = open_space(EVIDENCE.hardware, EVIDENCE.workload, Diagnosis(findings=()))
    assert [knob.id for knob in space.knobs] == ["precision", "threads", "fused_optimizer"]
    assert {knob.opened_by for knob in space.knobs} == {"trying it costs next to nothing"}
    after = open_space(EVIDENCE.hardware, EVIDENCE.workload, Diagnosis(findings=(INPUT_BOUND,)))
    assert after.knobs[0].id == "num_workers"


@pytest.mark.parametrize(("gain", "tried"), [(2.0, False), (1.0, True)])
def test_what_costs_nothing_to_try_is_not_tried_beside_a_clear_gain(tmp_path: Path, gain: float, tried: bool) -> None:
    def speed(config: dict[str, Any]) -> float:
        return gain if config.get("num_workers") else 1.0

    request = SearchRequest(selection=selection(("num_workers", "precision")))
    machine = Machine(tmp_path, speed, INPUT_BOUND, request=request)
    assert any("precision" in config for config in machine.tried) == tried


def test_an_option_of_the_script_costs_a_start_and_is_not_tried_for_nothing() -> None:
    knob = ArgumentKnob(knob="threads", values=(1,), effect="numerics", why="", arguments={1: {"--threads": 1}})
    line = CommandLine(argument_knobs=(knob,))
    space = open_space(EVIDENCE.hardware, EVIDENCE.workload, Diagnosis(findings=()), command_line=line)
    assert "threads" not in [knob.id for knob in space.knobs]


def test_the_user_who_names_knobs_gets_no_others() -> None:
    space = open_space(EVIDENCE.hardware, EVIDENCE.workload, Diagnosis(findings=()), KnobSelection.of(["num_workers"]))
    assert [knob.id for knob in space.knobs] == ["num_workers"]


def test_a_knob_that_cannot_be_set_says_its_own_reason() -> None:
    streaming = evolve(EVIDENCE, {"workload": {"loaders": (train_loader(iterable=True),)}})
    space = open_space(streaming.hardware, streaming.workload, Diagnosis(findings=(INPUT_BOUND,)))
    assert "iterable" in {one.what: one.why for one in space.closed}["num_workers"]


def test_a_rule_without_a_verdict_opens_its_knobs_too() -> None:
    unsure = Diagnosis(findings=(), abstained=(Abstention(rule="input_bound", why="too noisy"),))
    space = open_space(EVIDENCE.hardware, EVIDENCE.workload, unsure)
    assert {knob.id: knob.opened_by for knob in space.knobs}["num_workers"] == "input_bound could not judge"


@pytest.mark.parametrize(("seen_share", "is_open"), [(0.0, False), (0.04, False), (0.06, True), (1.0, True)])
def test_a_rule_that_saw_next_to_nothing_in_few_updates_opens_nothing(seen_share: float, is_open: bool) -> None:
    few = Abstention(rule="input_bound", why="3 steady updates were counted", seen_share=seen_share)
    space = open_space(EVIDENCE.hardware, EVIDENCE.workload, Diagnosis(findings=(), abstained=(few,)))
    assert ("num_workers" in {knob.id for knob in space.knobs}) == is_open


def test_the_least_mild_setting_gives_the_tier() -> None:
    diagnosis = Diagnosis(findings=(INPUT_BOUND, FULL_PRECISION, SMALL_STEPS))
    space = open_space(EVIDENCE.hardware, EVIDENCE.workload, diagnosis)
    effects = [space.effect(Config.of(c)) for c in ({}, {"num_workers": 1}, {"num_workers": 1, "global_batch": 64})]
    assert effects == ["exact", "resampled", "training"]


# --- what is tried ------------------------------------------------------------------------------------------------


def test_trial_0_is_the_script_as_written(tmp_path: Path) -> None:
    assert Machine(tmp_path, nothing_helps, INPUT_BOUND).tried[0] == {}


def test_what_the_first_finding_names_is_tried_first(tmp_path: Path) -> None:
    assert Machine(tmp_path, nothing_helps, FULL_PRECISION, INPUT_BOUND).tried[1] == {"precision": "bf16"}


def test_no_configuration_is_tried_twice(tmp_path: Path) -> None:
    tried = Machine(tmp_path, workers_help, INPUT_BOUND, FULL_PRECISION, SMALL_STEPS, budget_s=600.0).tried
    assert len({tuple(sorted(config.items())) for config in tried}) == len(tried)


def test_a_small_space_is_searched_to_its_end_and_no_further(tmp_path: Path) -> None:
    machine = Machine(tmp_path, nothing_helps, FULL_PRECISION, budget_s=600.0)
    assert machine.tried == [{}, {"precision": "bf16"}]


def test_what_helped_alone_is_tried_together(tmp_path: Path) -> None:
    def both_help(config: dict[str, Any]) -> float:
        return workers_help(config) * (1.5 if config.get("precision") else 1.0)

    tried = Machine(tmp_path, both_help, INPUT_BOUND, FULL_PRECISION).tried
    assert {"num_workers": 4, "precision": "bf16"} in tried


def test_every_setting_is_measured_beside_the_baseline_which_two_of_them_share(tmp_path: Path) -> None:
    order = Machine(tmp_path, nothing_helps, INPUT_BOUND, SMALL_STEPS).order
    search = "".join("S" if w.config else "b" for w in order[order.index(next(w for w in order if w.config)) - 1 :])
    assert search.startswith("bSSbSSb")
    assert not {"SSS", "bb"} & {search[at : at + length] for at in range(len(search)) for length in (2, 3)}


def test_it_keeps_to_its_budget(tmp_path: Path) -> None:
    machine = Machine(tmp_path, workers_help, INPUT_BOUND, FULL_PRECISION, SMALL_STEPS, budget_s=60.0)
    assert machine.now_s <= 60.0 * 1.1


@pytest.mark.parametrize(("speed", "least_s", "most_s"), [(nothing_helps, 15.0, 25.0), (workers_help, 8.0, 15.0)])
def test_time_reserved_for_a_verification_of_nothing_goes_to_more_trials(
    tmp_path: Path, speed: Any, least_s: float, most_s: float
) -> None:
    """The machine gives back half of the 20 s that it reserves."""
    machine = Machine(tmp_path, speed, INPUT_BOUND, FULL_PRECISION, SMALL_STEPS, budget_s=35.0, reserved_s=20.0)
    assert least_s < machine.now_s <= most_s * 1.1


def test_nothing_open_is_nothing_tried_but_the_script_as_written(tmp_path: Path) -> None:
    assert Machine(tmp_path, nothing_helps).tried == [{}]


# --- what came of it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "told"), [("refused", "refused"), ("crash", "crash"), ("exit", "crash"), ("oom", "oom")]
)
def test_a_setting_that_fails_is_a_trial_with_its_reason(tmp_path: Path, kind: str, told: str) -> None:
    def speed(config: dict[str, Any]) -> Answer:
        return wire.WindowRefused(0, "", kind, "because") if config else 1.0

    trial = Machine(tmp_path, speed, FULL_PRECISION).study.trials[1]
    assert (trial.outcome.kind, trial.outcome.message, trial.ratio) == (told, "because", None)


def test_a_loss_that_is_no_number_is_never_fast(tmp_path: Path) -> None:
    class Lost(Machine):
        def _outcome(self, window: wire.Window) -> Any:
            outcome = super()._outcome(window)
            if window.config:
                outcome.losses[:] = [None] * len(outcome.losses)
            return outcome

    machine = Lost(tmp_path, lambda config: 3.0 if config else 1.0, FULL_PRECISION)
    assert (machine.study.trials[1].outcome.kind, machine.recommended().config) == ("nan", Config())


def test_weights_that_a_trial_has_ruined_are_left_to_it(tmp_path: Path) -> None:
    class Ruined(Machine):
        """From the first update in bf16 on, every loss of a life is lost."""

        def _outcome(self, window: wire.Window) -> Any:
            outcome = super()._outcome(window)
            self.ruined = getattr(self, "ruined", set()) | (
                {len(self.script_runs)} if "precision" in window.config else set()
            )
            if len(self.script_runs) in self.ruined:
                outcome.losses[:] = [None] * len(outcome.losses)
            return outcome

    machine = Ruined(tmp_path, workers_help, FULL_PRECISION, INPUT_BOUND)
    lost = [trial.outcome.kind == "nan" for trial in machine.trials]
    assert lost == ["precision" in trial.config.as_dict() for trial in machine.trials]
    assert {"num_workers", "precision"} <= {name for tried in machine.tried for name in tried}


def test_every_trial_is_in_the_log_as_soon_as_it_is_known(tmp_path: Path) -> None:
    machine = Machine(tmp_path, workers_help, INPUT_BOUND)
    logged = [record["number"] for record in record_file.read(machine.log).records if "number" in record]
    assert logged == [trial.number for trial in machine.study.trials]


def test_a_session_that_ends_early_keeps_what_it_has(tmp_path: Path) -> None:
    def speed(config: dict[str, Any]) -> Answer:
        return None if config.get("precision") else 1.0

    machine = Machine(tmp_path, speed, INPUT_BOUND, FULL_PRECISION)
    assert machine.tried == [{}, {"num_workers": 4}]


# --- what is recommended ------------------------------------------------------------------------------------------


def test_the_fastest_that_keeps_the_training_is_recommended(tmp_path: Path) -> None:
    found = Machine(tmp_path, workers_help, INPUT_BOUND).recommended()
    assert (found.config.as_dict(), found.verdict.status) == ({"num_workers": 4}, "unproven")


def test_its_speed_up_is_that_of_the_samples(tmp_path: Path) -> None:
    assert Machine(tmp_path, workers_help, INPUT_BOUND).recommended().verdict.speedup == pytest.approx(2.0)


def test_a_gain_below_the_floor_is_none(tmp_path: Path) -> None:
    found = Machine(tmp_path, lambda config: 1.04 if config else 1.0, INPUT_BOUND).recommended()
    assert (found.config, found.verdict.status) == (Config(), "no significant gain")


def test_a_gain_that_only_the_search_saw_is_none(tmp_path: Path) -> None:
    class Lucky(Machine):
        def _outcome(self, window: wire.Window) -> Any:
            self.speed = (lambda _config: 2.0) if window.id == "trial 1" else nothing_helps
            return super()._outcome(window)

    assert Lucky(tmp_path, nothing_helps, FULL_PRECISION).recommended().config == Config()


def test_what_changes_the_training_is_an_alternative_never_the_recommendation(tmp_path: Path) -> None:
    found = Machine(tmp_path, lambda config: 3.0 if config.get("global_batch") else 1.0, SMALL_STEPS).recommended()
    assert found.config == Config()
    assert [other.changes for other in found.alternatives] == ["training"]


def test_the_alternative_says_what_the_learning_rate_is_to_do(tmp_path: Path) -> None:
    found = Machine(tmp_path, lambda config: 3.0 if config.get("global_batch") else 1.0, SMALL_STEPS).recommended()
    assert "learning rate" in found.alternatives[0].note


def test_an_alternative_that_is_not_faster_is_left_out(tmp_path: Path) -> None:
    found = Machine(tmp_path, workers_help, INPUT_BOUND, SMALL_STEPS).recommended()
    assert found.alternatives == ()


def test_what_failed_is_told(tmp_path: Path) -> None:
    def speed(config: dict[str, Any]) -> Answer:
        return wire.WindowRefused(0, "", "crash", "shape '[32]' is invalid") if config.get("global_batch") else 1.0

    skipped = Machine(tmp_path, speed, SMALL_STEPS).recommended().skipped
    assert any("shape '[32]'" in one.why for one in skipped)
