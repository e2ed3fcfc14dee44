"""What comes out of a search once its finalists were run in fresh processes; the processes are made up."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import forked
import pytest
from report.sample import hardware

from advisor.errors import ScriptError, Terminated
from advisor.runtime import RunOptions
from advisor.runtime.script_run_record import ScriptRunRecord
from advisor.search import FinalResult, Goal
from advisor.types import (
    Alternative,
    Command,
    Config,
    Ratio,
    Recommendation,
    Skipped,
    TrialOutcome,
    Verdict,
    Verification,
    VerifiedConfig,
)
from advisor.verification.verification_run import Expected, Finalist
from advisor.workflows import prove as proving
from workflows.test_verify import TRAINING

COMMAND = Command(target="train.py", is_module=False, args=(), cwd="/", interpreter="/py")
BEST = Config.of({"num_workers": 4, "pin_memory": True})
CHEAP = Config.of({"num_workers": 4})
LARGE = Config.of({"global_batch": 64, "num_workers": 4})
GAINS = {"num_workers": Ratio(speedup=1.9, low=1.8, high=2.0, rounds=3)}
USELESS = Ratio(speedup=1.0, low=0.9, high=1.1, rounds=3)
IN_WINDOWS = Verdict(status="unproven", speedup=2.0, low=1.8, high=2.2, rounds=3, floor=0.05)


def verdict(status: Any = "faster", speedup: float = 2.0, **changes: Any) -> Verdict:
    found = Verdict(status=status, speedup=speedup, low=speedup - 0.1, high=speedup + 0.1, rounds=3, floor=0.02)
    return replace(found, **{"quality": "passed", **changes})


NO_TIME = TrialOutcome(kind="stopped", message="no time was left to verify it")


@dataclass(kw_only=True)
class Desk:
    """A search that is over, and what its processes will say."""

    folder: Path
    found: Recommendation
    said: Mapping[Config, Verdict | TrialOutcome]
    goal: Goal = field(default_factory=Goal)
    verify: bool = True
    rest_s: float = 100.0
    score: float = 2.0
    """Of the best, in the search."""
    in_windows: Ratio = GAINS["num_workers"]
    peak_bytes: int = 900
    raises: Exception | None = None
    interrupted: BaseException | None = None
    skipped: tuple[Skipped, ...] = ()
    verified_configs: list[Config] = field(default_factory=list)
    given_s: float = 0.0
    script_runs: list[ScriptRunRecord] = field(default_factory=list)
    expected: Expected | None = None

    def prove(self, monkeypatch: pytest.MonkeyPatch) -> proving.Proof:
        final_results = {BEST: FinalResult(ratio=self.in_windows, score=self.score, fresh=True)}
        space = SimpleNamespace(
            effect=lambda config: "training" if "global_batch" in config.as_dict() else "resampled",
            meaningful=lambda config: config,
            command_line=SimpleNamespace(arguments=lambda _config: {}, constants=lambda _config: {}),
        )
        known = SimpleNamespace(
            final_results=lambda: final_results, space=space, winner=lambda: BEST, by_knob=lambda _config: GAINS
        )
        search_run = SimpleNamespace(
            request=SimpleNamespace(
                verify=self.verify,
                command=COMMAND,
                budget_s=100.0,
                search=SimpleNamespace(goal=self.goal),
                settings=SimpleNamespace(floor=0.05),
            ),
            study=SimpleNamespace(space=space, known=known),
            found=SimpleNamespace(hardware=hardware()),
            run=SimpleNamespace(path=self.folder),
            isolation=None,
            rest_s=self.rest_s,
            verification_cost=SimpleNamespace(process_s=10.0, round_s=15.0),
            session=SimpleNamespace(result=SimpleNamespace(script_runs=self.script_runs)),
            options=RunOptions(),
        )
        monkeypatch.setattr(proving, "verify_configs", self._verified)
        return proving.prove(search_run, self.found)  # type: ignore[arg-type]

    def _verified(
        self, _command: Command, finalists: list[Finalist], *, budget_s: float, expected: Expected, **_: Any
    ) -> Verification:
        self.expected = expected
        self.verified_configs, self.given_s = [one.config for one in finalists], budget_s
        if self.raises is not None:
            raise self.raises
        return Verification(
            baseline=TrialOutcome(kind="measured", peak_bytes=1000),
            configs=tuple(self._one(one) for one in finalists),
            processes=6,
            seconds=60.0,
            notes=("the machine was busy",),
            interrupted=self.interrupted,
            skipped=self.skipped,
        )

    def _one(self, finalist: Finalist) -> VerifiedConfig:
        said = self.said[finalist.config]
        if isinstance(said, TrialOutcome):
            broken = "not checked" if said.kind == "stopped" else "failed"
            found, outcome = verdict("unverified", 1.0, rounds=0, quality=broken, quality_evidence=said.message), said
        else:
            found, outcome = said, TrialOutcome(kind="measured", peak_bytes=self.peak_bytes)
        assert finalist.effect is not None
        return VerifiedConfig(config=finalist.config, effect=finalist.effect, verdict=found, outcome=outcome)


def recommendation(config: Config = BEST, **changes: Any) -> Recommendation:
    found = Recommendation(
        command=COMMAND,
        hardware=hardware(),
        config=config,
        verdict=IN_WINDOWS,
        by_knob={**GAINS, "pin_memory": USELESS},
    )
    return replace(found, **changes)


LARGER = Alternative(changes="training", config=LARGE, verdict=IN_WINDOWS, note="raise the rate")


@pytest.fixture
def proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def prove(said: Mapping[Config, Verdict | TrialOutcome], **options: Any) -> Recommendation:
        found = options.pop("found", recommendation(by_knob=GAINS))
        return Desk(folder=tmp_path, found=found, said=said, **options).prove(monkeypatch).recommendation

    return prove


def test_what_is_faster_is_recommended_with_its_verdict(proven: Any) -> None:
    found = proven({BEST: verdict(speedup=1.7)})
    assert (found.config, found.verdict) == (BEST, verdict(speedup=1.7))


def test_the_cheapest_that_is_as_good_comes_out_with_its_part_of_the_gain(proven: Any) -> None:
    found = proven({BEST: verdict(), CHEAP: verdict(speedup=1.99)}, found=recommendation())
    assert (found.config, set(found.by_knob)) == (CHEAP, {"num_workers"})


@pytest.mark.parametrize("status", ["no significant gain", "slower", "undecided"])
def test_the_script_as_written_comes_out_where_nothing_is_faster(proven: Any, status: str) -> None:
    found = proven({BEST: verdict(status, 1.01)})
    assert (found.config, found.verdict.status, found.by_knob) == (Config(), status, {})
    assert found.skipped[0].what == "num_workers=4, pin_memory=True"
    assert found.skipped[0].why.startswith(status)


def test_what_is_undecided_is_left_out_with_its_interval_and_no_estimate(proven: Any) -> None:
    found = proven({BEST: verdict("undecided", 14.2, low=0.31, high=650.0)})
    assert found.skipped[0].why == "undecided: 0.31 to 650 times as fast in 3 rounds of fresh processes"


TIME_UP = (Skipped(what="rounds 3 to 10", why="time ran out: 2 of 10 rounds fitted into 68 s"),)


def test_a_gain_that_is_clear_in_windows_is_kept_where_the_time_ended_before_it_was_decided(proven: Any) -> None:
    unsure = verdict("undecided", 1.9, low=1.02, high=3.5, rounds=2, rounds_to_decide=4, quality_evidence="alike")
    found = proven({BEST: unsure}, skipped=TIME_UP)
    kept = replace(IN_WINDOWS, quality="passed", quality_evidence="alike", rounds_to_decide=4)
    assert (found.config, found.verdict, found.by_knob) == (BEST, kept, GAINS)
    assert "2 rounds of fresh processes so far: 1.02 to 3.5 times as fast" in found.notes


UNCLEAR = Verdict(status="undecided", speedup=1.0, low=0.9, high=4.0, rounds=0, floor=0.05)


@pytest.mark.parametrize(("low", "status", "config"), [(1.02, "unproven", BEST), (0.97, "undecided", Config())])
def test_a_gain_of_scattered_windows_that_a_pair_of_processes_confirms_is_kept(
    proven: Any, low: float, status: str, config: Config
) -> None:
    one_round = verdict("undecided", 2.1, low=0.0, high=math.inf, rounds=1)
    found = proven(
        {BEST: one_round, CHEAP: one_round},
        found=recommendation(Config(), verdict=UNCLEAR),
        in_windows=Ratio(speedup=1.9, low=low, high=4.0, rounds=3),
        skipped=TIME_UP,
    )
    assert (found.verdict.status, found.config) == (status, config)


@pytest.mark.parametrize(
    "against",
    [
        {"quality": "failed"},
        {"speedup": 1.01},
        {"speedup": 1.2, "low": 1.0, "high": 1.5},  # windows said 1.8 to 2.2
        {"status": "no significant gain"},
        {"status": "slower", "speedup": 0.7},
    ],
)
def test_not_where_something_speaks_against_it(proven: Any, against: dict[str, Any]) -> None:
    unsure = verdict(**{"status": "undecided", "speedup": 1.9, "low": 0.7, "high": 3.5, "rounds": 2, **against})
    assert proven({BEST: unsure}, skipped=TIME_UP).config == Config()


def test_nor_where_all_rounds_were_run(proven: Any) -> None:
    assert proven({BEST: verdict("undecided", 1.9, low=0.9, high=3.5, rounds=10)}).config == Config()


def test_what_breaks_the_script_does_not_come_out(proven: Any) -> None:
    found = proven({BEST: TrialOutcome(kind="oom", message="out of memory")})
    assert (found.config, found.verdict.quality, found.skipped[0].why) == (Config(), "failed", "out of memory")


def test_what_changes_the_losses_does_not_come_out(proven: Any) -> None:
    found = proven({BEST: verdict(quality="failed", quality_evidence="mean loss 9")})
    assert (found.config, found.skipped[0].why) == (Config(), "mean loss 9")


def test_what_there_was_no_time_for_stays_unproven_and_it_is_told(proven: Any) -> None:
    found = proven({BEST: NO_TIME})
    assert (found.config, found.verdict) == (BEST, IN_WINDOWS)
    assert NO_TIME.message in found.notes


def test_with_less_time_than_two_processes_take_none_is_begun(proven: Any) -> None:
    found = proven({}, rest_s=10.0)
    assert (found.verdict, found.notes) == (IN_WINDOWS, ("no time was left to verify it in fresh processes",))


def test_who_wants_no_proof_gets_none(proven: Any) -> None:
    assert proven({}, verify=False) == recommendation(by_knob=GAINS)


def test_a_script_that_fails_now_leaves_what_the_search_found(proven: Any) -> None:
    found = proven({}, raises=ScriptError("the unmodified script failed: no more disk"))
    assert found.verdict == IN_WINDOWS
    assert "no more disk" in found.notes[0]


def test_notes_of_the_processes_are_told(proven: Any) -> None:
    assert "the machine was busy" in proven({BEST: verdict()}).notes


def test_a_faster_alternative_has_its_verdict(proven: Any) -> None:
    found = proven(
        {BEST: verdict(), LARGE: verdict(speedup=3.0)}, found=recommendation(alternatives=(LARGER,), by_knob=GAINS)
    )
    assert [other.verdict.speedup for other in found.alternatives] == [3.0]


def test_an_alternative_that_gains_nothing_more_is_dropped_with_the_reason(proven: Any) -> None:
    found = proven(
        {BEST: verdict(), LARGE: verdict(speedup=1.9)}, found=recommendation(alternatives=(LARGER,), by_knob=GAINS)
    )
    assert (found.alternatives, found.skipped[0].what) == ((), "global_batch=64, num_workers=4")


NOTHING = replace(IN_WINDOWS, status="no significant gain", speedup=1.0)


def test_what_scattered_too_much_in_the_search_is_proven_all_the_same(proven: Any) -> None:
    found = proven({BEST: verdict()}, found=recommendation(Config(), verdict=NOTHING, by_knob={}))
    assert (found.config, found.verdict, found.by_knob) == (BEST, verdict(), GAINS)


def test_what_scattered_too_much_is_not_recommended_unproven(proven: Any) -> None:
    found = proven({BEST: NO_TIME}, found=recommendation(Config(), verdict=NOTHING, by_knob={}))
    assert (found.config, found.verdict) == (Config(), NOTHING)


def test_what_was_no_gain_in_the_search_is_not_proven(proven: Any) -> None:
    found = proven({}, score=1.04, found=recommendation(Config(), verdict=NOTHING, by_knob={}))
    assert (found.config, found.verdict) == (Config(), NOTHING)


def test_an_alternative_alone_leaves_the_verdict_on_the_rest(proven: Any) -> None:
    only = recommendation(Config(), verdict=NOTHING, alternatives=(LARGER,), by_knob={})
    found = proven({LARGE: verdict(speedup=3.0)}, score=1.0, found=only)
    assert (found.config, found.verdict, len(found.alternatives)) == (Config(), NOTHING, 1)


def test_what_changes_the_training_comes_out_where_it_was_allowed(proven: Any) -> None:
    found = proven({LARGE: verdict(speedup=3.0)}, found=recommendation(LARGE, by_knob={}))
    assert found.config == LARGE


def test_less_memory_need_not_be_faster(proven: Any) -> None:
    found = proven({BEST: verdict("slower", 0.97)}, goal=Goal(name="memory"))
    assert (found.config, found.verdict.status) == (BEST, "slower")


def test_less_memory_that_costs_too_much_speed_does_not_come_out(proven: Any) -> None:
    assert proven({BEST: verdict("slower", 0.9)}, goal=Goal(name="memory")).config == Config()


def test_memory_that_is_not_less_in_a_fresh_process_does_not_come_out(proven: Any) -> None:
    assert proven({BEST: verdict(speedup=1.0)}, goal=Goal(name="memory"), peak_bytes=1000).config == Config()


def test_an_interruption_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(
        folder=tmp_path,
        found=recommendation(by_knob=GAINS),
        said={BEST: verdict("undecided")},
        interrupted=Terminated(),
    )
    assert isinstance(desk.prove(monkeypatch).interrupted, Terminated)


def test_what_is_left_of_the_budget_is_for_the_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(folder=tmp_path, found=recommendation(by_knob=GAINS), said={BEST: verdict()}, rest_s=40.0)
    desk.prove(monkeypatch)
    assert desk.given_s == pytest.approx(45.0)


def test_windows_are_sized_midway_between_the_least_and_the_likeliest_gain_that_the_search_showed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(folder=tmp_path, found=recommendation(by_knob=GAINS), said={BEST: verdict()})
    desk.prove(monkeypatch)
    assert desk.expected == Expected(gain=math.sqrt(1.8 * 2.0), process_s=10.0, footprint=None)


def test_a_gain_that_windows_left_open_is_expected_to_be_more_than_the_least_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = recommendation(by_knob=GAINS, verdict=replace(IN_WINDOWS, low=0.8))
    desk = Desk(folder=tmp_path, found=found, said={BEST: verdict()})
    desk.prove(monkeypatch)
    assert desk.expected is not None
    assert desk.expected.gain == pytest.approx(math.sqrt(1.05 * 2.0))


def test_the_best_is_asked_for_first_and_the_cheapest_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = dict.fromkeys((BEST, LARGE, CHEAP), verdict())
    desk = Desk(folder=tmp_path, found=recommendation(alternatives=(LARGER,)), said=said)
    desk.prove(monkeypatch)
    assert desk.verified_configs == [BEST, LARGE, CHEAP]


@pytest.mark.slow(45)
def test_a_search_proves_in_fresh_processes_and_verify_continues_its_rounds(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAINING)

    def advisor(*words: str) -> dict[str, Any]:
        done = forked.advisor(
            tmp_path, *words, "--runs", "runs", "--json", "train.py", limit_s=280, thin=True, forks=True
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    searched = advisor("tune", "--budget", "90s", "--knobs", "num_workers")
    verdict = searched["verdict"]
    assert verdict["status"] in ("faster", "unproven")  # on a busy machine the time ends before it is proven
    assert verdict["quality"] != "failed"
    (kept,) = tmp_path.glob("runs/*/verify/rounds.jsonl")
    rounds = len(kept.read_text().splitlines()) // 2
    assert rounds > 0

    verified = advisor("verify", "--config", "advisor.yaml")
    assert verified["config"] == searched["config"] != {}
    assert verified["verdict"]["rounds"] > rounds
    assert verified["verdict"]["quality"] != "failed"  # few rounds beside other tests cannot judge losses
    anew = advisor("verify", "--config", "advisor.yaml", "--fresh", "--rounds", "2")
    assert anew["verdict"]["rounds"] == 2


def test_rounds_that_bound_nothing_are_described_in_words(proven: Any) -> None:
    unsure = verdict("undecided", 1.9, low=0.16, high=13.7, rounds=2, rounds_to_decide=4, quality_evidence="alike")
    notes = proven({BEST: unsure}, skipped=TIME_UP).notes
    assert "2 rounds of fresh processes so far cannot bound the gain yet: the next command runs more" in notes
