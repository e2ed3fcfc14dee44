"""Short and long trials, script runs of their own, what would not fit, objectives; on a machine of known speeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from advisor import wire
from advisor.rules._examples import evolve
from advisor.runtime.session import BASELINE_SETUP
from advisor.search import Goal, SearchRequest, read
from advisor.search.memory_model import REFUSAL
from advisor.target.script_options import ArgumentKnob, CommandLine
from advisor.types import Config

from .machine import (
    COMMAND,
    EVIDENCE,
    FULL_PRECISION,
    INPUT_BOUND,
    SMALL_STEPS,
    START_S,
    Answer,
    Machine,
    finding,
    nothing_helps,
    selection,
    workers_help,
)

GIB = 2**30


def windows_of(machine: Machine, **config: Any) -> list[wire.Window]:
    return [window for window in machine.order if window.config == config and window.id.startswith("trial")]


# --- two looks ----------------------------------------------------------------------------------------------------


def as_good_as_another(config: dict[str, Any]) -> float:
    """What the first looks leave open: values that differ by less than a window scatters."""
    return {None: 1.0, 3: 1.999}.get(config.get("num_workers"), 2.0)


@pytest.mark.slow
def test_what_may_win_is_looked_at_again_and_longer(tmp_path: Path) -> None:
    short, long = windows_of(Machine(tmp_path, as_good_as_another, INPUT_BOUND), num_workers=3)
    assert long.min_s > 1.5 * short.min_s


def test_what_is_clearly_the_best_so_far_needs_no_longer_look(tmp_path: Path) -> None:
    machine = Machine(tmp_path, workers_help, INPUT_BOUND)
    assert len(windows_of(machine, num_workers=4)) == 1
    assert machine.trials[1].outcome.kind == "measured"


def test_what_cannot_win_any_more_is_stopped_after_the_short_look(tmp_path: Path) -> None:
    machine = Machine(tmp_path, workers_help, INPUT_BOUND)
    assert len(windows_of(machine, num_workers=3)) == 1
    stopped = next(trial for trial in machine.trials if trial.config == Config.of({"num_workers": 3}))
    assert stopped.outcome.kind == "stopped"
    assert "no longer win" in stopped.outcome.message
    assert stopped.ratio is not None


def test_what_cannot_win_gets_no_fresh_windows(tmp_path: Path) -> None:
    machine = Machine(tmp_path, workers_help, INPUT_BOUND)
    fresh = {tuple(window.config.values()) for window in machine.order if window.id.startswith("final")}
    assert fresh == {(4,)}


def test_what_changes_the_training_does_not_stop_what_keeps_it(tmp_path: Path) -> None:
    def speed(config: dict[str, Any]) -> float:
        return 5.0 if config.get("global_batch") else 1.5 if config.get("precision") else 1.0

    machine = Machine(tmp_path, speed, SMALL_STEPS, FULL_PRECISION)
    alone = next(trial for trial in machine.trials if trial.config == Config.of({"precision": "bf16"}))
    assert alone.outcome.kind == "measured"


def test_a_trial_of_two_looks_counts_both(tmp_path: Path) -> None:
    machine = Machine(tmp_path, as_good_as_another, INPUT_BOUND)
    trial = next(trial for trial in machine.trials if trial.config == Config.of({"num_workers": 3}))
    assert trial.ratio.rounds == 2


class Slow(Machine):
    """Windows take twice as long as they count: workers start, caches fill."""

    def _outcome(self, window: wire.Window) -> Any:
        self.now_s += max(window.min_s, 0.1)
        return super()._outcome(window)


def test_finals_and_the_split_by_knob_have_their_time_where_windows_take_longer_than_planned(tmp_path: Path) -> None:
    def both_help(config: dict[str, Any]) -> float:
        return (1.5 if config.get("num_workers") else 1.0) * (1.4 if config.get("precision") else 1.0)

    machine = Slow(tmp_path, both_help, INPUT_BOUND, FULL_PRECISION, budget_s=100.0)
    known = machine.study.known
    winner = known.winner()
    assert len(winner.settings) > 1
    assert known.finals[winner].rounds >= machine.settings.final_rounds
    assert set(known.by_knob(winner)) == {name for name, _value in winner.settings}
    assert machine.now_s <= 100.0


# --- memory -------------------------------------------------------------------------------------------------------


class Filling(Machine):
    """A batch of 32 takes 2 GiB beside 1 GiB that stands; the machine has what `limit` says."""

    def peak(self, config: dict[str, Any]) -> int | None:
        return int((1 + 2 * (config.get("global_batch") or 32) / 32) * GIB)


def roomy(gib: float) -> Any:
    memory = {"ram_bytes": int(gib * GIB), "available_bytes": int(gib * GIB), "limit_bytes": None}
    return evolve(EVIDENCE, {"hardware": {"memory": memory}})


def faster_in_large(config: dict[str, Any]) -> float:
    return 1.0 + (config.get("global_batch") or 32) / 320


def test_what_would_not_fit_is_refused_before_it_is_run(tmp_path: Path) -> None:
    machine = Filling(tmp_path, faster_in_large, SMALL_STEPS, evidence=roomy(10))
    refused = {t.config.as_dict()["global_batch"]: t.outcome for t in machine.trials if t.outcome.kind == "refused"}
    assert list(refused) == [256]
    assert REFUSAL in refused[256].message
    assert windows_of(machine, global_batch=256) == []


def test_what_fits_is_run(tmp_path: Path) -> None:
    machine = Filling(tmp_path, faster_in_large, SMALL_STEPS, evidence=roomy(100))
    assert [trial.outcome.kind for trial in machine.trials if trial.config.settings] == ["measured"] * 3


def test_a_size_that_would_not_fit_closes_no_knob(tmp_path: Path) -> None:
    machine = Filling(tmp_path, faster_in_large, SMALL_STEPS, evidence=roomy(5.5))
    assert sum(trial.outcome.kind == "refused" for trial in machine.trials) == 2
    assert "global_batch" not in {one.what for one in machine.study.known.closed}


def test_out_of_memory_costs_one_trial_and_larger_ones_are_not_run(tmp_path: Path) -> None:
    def speed(config: dict[str, Any]) -> Answer:
        return wire.WindowRefused(0, "", "oom", "killed") if (config.get("global_batch") or 0) >= 64 else 1.0

    trials = Machine(tmp_path, speed, SMALL_STEPS).trials
    assert [trial.outcome.kind for trial in trials] == ["measured", "oom", "refused", "refused"]


# --- what breaks --------------------------------------------------------------------------------------------------


def test_a_knob_that_breaks_the_script_is_given_up_and_told(tmp_path: Path) -> None:
    def speed(config: dict[str, Any]) -> Answer:
        return wire.WindowRefused(0, "", "crash", "no forks") if config.get("num_workers") else 1.0

    machine = Machine(tmp_path, speed, INPUT_BOUND, FULL_PRECISION, budget_s=600.0)
    assert sum("num_workers" in config for config in machine.tried) == 2
    why = {one.what: one.why for one in machine.recommended().skipped}["num_workers"]
    assert why == "it broke the script 2 times (crash: no forks)"


# --- lives of their own -------------------------------------------------------------------------------------------


class Started(Machine):
    """Its batch is an option of the script: `--batch-size`."""

    def __init__(self, folder: Path, speed: Any, *found: Any, **options: Any) -> None:
        options.setdefault(
            "request", SearchRequest(selection=selection(self.knobs), command=replace(COMMAND, args=("--lr", "1")))
        )
        super().__init__(folder, speed, *found, **options)


@pytest.fixture
def by_option(monkeypatch: pytest.MonkeyPatch) -> None:
    by_argument = ArgumentKnob(
        knob="global_batch",
        values=(64, 128),
        effect="training",
        why="--batch-size of the script (32 as written)",
        arguments={64: {"--batch-size": 64}, 128: {"--batch-size": 128}},
    )
    monkeypatch.setattr("advisor.search.study.command_line", lambda *_: CommandLine(argument_knobs=(by_argument,)))


@pytest.mark.usefixtures("by_option")
def test_a_setting_by_option_is_run_between_lives_as_written(tmp_path: Path) -> None:
    machine = Started(tmp_path, faster_in_large, SMALL_STEPS, budget_s=300.0)
    assert machine.script_runs[0] == machine.script_runs[2] == BASELINE_SETUP
    assert machine.script_runs[1].args == ("--lr", "1", "--batch-size=64")
    assert machine.script_runs[1].settings == Config.of({"global_batch": 64})


@pytest.mark.usefixtures("by_option")
def test_it_is_compared_with_the_lives_around_it(tmp_path: Path) -> None:
    machine = Started(tmp_path, faster_in_large, SMALL_STEPS, budget_s=300.0)
    trial = next(trial for trial in machine.trials if trial.config == Config.of({"global_batch": 64}))
    assert trial.ratio.speedup == pytest.approx(1.2 / 1.1)


@pytest.mark.usefixtures("by_option")
def test_a_life_of_its_own_is_not_begun_without_time_for_it(tmp_path: Path) -> None:
    machine = Started(tmp_path, faster_in_large, SMALL_STEPS, budget_s=25.0)
    assert machine.now_s <= 25.0 + START_S
    assert machine.script_runs.count(BASELINE_SETUP) <= 3


@pytest.mark.usefixtures("by_option")
def test_lives_are_not_used_up_before_the_end(tmp_path: Path) -> None:
    settings = replace(read("quick"), max_script_runs=4)
    machine = Started(tmp_path, faster_in_large, SMALL_STEPS, budget_s=900.0, settings=settings)
    machine.result.script_runs = [None] * len(machine.script_runs)  # type: ignore[list-item]
    assert machine.study._affordable(Config.of({"global_batch": 64}), _pace()) is False


def _pace() -> Any:
    from advisor.analysis.pace import Pace

    return Pace(update_s=0.01, window_s=1.0, settle=3, count=10)


# --- objectives ---------------------------------------------------------------------------------------------------


class Memory(Machine):
    """Fewer workers need less; none is slow."""

    def peak(self, config: dict[str, Any]) -> int | None:
        return (2 if "num_workers" in config else 4) * GIB


def objective(name: str, **options: Any) -> SearchRequest:
    return SearchRequest(goal=Goal.of(name, **options), selection=selection(Machine.knobs))


def test_the_smallest_peak_within_the_tolerance_is_recommended(tmp_path: Path) -> None:
    def speed(config: dict[str, Any]) -> float:
        return 0.97 if config.get("num_workers") == 3 else 0.5 if config.get("num_workers") else 1.0

    found = Memory(tmp_path, speed, INPUT_BOUND, request=objective("memory", tolerance="5%")).recommended()
    assert found.config == Config.of({"num_workers": 3})
    assert found.notes == ("2.00 times less memory, at 0.97 times the speed",)


def test_less_memory_at_too_low_a_speed_is_not(tmp_path: Path) -> None:
    machine = Memory(tmp_path, lambda config: 0.5 if config else 1.0, INPUT_BOUND, request=objective("memory"))
    assert machine.recommended().config == Config()


def test_energy_is_what_the_meter_says_of_the_counted_updates(tmp_path: Path) -> None:
    """As fast, and half the power with workers."""

    class Metered(Machine):
        def power_w(self, begin_s: float, end_s: float) -> float:
            window = next(w for w in reversed(self.order) if self.result.arrived_s.get(w.id, 1e9) >= end_s - 1e-9)
            at = {self.result.arrived_s[name]: self.result.windows[name] for name in self.result.arrived_s}
            window = at.get(end_s, window)
            return (50.0 if window.config else 100.0) * (end_s - begin_s)

    holder: list[Machine] = []

    def joules(begin_s: float, end_s: float) -> float | None:
        return holder[0].power_w(begin_s, end_s) if holder else None  # type: ignore[attr-defined]

    class Held(Metered):
        def _carry_out(self) -> None:
            holder.append(self)
            super()._carry_out()

    machine = Held(tmp_path, nothing_helps, INPUT_BOUND, request=objective("energy"), joules=joules)
    assert machine.trials[1].score == pytest.approx(2.0, rel=0.01)
    assert machine.recommended().config.settings != ()


def test_with_leave_what_changes_the_training_is_recommended_where_it_is_better(tmp_path: Path) -> None:
    found = Machine(tmp_path, faster_in_large, SMALL_STEPS).recommended(allow_training=True)
    assert found.config.as_dict() == {"global_batch": 256}
    assert "learning rate" in found.notes[0]
    assert found.alternatives == ()


# --- the end ------------------------------------------------------------------------------------------------------


def test_the_gain_of_a_winner_is_split_by_its_settings(tmp_path: Path) -> None:
    def speed(config: dict[str, Any]) -> float:
        return workers_help(config) * (1.5 if config.get("precision") else 1.0)

    gains = Machine(tmp_path, speed, INPUT_BOUND, FULL_PRECISION).recommended().by_knob
    assert {name: round(ratio.speedup, 2) for name, ratio in gains.items()} == {"num_workers": 2.0, "precision": 1.5}


def test_each_finalist_is_measured_by_its_own_windows(tmp_path: Path) -> None:
    def speed(config: dict[str, Any]) -> float:
        return workers_help(config) * (1.5 if config.get("precision") else 1.0)

    known = Machine(tmp_path, speed, INPUT_BOUND, FULL_PRECISION).study.known
    found = {config: ratio.speedup for config, ratio in known.finals.items()}
    assert len(found) > 1
    assert found == {config: pytest.approx(speed(config.as_dict()), rel=0.02) for config in found}


def test_a_search_cut_off_before_its_finals_recommends_what_it_saw_and_says_so(tmp_path: Path) -> None:
    class Cut(Machine):
        def _outcome(self, window: wire.Window) -> Any:
            return None if window.id.startswith("final") else super()._outcome(window)

    found = Cut(tmp_path, workers_help, INPUT_BOUND).recommended()
    assert found.config == Config.of({"num_workers": 4})
    assert any("ended before" in note for note in found.notes)


def test_a_dry_run_opens_the_space_and_tries_nothing(tmp_path: Path) -> None:
    request = SearchRequest(selection=selection(Machine.knobs), dry_run=True)
    machine = Machine(tmp_path, workers_help, INPUT_BOUND, request=request)
    assert [knob.id for knob in machine.study.space.knobs] == ["num_workers", "precision"]
    assert all(not window.config for window in machine.order)


def test_what_comes_after_the_search_is_left_in_the_budget(tmp_path: Path) -> None:
    found = INPUT_BOUND, FULL_PRECISION, SMALL_STEPS
    whole = Machine(tmp_path, workers_help, *found, budget_s=60.0)
    assert whole.now_s > 45.0
    shorter = Machine(tmp_path, workers_help, *found, budget_s=60.0, reserved_s=25.0)
    assert shorter.now_s <= 35.0


@pytest.mark.parametrize("knob", ["num_workers", "precision"])
def test_knobs_asked_for_are_tried_without_a_finding(tmp_path: Path, knob: str) -> None:
    from advisor.search import KnobSelection

    machine = Machine(tmp_path, nothing_helps, finding("x"), request=SearchRequest(selection=KnobSelection.of([knob])))
    assert {name for config in machine.tried for name in config} == {knob}
