"""Which constant of a script stands for which knob, and what a value of the knob changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from advisor.errors import UsageError
from advisor.rules._examples import evolve, train_loader
from advisor.target import script_options
from advisor.target.option_effects import effect_of
from advisor.target.option_roles import check_mapped, constants_by_module, describe_options, find_options, parse_mapped
from advisor.target.script_options import CommandLine
from advisor.types import Command, Config, Workload

from .test_script_options import OWN_BATCHES, option, workload


@pytest.fixture
def script(tmp_path: Path) -> Any:
    """Writes the script, with a line that reads every name that it assigns, and returns its command."""

    def write(text: str, *args: str, **others: str) -> Command:
        for name, content in others.items():
            (tmp_path / f"{name}.py").write_text(content)
        names = [line.partition("=")[0].strip() for line in text.splitlines() if "=" in line and line[0].isalpha()]
        (tmp_path / "train.py").write_text(f"{text}\nprint({', '.join(names)})\n")
        return Command(target="train.py", is_module=False, args=args, cwd=str(tmp_path), interpreter="/py")

    return write


def line(command: Command, found: Workload | None = None, *, mapped: tuple[str, ...] = ()) -> CommandLine:
    described = found if found is not None else workload()
    return script_options.command_line(OWN_BATCHES.hardware, described, command, parse_mapped(mapped))


def roles(command: Command, found: Workload | None = None, *mapped: str) -> dict[str, str]:
    options = find_options(found if found is not None else workload(), command, parse_mapped(mapped))
    return {one.flag: one.role for one in options if one.why_closed is None}


# --- which constant is which ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("BATCH_SIZE = 64", "micro_batch"),
        ("batch_size = 64", "micro_batch"),
        ("BS = 64", "micro_batch"),
        ("TRAIN_BATCH_SIZE = 64", "micro_batch"),
        ("_BATCH_SIZE = 64", "micro_batch"),
        ("NUM_WORKERS = 2", "num_workers"),
        ("N_WORKERS = 0", "num_workers"),
        ("WORKERS = 2", "num_workers"),
        ("LR = 1e-3", "learning_rate"),
        ("LEARNING_RATE = 1", "learning_rate"),
        ("ACCUM_STEPS = 4", "accumulation"),
        ("GRAD_ACCUM = 4", "accumulation"),
        ("TOTAL_BATCH_SIZE = 512", "global_batch"),
        ("EPOCHS = 3", "epochs"),
    ],
)
def test_a_constant_is_known_by_its_name(script: Any, text: str, role: str) -> None:
    command = script(text)
    assert list(roles(command).values()) == ([role] if text[0] != "_" else [])  # the fixture reads no such name
    assert list(roles(script(f"{text}\nread = [{text.partition(' ')[0]}]")).values()) == [role]


@pytest.mark.parametrize(
    "text",
    [
        "EVAL_BATCH_SIZE = 64",
        "TEST_BATCH_SIZE = 64",
        "VAL_BATCH_SIZE = 64",
        "BATCH_SIZE = 0.5",
        "BATCH_SIZE = 'large'",
        "BATCH_SIZE = True",
        "NUM_WORKERS = -1",
        "LR = '0.1'",
        "LR_DECAY = 0.1",
        "BATCHES = 100",
        "MAX_WORKERS_PER_HOST = 3",
        "for batch in (): pass\nfor lr in (): pass",
        "batch = f()",
    ],
)
def test_what_only_looks_like_one_is_none(script: Any, text: str) -> None:
    assert find_options(workload(), script(text), {}) == ()


def test_an_option_of_the_same_meaning_comes_first(script: Any) -> None:
    assert roles(script("BATCH_SIZE = 64"), workload(option("--bs", value=64))) == {"--bs": "micro_batch"}


def test_of_two_the_more_usual_name_counts(script: Any) -> None:
    assert roles(script("MINIBATCH_SIZE = 4\nBATCH_SIZE = 64")) == {"BATCH_SIZE": "micro_batch"}


def test_two_of_one_name_are_not_chosen_from(script: Any) -> None:
    command = script("class A:\n    batch_size = 64\nclass B:\n    batch_size = 8\nbatch_size = 2")
    made = line(command)
    assert made.argument_knobs == ()
    assert {one.what for one in made.closed} == {"micro_batch", "global_batch"}
    assert all("have the same meaning: choose with mapped='micro_batch=" in one.why for one in made.closed)
    assert roles(command, None, "micro_batch=B.batch_size") == {"B.batch_size": "micro_batch"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("BATCH_SIZE = 64\nBATCH_SIZE = 32", "BATCH_SIZE of train.py is assigned more than once, in lines 1, 2"),
        ("BATCH_SIZE = 8 * 8", "BATCH_SIZE of train.py is not a plain literal in line 1"),
        ("batch_size = f(x)", "batch_size of train.py is not a plain literal in line 1"),
    ],
)
def test_a_constant_that_cannot_be_set_closes_its_knobs_with_the_reason(script: Any, text: str, why: str) -> None:
    made = line(script(text))
    assert [(one.what, one.why) for one in made.closed] == [("micro_batch", why), ("global_batch", why)]
    assert made.argument_knobs == ()


def test_what_was_found_is_told_with_its_line(script: Any) -> None:
    command = script("BATCH_SIZE = 64\nimport config\nLR = config.LR\nEPOCHS = 2 * 3", config="LR = 0.1")
    assert describe_options(find_options(workload(), command, {})) == (
        "BATCH_SIZE = 64 (line 1 of train.py): samples per batch",
        "config.LR = 0.1 (line 1 of config.py): learning rate",
        "EPOCHS of train.py is not a plain literal in line 4: not used as epochs",
    )


def test_a_function_has_none(script: Any) -> None:
    assert find_options(workload(), replace(script("BATCH_SIZE = 64"), function="train()"), {}) == ()


# --- what the user maps -----------------------------------------------------------------------------------------------


def test_another_name_is_mapped(script: Any) -> None:
    command = script("ROWS = 16")
    assert line(command, mapped=("micro_batch=ROWS",)).by_module(Config.of({"global_batch": 32})) == {"": {"ROWS": 32}}
    assert line(command, mapped=("micro_batch=ROWS:16",)).of("global_batch") is not None


@pytest.mark.parametrize(
    ("mapped", "why"),
    [
        ("micro_batch=ROWS:32", "ROWS is 16 in line 1 of train.py, not 32"),
        ("micro_batch=ROW", "train.py has no constant ROW; did you mean ROWS?"),
        ("micro_batch=NAME", "NAME is 'x' in line 2 of train.py, which is not a number for micro_batch"),
        ("micro_batch=TWICE:1", "TWICE of train.py is assigned more than once"),
    ],
)
def test_a_constant_that_cannot_be_mapped_is_told_before_anything_runs(script: Any, mapped: str, why: str) -> None:
    command = script("ROWS = 16\nNAME = 'x'\nTWICE = 1\nTWICE = 2")
    with pytest.raises(UsageError, match=why):
        check_mapped(parse_mapped([mapped]), command)


@pytest.mark.parametrize("mapped", ["micro_batch=--ROW", "micro_batch=data.rows:16", "micro_batch=ROW"])
def test_an_option_is_no_constant(script: Any, mapped: str) -> None:
    check_mapped(parse_mapped([mapped]), script("ROWS = 16", "ROW=16"))


# --- what goes into the script ----------------------------------------------------------------------------------------


def test_a_larger_batch_takes_the_rate_with_it_each_in_its_own_file(script: Any) -> None:
    made = line(script("BATCH_SIZE = 64\nimport config\nLR = config.LR", config="LR = 0.1"))
    wanted = Config.of({"global_batch": 128, "threads": 2})
    assert made.constants(wanted) == {"global_batch": {"BATCH_SIZE": 128, "config.LR": 0.1414}}
    assert made.by_module(wanted) == {"": {"BATCH_SIZE": 128}, "config": {"LR": 0.1414}}
    assert made.arguments(wanted) == {}
    assert script_options.describe_rate(made, wanted) == "config.LR goes from 0.1 to 0.1414 with the batch"


def test_an_option_and_a_constant_may_stand_for_one_knob(script: Any) -> None:
    made = line(script("BATCH_SIZE = 64"), workload(option("--lr", value=0.1)))
    wanted = Config.of({"global_batch": 128})
    assert made.constants(wanted) == {"global_batch": {"BATCH_SIZE": 128}}
    assert made.arguments(wanted) == {"global_batch": {"--lr": 0.1414}}


def test_pieces_and_their_number_change_together(script: Any) -> None:
    made = line(script("BATCH_SIZE = 8\nACCUM_STEPS = 4"), workload(micro_steps=4))
    assert made.constants(Config.of({"micro_batch": 16})) == {"micro_batch": {"BATCH_SIZE": 16, "ACCUM_STEPS": 2}}
    assert [knob.effect for knob in made.argument_knobs] == ["numerics", "training"]


def test_a_number_of_pieces_that_was_not_seen_is_not_believed(script: Any) -> None:
    made = line(script("BATCH_SIZE = 8\nACCUM_STEPS = 4"), workload(micro_steps=1))
    assert made.of("micro_batch") is None
    assert "ACCUM_STEPS is 4, and an update was seen to take 1 backward passes" in made.closed[0].why


def test_a_loader_that_can_be_switched_is_preferred(script: Any) -> None:
    loaded: Workload = evolve(OWN_BATCHES.workload, {"loaders": (train_loader(),)})
    assert line(script("BATCH_SIZE = 64\nNUM_WORKERS = 2"), loaded).argument_knobs == ()


# --- what it does to the training -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("constants", "effect"),
    [
        ({}, "exact"),
        ({"BATCH_SIZE": 8}, "exact"),
        ({"BATCH_SIZE": 16}, "training"),
        ({"BATCH_SIZE": 16, "ACCUM_STEPS": 2}, "numerics"),
        ({"NUM_WORKERS": 4}, "resampled"),
        ({"LR": 0.2}, "training"),
        ({"HIDDEN": 2}, "training"),
    ],
)
def test_the_effect_is_that_of_the_knob(script: Any, constants: dict[str, Any], effect: str) -> None:
    command = script("BATCH_SIZE = 8\nACCUM_STEPS = 4\nNUM_WORKERS = 0\nLR = 0.1\nHIDDEN = 3")
    found = effect_of(constants, {}, hardware=OWN_BATCHES.hardware, workload=workload(), command=command)
    assert found == effect


def test_a_constant_that_is_gone_is_told_with_what_to_do(script: Any) -> None:
    assert constants_by_module({"LR": 0.2}, script("LR = 0.1")) == {"": {"LR": 0.2}}
    with pytest.raises(UsageError, match=r"LR of train\.py is not a plain literal in line 1; correct the entries"):
        constants_by_module({"LR": 0.2}, script("LR = 2 * 0.1"))
