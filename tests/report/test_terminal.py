"""What a reader in a terminal sees."""

from __future__ import annotations

import ast
import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from advisor import rules, whatif
from advisor.report.profile.circumstances import overhead_line
from advisor.report.profile.headline import function_call, page_command, verdict_of
from advisor.report.profile.terminal import render_profile
from advisor.types import Abstention, Ceiling, Command, EpochEnd, OtherProgram, Overhead, Profile, WhatIf

from . import hostile, sample
from .markup import NUMBERS


def printed(profile: Profile, *, width: int = 80, encoding: str = "utf-8", terminal: bool = False) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="")
    console = Console(file=file, width=width, force_terminal=terminal, color_system="truecolor" if terminal else None)
    render_profile(profile, console)
    file.flush()
    return raw.getvalue().decode(encoding)


def words_of(profile: Profile) -> str:
    """The text without the line breaks that the width made."""
    return " ".join(printed(profile).split())


def test_the_verdict_comes_first_and_names_share_and_measured_gain() -> None:
    assert words_of(sample.input_bound()).startswith(
        "Your script waits for data 62% of its time; fixing that can make it 2.4× as fast (measured, 2.2–2.6)."
    )


def test_a_healthy_script_hears_so() -> None:
    assert words_of(sample.healthy()).startswith("Your script is healthy")


def on_device(busy_s: float | None, why: str = "") -> Profile:
    """A script on an accelerator with nothing to find."""
    base = sample.gpu_transformer()
    use = None if busy_s is None else replace(sample.device_use(), busy_s=busy_s)
    return replace(base, findings=(), abstained=(), device_use=use, why_no_device_use=why)


def test_a_busy_device_is_healthy() -> None:
    verdict = verdict_of(on_device(0.2))
    assert verdict.tone == "good"
    assert "healthy" in verdict.sentence
    assert "the device is busy 95% of each update" in verdict.sentence


def test_a_device_that_idles_is_not_called_healthy() -> None:
    verdict = verdict_of(on_device(0.1))
    assert verdict.tone == "warning"
    assert "healthy" not in verdict.sentence
    assert "busy only 47% of each update, and idles most in waiting for data (30%)" in verdict.sentence


def test_a_device_that_was_not_traced_is_not_called_healthy() -> None:
    verdict = verdict_of(on_device(None, "another profiler holds it"))
    assert verdict.tone == "warning"
    assert "healthy" not in verdict.sentence
    assert verdict.sentence.endswith("it is not known how busy the device is: another profiler holds it.")
    assert "device not traced: another profiler holds it" in words_of(on_device(None, "another profiler holds it"))


@pytest.mark.parametrize(
    ("busy", "threads", "tone", "said"),
    [
        (7.5, 8, "good", "healthy: no avoidable cost was found, and 7.50 of 8 usable CPUs are busy."),
        (1.1, 8, "good", "1.10 of 8 usable CPUs are busy: torch has a thread for each core"),
        (1.1, 1, "warning", "but only 1.10 of 8 usable CPUs are busy, as torch computes with 1 thread"),
        (0.3, 8, "warning", "but only 0.300 of 8 usable CPUs are busy, less than one: the script waits"),
        (None, 8, "warning", "but it is not known how busy the CPUs are"),
    ],
)
def test_a_cpu_is_healthy_if_its_cores_work_or_cannot(busy: float | None, threads: int, tone: str, said: str) -> None:
    base = sample.healthy()
    assert base.workload is not None
    assert base.system is not None
    cores = replace(base.hardware, cpu=replace(base.hardware.cpu, cores_physical=128))
    verdict = verdict_of(
        replace(
            base,
            hardware=cores,
            workload=replace(base.workload, flags=replace(base.workload.flags, num_threads=threads)),
            system=replace(base.system, tree_cpus=busy, main_cpus=None),
        )
    )
    assert verdict.tone == tone
    assert said in verdict.sentence


@pytest.mark.parametrize(
    ("overhead", "said"),
    [
        (Overhead(fraction=0.004, low=-0.002, high=0.009), "measuring took 0.4% of the time, at most 0.9%"),
        (Overhead(low=-0.05, high=0.08), "measuring took at most 8% of the time"),
        (Overhead(low=-0.4, high=0.81), "unknown: windows with and without hooks scatter by more than they differ"),
        (Overhead(fraction=0.33, low=-0.4, high=0.81, hooks_us_per_update=136.0), "unknown: windows with and without"),
        (Overhead(), "unknown: too few windows ran without hooks"),
    ],
)
def test_the_cost_of_measuring_is_told_as_well_as_it_is_known(overhead: Overhead, said: str) -> None:
    line = overhead_line(replace(sample.healthy(), overhead=overhead))
    assert line.startswith(said)
    assert "µs" not in line


def test_a_ceiling_from_a_share_is_never_called_measured() -> None:
    said = verdict_of(sample.gpu_transformer()).sentence
    assert "about 3.2×, at most 4.9× as fast" in said
    assert "measured" not in said.replace("not measured", "")


def test_a_ceiling_of_nothing_promises_nothing() -> None:
    base = sample.input_bound()
    finding = replace(base.findings[0], ceiling=Ceiling(speedup=1.01, low=0.98, high=1.04, basis="measured"))
    assert verdict_of(replace(base, findings=(finding,))).sentence.endswith("fixing that alone gains little.")


@pytest.mark.parametrize(
    ("rule", "library", "said"),
    [
        ("deep_copy_per_step", "", "Your script spends 53% of its time copying its model."),
        ("deep_copy_per_step", "peft", "Your script spends 53% of its time on copies by peft."),
        ("host_code", "", "Your script spends 53% of its time in its own code."),
        ("host_code", "peft", "Your script spends 53% of its time in peft."),
        ("gc_pauses", "peft", "Your script spends 53% of its time in Python's garbage collector."),
    ],
)
def test_a_librarys_work_is_not_called_the_scripts(rule: str, library: str, said: str) -> None:
    base = sample.input_bound()
    places = tuple(replace(place, library=library) for place in base.findings[0].where)
    finding = replace(
        base.findings[0],
        rule=rule,
        headline=rules.get(rule).headline_for(library),
        share=0.53,
        where=places,
        library=library,
        ceiling=None,
    )
    assert verdict_of(replace(base, findings=(finding,))).sentence == said


def test_where_a_library_does_only_some_of_it_the_script_is_named() -> None:
    base = sample.input_bound()
    first, second = base.findings[0].where
    finding = replace(base.findings[0], rule="host_code", where=(replace(first, library="peft"), second))
    finding = replace(finding, headline=rules.get("host_code").headline_for(finding.library))
    assert "its own code" in verdict_of(replace(base, findings=(finding,))).sentence


def test_an_unknown_rule_speaks_through_its_evidence() -> None:
    base = sample.input_bound()
    finding = replace(
        base.findings[0], rule="brand_new", headline="", evidence="Half of it is spent in knots.", ceiling=None
    )
    assert verdict_of(replace(base, findings=(finding,))).sentence == "Half of it is spent in knots."


def test_a_script_with_hints_only_is_healthy() -> None:
    hints = sample.input_bound().findings[2:]
    assert hints
    assert verdict_of(replace(sample.healthy(), findings=hints)).tone == "good"


def test_with_too_little_data_a_script_is_not_called_healthy() -> None:
    base = sample.healthy()
    assert base.steps is not None
    few = tuple(Abstention(rule=f"rule_{number}", why="5 updates were counted") for number in range(6))
    verdict = verdict_of(replace(base, findings=(), abstained=few, steps=replace(base.steps, updates=5)))
    assert verdict.tone == "warning"
    assert "Too little" in verdict.sentence


@pytest.mark.parametrize(("low", "high", "sure"), [(90.0, 110.0, True), (40.0, 110.0, False), (0.0, 162.0, False)])
def test_a_rate_that_is_hardly_known_is_called_noisy_and_not_healthy(low: float, high: float, sure: bool) -> None:
    base = sample.healthy()
    assert base.steps is not None
    verdict = verdict_of(replace(base, steps=replace(base.steps, samples_per_s=100.0, low=low, high=high)))
    assert verdict.sentence.startswith("Your script is healthy" if sure else "Too noisy to judge: 100 samples/s")
    assert verdict.tone == ("good" if sure else "warning")


def test_a_script_that_waits_and_could_not_be_judged_is_not_called_healthy() -> None:
    doubt = Abstention(rule="input_bound", why="without the wait it ran 0.9 to 3.0 times as fast", most_share=0.62)
    verdict = verdict_of(replace(sample.input_bound(), findings=(), abstained=(doubt,)))
    assert verdict.tone == "warning"
    assert "could not judge" in verdict.sentence


def test_an_update_that_is_not_the_models_work_is_not_called_healthy() -> None:
    verdict = verdict_of(replace(sample.input_bound(), findings=(), abstained=()))
    assert (verdict.tone, verdict.sentence) == (
        "warning",
        "No avoidable cost was found, but only 36% of each update is the model's work.",
    )


@pytest.mark.parametrize(("most_share", "healthy"), [(0.07, True), (0.09, False), (1.0, False)])
def test_healthy_is_withheld_where_a_rule_abstained_that_could_matter(most_share: float, healthy: bool) -> None:
    doubt = Abstention(rule="input_bound", why="too few windows", most_share=most_share)
    verdict = verdict_of(replace(sample.healthy(), abstained=(doubt,)))
    assert ("healthy" in verdict.sentence) is healthy
    assert ("input_bound could not judge" in verdict.sentence) is not healthy


def on_eight_cpus(profile: Profile) -> Profile:
    return replace(profile, hardware=replace(profile.hardware, cpu=replace(profile.hardware.cpu, affinity_count=8)))


@pytest.mark.parametrize(
    ("others", "own", "busy"), [(0.1, 7.4, False), (2.3, 7.4, False), (2.5, 7.4, True), (4.0, 2.0, False)]
)
def test_the_headline_of_a_busy_machine_is_that_it_is_busy(others: float, own: float, busy: bool) -> None:
    base = on_eight_cpus(sample.healthy())
    assert base.system is not None
    programs = (OtherProgram(name="python bake.py", cpus=others - 0.1),)
    verdict = verdict_of(
        replace(base, system=replace(base.system, tree_cpus=own, loadavg_others=others, other_programs=programs))
    )
    assert verdict.sentence.startswith("The machine is busy") is busy
    assert ("healthy" in verdict.sentence) is not busy
    if busy:
        assert "other programs keep 2.50 of 8 CPUs busy (python bake.py 2.40)" in verdict.sentence


@pytest.mark.parametrize(
    ("share_error", "said"),
    [(0.02, ". 94% of each update is forward and backward, and no cost"), (None, ". No cost")],
)
def test_what_the_phases_show_is_told_on_a_busy_machine_too(share_error: float | None, said: str) -> None:
    base = on_eight_cpus(sample.healthy())
    assert base.system is not None
    assert base.steps is not None
    profile = replace(
        base,
        system=replace(base.system, tree_cpus=7.4, loadavg_others=5.0),
        steps=replace(base.steps, share_error=share_error),
        phases={"forward": 0.34, "backward": 0.6, "optimizer": 0.06},
    )
    assert f"{said} can be ruled out here." in verdict_of(profile).sentence


def test_a_finding_beside_other_programs_says_so() -> None:
    base = on_eight_cpus(sample.input_bound())
    assert base.system is not None
    system = replace(base.system, tree_cpus=7.4, loadavg_others=5.0)
    sentence = verdict_of(replace(base, system=system)).sentence
    assert sentence.startswith(
        "The machine is busy: other programs keep 5.00 of 8 CPUs busy (most of them cannot be seen from here)."
    )
    assert "Measured beside them, your script waits for data 62% of its time" in sentence


def test_a_compiled_model_is_not_healthy_before_it_was_compared_with_an_uncompiled_one() -> None:
    base = sample.healthy()
    assert base.workload is not None
    models = tuple(replace(model, compiled=True) for model in base.workload.models)
    profile = replace(base, workload=replace(base.workload, models=models))
    assert "healthy" not in verdict_of(profile).sentence
    assert "the same model without compiling" in words_of(profile)


def test_a_compiled_model_that_ran_uncompiled_too_was_compared() -> None:
    base = sample.healthy()
    assert base.workload is not None
    models = tuple(replace(model, compiled=True) for model in base.workload.models)
    (eager,) = (one for one in whatif.all_what_ifs() if one.eager)
    tried = WhatIf(name=eager.id, speedup=0.8, low=0.75, high=0.85, rounds=2)
    profile = replace(base, workload=replace(base.workload, models=models), what_ifs=(tried,))
    assert "healthy" in verdict_of(profile).sentence


@pytest.mark.parametrize(("speedup", "healthy"), [(1.05, True), (1.16, False)])
def test_a_hint_that_may_gain_much_and_healthy_never_meet(speedup: float, healthy: bool) -> None:
    hint = replace(
        sample.input_bound().findings[0],
        rule="precision_unused",
        severity="info",
        ceiling=Ceiling(speedup=speedup, low=1.0, high=1.5, basis="share"),
    )
    sentence = verdict_of(replace(sample.healthy(), findings=(hint,))).sentence
    assert ("healthy" in sentence) is healthy
    assert ("but what precision_unused advises may make it about 1.16×" in sentence) is not healthy


def test_a_healthy_script_is_told_what_was_and_was_not_looked_at() -> None:
    words = words_of(replace(sample.healthy(), epoch_end=EpochEnd(seen=False)))
    assert "Looked at: waiting for data, lines of Python, what-ifs, growth of memory." in words
    assert "Not looked at: operators (compiled or not traced), end of an epoch (none was seen)." in words


def test_phases_that_stand_out_are_said_where_the_rest_is_not_known() -> None:
    base = sample.healthy()
    assert base.steps is not None
    few = tuple(Abstention(rule=f"rule_{number}", why="5 updates were counted") for number in range(6))
    steps = replace(base.steps, updates=5, share_error=0.03)
    sentence = verdict_of(replace(base, findings=(), abstained=few, steps=steps)).sentence
    assert (
        sentence
        == "86% of each update is forward and backward; too little was measured to judge the rest: 5 updates counted."
    )


@pytest.mark.parametrize(("updates", "said"), [(5, "86% of each update is forward and backward. No"), (300, "No")])
def test_what_few_updates_show_comes_before_what_they_leave_open(updates: int, said: str) -> None:
    base = sample.healthy()
    assert base.steps is not None
    doubt = Abstention(rule="compile_candidate", why="not traced", most_share=0.5)
    steps = replace(base.steps, updates=updates, share_error=0.03)
    sentence = verdict_of(replace(base, findings=(), abstained=(doubt,), steps=steps)).sentence
    assert sentence == f"{said} avoidable cost was shown, but compile_candidate could not judge: not traced."


def test_each_phase_has_its_share_and_its_time() -> None:
    lines = [line.split() for line in printed(sample.input_bound()).splitlines()]
    assert any(line[:3] == ["waiting", "for", "data"] and line[-3:] == ["62%", "73.2", "ms"] for line in lines)
    assert not any(line[:3] == ["copy", "to", "device"] for line in lines)


def test_bars_are_as_long_as_their_shares() -> None:
    bars = [line.count("█") for line in printed(sample.healthy()).splitlines() if "█" in line]
    assert bars == [9, 16, 2, 1]


def test_the_scripts_own_last_words_come_before_the_verdict() -> None:
    text = printed(sample.crashed())
    assert 0 < text.index("ValueError: labels hold 11") < text.index("Your script raised ValueError")


def test_a_failure_says_what_was_still_measured() -> None:
    assert "the results below are from the 6 updates before" in words_of(sample.crashed())
    assert "nothing was measured" in words_of(sample.hung())


def test_little_data_is_said_at_once() -> None:
    assert "Only 9 updates counted" in "\n".join(printed(sample.little_data()).splitlines()[:4])


def test_no_line_is_wider_than_the_terminal() -> None:
    for make in sample.ALL.values():
        for width in (40, 80, 200):
            assert max(len(line) for line in printed(make(), width=width).splitlines()) <= width


@pytest.mark.parametrize("shape", sample.ALL)
def test_without_colour_there_is_not_one_escape(shape: str) -> None:
    assert "\x1b" not in printed(sample.ALL[shape]())


@pytest.mark.parametrize("shape", sample.ALL)
def test_an_ascii_terminal_gets_ascii(shape: str) -> None:
    text = printed(sample.ALL[shape](), encoding="ascii")
    assert "?" not in text
    assert "Your script" in text


@pytest.mark.slow
def test_a_script_cannot_write_to_the_terminal() -> None:
    text = printed(hostile.everywhere())
    assert not set(text) & set("\x1b\x07\x00\u202e\r")


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("shape", ["input_bound", "gpu_transformer", "healthy"])
def test_wild_numbers_are_shown_not_stumbled_over(shape: str, numbers: str) -> None:
    assert "hardware" in printed(hostile.with_numbers(sample.ALL[shape](), NUMBERS[numbers]))


def test_what_the_loader_could_deliver_is_no_gain_of_the_loop() -> None:
    alone = WhatIf(name="loader_alone", speedup=48.0, low=44.0, high=52.0, rounds=1)
    text = words_of(replace(sample.healthy(), what_ifs=(*sample.healthy().what_ifs, alone)))
    assert "what if no waiting for data: 1.01× as fast (0.99–1.03) loader alone it could deliver 48.0×" in text
    assert "48.0× (44.0–52.0) as many batches as the loop uses" in text


def test_a_run_kept_elsewhere_is_named_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    usual = tmp_path / "state" / "advisor" / "runs" / sample.healthy().run_id
    assert page_command(replace(sample.healthy(), run_folder=str(usual))) == page_command(sample.healthy())
    elsewhere = str(tmp_path / "my runs" / sample.healthy().run_id)
    assert page_command(replace(sample.healthy(), run_folder=elsewhere)) == f"advisor report '{elsewhere}' --html"


@pytest.mark.parametrize(
    ("verb", "call"),
    [
        ("profile --budget 60", "advisor.profile(train, budget=60)"),
        ("tune --budget 10m", 'advisor.tune(train, budget="10m")'),
        ("tune", "advisor.tune(train)"),
    ],
)
def test_a_function_is_advised_on_by_a_call_that_python_reads(verb: str, call: str) -> None:
    command = Command(target="n.py", is_module=False, args=(), cwd="/", interpreter="/py", function="train()")
    assert function_call(command, verb) == call
    ast.parse(call)


def test_the_next_budget_is_larger_than_the_one_that_was_not_enough() -> None:
    base = replace(sample.input_bound(), findings=(), abstained=(Abstention(rule="low_mfu", why="no peak is known"),))
    budgets = [verdict_of(replace(base, budget_s=given)).next_command for given in (30.0, 600.0)]
    assert [command.split()[2:4] for command in budgets] == [["--budget", "60"], ["--budget", "20m"]]
