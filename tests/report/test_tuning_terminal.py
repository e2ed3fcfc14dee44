"""What a reader in a terminal sees of a search."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from advisor.report import format
from advisor.report.search.terminal import render_tune
from advisor.rules._examples import evolve, train_loader
from advisor.spelling import parameter
from advisor.types import (
    Config,
    Failure,
    Objective,
    Ratio,
    Skipped,
    TrainingGain,
    TrainingLength,
    TrialOutcome,
    TuneResult,
)

from . import hostile, sample, sample_tuning
from .markup import NUMBERS


def printed(result: TuneResult, *, width: int = 100, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="")
    render_tune(result, Console(file=file, width=width))
    file.flush()
    return raw.getvalue().decode(encoding)


def words_of(result: TuneResult) -> str:
    """The text without the line breaks that the width made."""
    return " ".join(printed(result, width=400).split())


def test_windows_that_were_run_again_overrule_what_a_look_had_promised() -> None:
    base = sample_tuning.unclear()
    again = Ratio(speedup=0.99, low=0.97, high=1.02, rounds=3)
    trials = tuple(replace(trial, measured_again=again) if trial.config.settings else trial for trial in base.trials)
    said = words_of(replace(base, trials=trials))
    assert said.startswith("Undecided: the best of 2 compared is 0.97–1.02 times as fast")


def test_what_changes_the_training_says_nothing_of_what_keeps_it() -> None:
    base = sample_tuning.unclear()
    promising = Ratio(speedup=2.0, low=1.9, high=2.1, rounds=3)
    other = replace(
        base.trials[-1], number=9, config=Config.of({"global_batch": 64}), effect="training", ratio=promising
    )
    verdict, _, _ = words_of(base).partition(" next ")
    assert words_of(replace(base, trials=(*base.trials, other))).startswith(verdict.partition(". ")[0])


def test_where_less_memory_is_looked_for_no_speed_is_promised() -> None:
    base = sample_tuning.unclear()
    objective = Objective(name="memory", unit="bytes at the peak", baseline=1e9, best=None)
    trials = tuple(replace(trial, score=0.99 if trial.config.settings else 1.0) for trial in base.trials)
    said = words_of(replace(base, objective=objective, trials=trials))
    assert "the best of 2 compared takes 101% of the memory" in said
    assert "times as fast" not in said.partition("next")[0]


def test_less_memory_at_a_speed_that_is_undecided_has_no_estimate_of_it() -> None:
    base = sample_tuning.for_memory()
    verdict = replace(base.recommendation.verdict, status="undecided", speedup=14.2, low=0.31, high=65.0, rounds=3)
    told = words_of(replace(base, recommendation=replace(base.recommendation, verdict=verdict)))
    assert "at 0.31–65.0 times the speed" in told
    assert "14.2" not in told.partition("next")[0]


def test_settings_that_spoil_the_losses_are_no_gain() -> None:
    text = words_of(sample_tuning.broken_quality())
    assert "but its losses differ from the baseline's." in text[:300]
    assert "Quality failed: the loss was NaN from update 31 on" in text
    assert "advisor run" not in text


def test_the_quality_stands_with_its_evidence() -> None:
    assert "Quality passed: losses over 60 updates differ by at most 0.4%" in words_of(sample_tuning.faster())


def test_what_keeps_the_training_and_what_changes_it_are_two_lines() -> None:
    text = words_of(sample_tuning.faster())
    assert "same training num_workers=4, precision=bf16 2.3× (2.2–2.4) quality passed" in text
    assert "changed training global_batch=256, 3.0× (2.7–3.2) training changes, and the time" in text
    assert "same training" not in words_of(sample_tuning.unproven())


def with_loader(number: int) -> TuneResult:
    """What is faster, found for a script with so many workers, whose dataset holds a generator."""
    base = sample_tuning.faster()
    workload = evolve(
        base.profile.workload,
        {"loaders": (train_loader(num_workers=number),), "facts": {"dataset_generators": ("Pictures.rng",)}},
    )
    return replace(base, profile=replace(base.profile, workload=workload))


def test_generators_of_the_dataset_get_seeds_where_workers_would_repeat_their_draws() -> None:
    told = "in each epoch every worker has its own seeds for Pictures.rng"
    assert [told in words_of(with_loader(number)) for number in (0, 2)] == [True, False]


def test_workers_that_the_script_starts_itself_are_left_to_it() -> None:
    base = with_loader(0)
    recommended = replace(base.recommendation, passed_as_arguments={"num_workers": {"--workers": 4}})
    told = words_of(replace(base, recommendation=recommended))
    assert "a worker_init_fn must seed it in each" in told
    assert "its own seeds" not in told


def test_a_larger_batch_is_set_beside_the_one_as_written() -> None:
    base = sample_tuning.faster()
    larger = replace(base.recommendation, config=Config.of(sample_tuning.LARGER))
    assert "256 samples per update, baseline 64 (4.0×)" in words_of(replace(base, recommendation=larger))


def test_what_never_pays_for_itself_is_said() -> None:
    base = sample_tuning.on_device()
    slow = {**base.recommendation.by_knob, "compile": Ratio(speedup=0.99, low=0.9, high=1.1, rounds=3)}
    result = replace(base, recommendation=replace(base.recommendation, by_knob=slow))
    assert "compiling takes 23.5 s once, and does not pay off" in words_of(result)


def test_nothing_changes_where_the_script_as_written_comes_out() -> None:
    assert "What changes for you" not in words_of(sample_tuning.no_gain())


def test_the_gain_is_split_by_knob_the_greatest_first() -> None:
    text = words_of(sample_tuning.faster())
    assert "num_workers=4 2.0× (1.94–2.10) precision=bf16 1.13× (1.08–1.18)" in text


def test_importances_are_told_where_they_are_known() -> None:
    assert "num_workers 71%, precision 18%, global_batch 11%" in words_of(sample_tuning.faster())
    assert "spread between the trials" not in words_of(sample_tuning.on_device())


def test_a_predicted_ceiling_stands_beside_what_was_got() -> None:
    text = words_of(sample_tuning.faster())
    assert "input_bound predicted 2.4× (2.2–2.6), got 2.0× (2.0–2.1) with num_workers=4 Each update waits" in text
    assert "evaluation_heavy predicted about 1.22×, at most 1.54×, no setting addresses it" in text
    assert "→ Evaluate every few epochs" in text


def test_what_was_got_is_from_settings_for_that_finding_only() -> None:
    """The fastest of all also has bf16, which no finding about the input can take credit for."""
    base = sample_tuning.faster()
    alone = tuple(one for one in base.trials if one.config.as_dict().get("num_workers") != 4 or one.number == 5)
    text = words_of(replace(base, trials=alone))
    assert "input_bound predicted 2.4× (2.2–2.6), got 1.88× (1.80–1.96) with num_workers=8" in text


def test_without_such_a_trial_the_part_of_the_whole_gain_counts() -> None:
    base = sample_tuning.faster()
    together = tuple(one for one in base.trials if one.number in (0, 5))
    assert "got 2.0× (1.94–2.10) with num_workers=4, from the ablation" in words_of(replace(base, trials=together))


def test_trials_stand_in_order_with_why_or_what_came_of_it() -> None:
    text = words_of(sample_tuning.faster())
    assert "8 trials, 2 without a result" in text
    places = [text.index(piece) for piece in ("0 1.00× nothing baseline 1", "1 2.0× 2.0–2.1", "5 2.4× 2.3–2.5")]
    assert places == sorted(places)
    assert "3 – training global_batch=512 out of memory: RuntimeError: can't allocate memory: 12.4 GiB" in text
    assert "num_workers alone: input_bound suggests it" in text


def test_what_was_looked_for_stands_with_each_trial() -> None:
    assert "0.97× 0.93–1.01 31.0 GiB nothing" in words_of(sample_tuning.for_memory())
    assert "31.0 GiB nothing" not in words_of(replace(sample_tuning.for_memory(), objective=Objective()))


def test_the_energy_of_the_recommended_settings_is_told_first() -> None:
    energy = Objective(name="energy", unit="joules per sample", baseline=2.9, best=1.3)
    told = "your script takes 45% of the energy (1.30 joules per sample, baseline 2.90 joules per sample) at 2.3×"
    assert told in words_of(replace(sample_tuning.faster(), objective=energy))


def test_options_that_the_script_takes_itself_are_shown() -> None:
    base = sample_tuning.faster()
    found = replace(
        base.recommendation, passed_as_arguments={"num_workers": {"--workers": 4}}, notes=("mind the gap.",)
    )
    text = words_of(replace(base, recommendation=found))
    assert "Arguments --workers 4 on the script's command line" in text
    assert "Note mind the gap" in text


def test_the_history_is_told_in_a_line_without_what_changes_the_training() -> None:
    text = words_of(sample_tuning.faster())
    assert "Best so far: 1.00× at trial 0, 2.0× at trial 1, 2.4× at trial 5 Pareto" in text


def test_speed_against_memory_is_told_in_a_line() -> None:
    told = "memory: 1.12× in 1.08 GiB (trial 2), 2.4× in 1.12 GiB (trial 5), 3.0× in 2.16 GiB (trial 6)"
    assert told in words_of(sample_tuning.faster())


def test_a_dry_run_shows_what_can_be_tried_and_why() -> None:
    text = words_of(sample_tuning.dry_run())
    assert text.startswith("Undecided: nothing was tried; 2 knobs are open.")
    assert "num_workers 2, 4, 8 random numbers live input_bound could not judge" in text
    assert "batch 128 training a new process each overhead_bound suggests it" in text
    assert "note a dry run: nothing was tried" in text


def test_a_trial_that_was_stopped_keeps_its_ratio_and_says_why() -> None:
    base = sample_tuning.faster()
    why = TrialOutcome(kind="stopped", message="at most 1.02 times as fast after a short trial")
    slow = replace(base.trials[2], outcome=why)
    text = words_of(replace(base, trials=(*base.trials[:2], slow)))
    assert "2 1.12× 1.08–1.16 rounding precision=bf16 stopped: at most 1.02 times as fast" in text
    assert "3 trials" in text
    assert "without a result" not in text


def test_what_failed_as_a_trial_is_not_told_twice() -> None:
    base = sample_tuning.faster()
    twice = (*sample_tuning.SKIPPED, Skipped(what="global_batch=512", why="oom: can't allocate memory"))
    text = words_of(replace(base, recommendation=replace(base.recommendation, skipped=twice)))
    assert "not used memory_format" in text
    assert "not used global_batch=512" not in text


def test_why_the_best_of_the_search_is_not_used_is_told_though_it_was_measured_there() -> None:
    text = words_of(sample_tuning.not_held())
    assert "not used num_workers=4, precision=bf16: the loss was NaN from update 31 on" in text


def test_a_smaller_peak_that_was_not_verified_says_so() -> None:
    base = sample_tuning.for_memory()
    verdict = replace(base.recommendation.verdict, status="unproven")
    text = words_of(replace(base, recommendation=replace(base.recommendation, verdict=verdict)))
    assert "noise floor 2%); unproven: fresh processes have not decided yet." in text


def test_an_alternative_that_was_not_proven_says_so() -> None:
    base = sample_tuning.faster()
    (other,) = base.recommendation.alternatives
    unproven = replace(other, verdict=replace(other.verdict, status="unproven"), note="")
    text = words_of(replace(base, recommendation=replace(base.recommendation, alternatives=(unproven,))))
    assert "(2.7–3.2) not yet verified in fresh" in text


def test_of_many_trials_the_best_stand_first_and_the_rest_is_counted() -> None:
    result = sample_tuning.long_search()
    text = words_of(result)
    best = max((one for one in result.trials if one.ratio), key=lambda one: one.ratio.speedup if one.ratio else 0)
    assert f"0 1.00× nothing baseline {best.number} " in text
    assert "228 more: 198 measured, 6 crashed, 6 non-finite loss, 6 out of memory" in text
    assert len(printed(result, width=200).splitlines()) < 90


def test_a_search_of_failures_shows_them_instead() -> None:
    base = sample_tuning.long_search(120)
    none = tuple(replace(one, ratio=None) if one.number else one for one in base.trials)
    rows = [line for line in printed(replace(base, trials=none), width=200).splitlines() if " num_workers=" in line]
    assert len([line for line in rows if "prefetch_factor" in line]) == 11


def skipping(*skipped: Skipped) -> str:
    base = sample_tuning.no_gain()
    return words_of(replace(base, recommendation=replace(base.recommendation, skipped=skipped)))


def test_why_knobs_are_closed_is_short() -> None:
    text = skipping(*(Skipped(what=f"knob_{number}", why=f"reason {number}") for number in range(20)))
    assert "not used knob_7: reason 7" in text
    assert "knob_8" not in text
    assert "12 more reasons" in text


def test_knobs_that_are_closed_for_one_reason_share_a_line() -> None:
    why = "no finding suggests it"
    text = skipping(Skipped(what="a", why=why), Skipped(what="b", why="other"), Skipped(what="c", why=why))
    assert f"not used a, c: {why} not used b: other" in text


def test_where_files_were_written_and_how_to_see_the_page() -> None:
    text = words_of(sample_tuning.on_device())
    assert "wrote out/advisor.yaml wrote ds.json" in text
    assert "page advisor report 20261122-063519-123456-train-a1b2c3 --html" in text


def test_the_scripts_own_last_words_come_before_the_verdict() -> None:
    text = printed(sample_tuning.crashed())
    assert 0 < text.index("ValueError: labels hold 11") < text.index("Your script raised ValueError")


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("shape", sample_tuning.ALL)
def test_no_line_is_wider_than_the_terminal(shape: str, width: int) -> None:
    lines = printed(sample_tuning.ALL[shape](), width=width).splitlines()
    assert max(len(line) for line in lines) <= width


@pytest.mark.parametrize("shape", sample_tuning.ALL)
def test_an_ascii_terminal_gets_ascii(shape: str) -> None:
    assert "?" not in printed(sample_tuning.ALL[shape](), encoding="ascii")


@pytest.mark.parametrize("shape", ["faster", "on_device", "for_memory", "long_search"])
def test_a_script_cannot_write_to_the_terminal(shape: str) -> None:
    base = sample_tuning.ALL[shape]()
    assert not set(printed(hostile.tuned_with_text(base))) & set("\x1b\x07\x00\u202e\r")


def test_a_short_value_cannot_either() -> None:
    base = sample_tuning.faster()
    found = replace(base.recommendation, config=Config.of({"precision": "\x1b[31mbf16"}))
    assert "With precision=bf16 your" in printed(replace(base, recommendation=found))


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("shape", sample_tuning.ALL)
def test_wild_numbers_are_shown_not_stumbled_over(shape: str, numbers: str) -> None:
    assert "hardware" in printed(hostile.tuned_with_numbers(sample_tuning.ALL[shape](), NUMBERS[numbers]))


def cached(training: TrainingGain | None) -> TuneResult:
    base = sample_tuning.faster()
    found = replace(base.recommendation, config=Config.of({"cache_dataset": True}), training=training, alternatives=())
    return replace(base, recommendation=found)


def test_what_helps_from_the_second_epoch_on_says_what_the_whole_training_gains() -> None:
    length = TrainingLength(updates=2000, epochs=40, source="range(40) in train.py:12")
    text = words_of(cached(TrainingGain(length=length, speedup=2.1)))
    assert "Whole training 2.1× over 40 epochs (range(40) in train.py:12)" in text
    assert "the gain begins with the second" in text


def test_where_the_length_is_not_known_it_says_how_to_tell_it() -> None:
    assert f"{parameter('updates')} says how long the training is" in words_of(cached(None))


def test_a_gain_that_is_the_same_over_the_whole_training_is_told_once() -> None:
    length = TrainingLength(updates=2000, epochs=40, source="as given")
    base = sample_tuning.faster()
    found = replace(base.recommendation, training=TrainingGain(length=length, speedup=2.31))
    assert "Whole training" not in words_of(replace(base, recommendation=found))


def test_a_healthy_script_without_an_open_knob_is_told_so() -> None:
    base = replace(sample_tuning.nothing_tried(), profile=sample.healthy(), space=())
    text = words_of(base)
    assert text.startswith("Your script is healthy: no avoidable cost was found")
    assert "no setting is worth a trial." in text


def test_a_search_that_tried_nothing_on_a_script_that_may_be_healthy_says_what_is_not_known() -> None:
    doubtful = replace(sample.healthy(), workload=None)
    text = words_of(replace(sample_tuning.nothing_tried(), profile=doubtful, space=()))
    assert text.startswith("Undecided: nothing was tried; no knob is open. No avoidable cost was found, but it is not")


def test_a_finding_that_no_setting_helps_is_the_answer_of_a_search_that_tried_nothing() -> None:
    base = replace(sample_tuning.nothing_tried(), profile=sample.input_bound(), space=())
    text = words_of(base)
    assert text.startswith("Your script waits for data 62% of its time; fixing that can make it 2.4× as fast")
    assert "no setting that could help is open here." in text
    assert "The findings below say what to change in the script." in text
    assert "next advisor explain input_bound explains this finding" in text
    (first, *others) = base.profile.findings
    by_hand = replace(base, profile=replace(base.profile, findings=(replace(first, knobs=()), *others)))
    assert "no setting changes that, only the script." in words_of(by_hand)


def test_losses_that_are_not_finite_are_told_before_any_gain() -> None:
    base = sample_tuning.faster()
    failure = Failure(kind="nan", message="the loss was not finite in 396 of the 416 updates counted")
    said = words_of(replace(base, profile=replace(base.profile, failure=failure)))
    assert said.startswith("Your script computed a non-finite loss: the loss was not finite in 396 of the 416 updates")
    assert words_of(base).partition(". ")[0] in said


def test_the_first_finding_that_no_setting_changes_stands_below_the_verdict() -> None:
    base = sample_tuning.faster()
    by_hand = next(one for one in base.profile.findings if one.severity != "info" and not one.knobs)
    assert f"To be changed by hand: your script {format.headline(by_hand)}" in words_of(base)
    settable = tuple(replace(one, knobs=one.knobs or ("num_workers",)) for one in base.profile.findings)
    assert "by hand:" not in words_of(replace(base, profile=replace(base.profile, findings=settable)))


def test_an_undecided_search_that_planned_its_own_time_goes_on_where_it_ended() -> None:
    base = sample_tuning.unclear()
    assert "next advisor tune --budget 25m train.py --epochs 3 has the time to decide" in words_of(base)
    own = words_of(replace(base, budget_s=None))
    assert f"next advisor tune --resume {base.profile.run_id} train.py --epochs 3 continues this search" in own


def test_a_search_without_a_gain_begins_with_the_finding_that_only_the_script_can_change() -> None:
    base = sample_tuning.unclear()
    by_hand = next(one for one in sample_tuning.faster().profile.findings if one.severity != "info" and not one.knobs)
    first = replace(base, profile=replace(base.profile, findings=(by_hand, *base.profile.findings)))
    text = words_of(first)
    assert text.startswith(f"Your script {format.headline(by_hand)}")
    assert "no setting changes that, only the script. Undecided: the best of 2 compared" in text
    assert f"next advisor explain {by_hand.rule} explains this finding" in text
    assert words_of(base).startswith("Undecided: the best of 2 compared")
