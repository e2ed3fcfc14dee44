"""Which option of a script stands for which knob, and what goes on its command line for a value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advisor.errors import UsageError
from advisor.rules._examples import conv_model, evolve, healthy_cpu, model, optimizer, train_loader
from advisor.target import script_options
from advisor.target.option_roles import describe_options, find_options, parse_mapped
from advisor.target.script_options import CommandLine
from advisor.types import Argument, Command, Config, Workload

OWN_BATCHES = evolve(healthy_cpu(), {"workload": {"loaders": (), "models": (model(),)}})


def option(*flags: str, value: Any, **changes: Any) -> Argument:
    name = flags[-1].lstrip("-").replace("-", "_")
    kind = "float" if isinstance(value, float) else "int"
    values = {"flags": flags, "name": name, "kind": kind, "default": value, "value": value, "typed": False}
    return Argument(**{**values, **changes})


def workload(*found: Argument, micro_steps: int = 1, **changes: Any) -> Workload:
    facts = {"micro_steps": micro_steps}
    made: Workload = evolve(OWN_BATCHES.workload, {"arguments": found, "facts": facts, **changes})
    return made


def command(*args: str) -> Command:
    return Command(target="train.py", is_module=False, args=args, cwd="/", interpreter="/py")


def line(found: Workload, *args: str, mapped: tuple[str, ...] = ()) -> CommandLine:
    return script_options.command_line(OWN_BATCHES.hardware, found, command(*args), parse_mapped(mapped))


def flags(made: CommandLine, knob: str, value: int) -> dict[str, Any]:
    return made.arguments(Config.of({knob: value}))[knob]


# --- which option is which --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "role"),
    [
        ("--batch-size", "micro_batch"),
        ("--batch_size", "micro_batch"),
        ("--bs", "micro_batch"),
        ("--per_device_train_batch_size", "micro_batch"),
        ("--num-workers", "num_workers"),
        ("--gradient_accumulation_steps", "accumulation"),
        ("--total-batch-size", "global_batch"),
        ("--epochs", "epochs"),
    ],
)
def test_an_option_is_known_by_its_name(flag: str, role: str) -> None:
    (found,) = find_options(workload(option(flag, value=8)), command(), {})
    assert (found.role, found.flag, found.value) == (role, flag, 8)


@pytest.mark.parametrize(
    "entry",
    [
        option("--batch-size", value=0.5),
        option("--batch-size", value=None),
        option("--eval-batch-size", value=8),
        option("--test-batch-size", value=8),
        option("--workers", value=-1),
        option("--lr", value="0.1", kind="choice"),
    ],
    ids=["a fraction", "no value", "of the evaluation", "of the test", "negative", "a word"],
)
def test_what_only_looks_like_one_is_none(entry: Argument) -> None:
    assert find_options(workload(entry), command(), {}) == ()


def test_of_two_the_more_usual_name_counts() -> None:
    found = find_options(workload(option("--minibatch-size", value=4), option("--batch-size", value=64)), command(), {})
    assert [entry.flag for entry in found] == ["--batch-size"]


def test_the_long_form_is_what_is_written() -> None:
    assert find_options(workload(option("-b", "--bs", value=4)), command(), {})[0].flag == "--bs"


def test_a_rate_may_be_a_whole_number() -> None:
    assert find_options(workload(option("--lr", value=1, kind="float")), command(), {})[0].role == "learning_rate"


def test_what_was_found_is_told_with_its_origin() -> None:
    found = workload(option("--bs", value=8, typed=True), option("--lr", value=0.1), option("--epochs", value=3))
    assert describe_options(find_options(found, command(), {})) == (
        "--bs 8 (as passed): samples per batch",
        "--lr 0.1 (its default): learning rate",
        "--epochs 3 (its default): epochs",
    )


# --- what the user maps -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("micro_batch", "expected KNOB=FLAG"),
        ("micro_batch=", "expected KNOB=FLAG"),
        ("micro_batch=--a b", "expected KNOB=FLAG"),
        ("=--bs", "expected KNOB=FLAG"),
        ("micro_batch=--bs:many", "expected KNOB=FLAG"),
        ("warp=--bs", "unknown knob 'warp': expected one of"),
    ],
)
def test_what_cannot_be_mapped_says_how_it_is_written(words: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_mapped([words])


def test_nothing_is_mapped_twice() -> None:
    with pytest.raises(UsageError, match="already mapped to --a"):
        parse_mapped(["micro_batch=--a", "micro_batch=--b"])


def test_a_mapped_option_takes_its_value_from_argparse() -> None:
    made = line(workload(option("--my-flag", value=16)), mapped=("micro_batch=--my-flag",))
    assert flags(made, "global_batch", 32) == {"--my-flag": 32}


def test_of_a_script_without_argparse_it_is_read_where_it_was_typed() -> None:
    made = line(workload(), "--my-flag", "16", mapped=("micro_batch=--my-flag",))
    assert flags(made, "global_batch", 32) == {"--my-flag": 32}


def test_its_value_can_be_said() -> None:
    made = line(workload(), mapped=("micro_batch=batch:16",))
    assert made.command(command("x"), Config.of({"global_batch": 64})).args == ("x", "batch=64")


def test_without_a_value_the_knob_is_closed_with_what_to_do() -> None:
    made = line(workload(), mapped=("micro_batch=--my-flag",))
    assert [(entry.what, "mapped='micro_batch=--my-flag:VALUE'" in entry.why) for entry in made.closed] == [
        ("micro_batch", True)
    ] * len(made.closed)
    assert made.argument_knobs == ()


def test_what_is_mapped_comes_before_what_a_name_suggests() -> None:
    found = workload(option("--batch-size", value=4), option("--rows", value=16))
    assert flags(line(found, mapped=("micro_batch=--rows",)), "global_batch", 32) == {"--rows": 32}


# --- the knobs --------------------------------------------------------------------------------------------------------


def test_a_batch_of_the_scripts_own_is_doubled_and_more() -> None:
    made = line(workload(option("--bs", value=12)))
    knob = made.of("global_batch")
    assert knob is not None
    assert (knob.values, knob.effect) == ((24, 48, 96), "training")


def test_the_global_batch_counts_what_accumulates() -> None:
    made = line(workload(option("--bs", value=12), micro_steps=4))
    assert flags(made, "global_batch", 96) == {"--bs": 24}


@pytest.mark.parametrize(("name", "rate"), [("SGD", 0.2), ("AdamW", 0.1414)])
def test_the_learning_rate_goes_with_the_batch(name: str, rate: float) -> None:
    found = workload(option("--bs", value=12), option("--lr", value=0.1), optimizers=(optimizer(class_name=name),))
    assert flags(line(found), "global_batch", 24) == {"--bs": 24, "--lr": rate}


def test_that_it_does_is_told() -> None:
    found = workload(option("--bs", value=12), option("--lr", value=0.1), optimizers=(optimizer(class_name="SGD"),))
    assert script_options.describe_rate(line(found), Config.of({"global_batch": 24})) == (
        "--lr goes from 0.1 to 0.2 with the batch"
    )


def test_with_accumulation_the_pieces_change_and_the_update_stays() -> None:
    made = line(workload(option("--bs", value=8), option("--accumulation-steps", value=4), micro_steps=4))
    knob = made.of("micro_batch")
    assert knob is not None
    assert dict(knob.arguments) == {
        16: {"--bs": 16, "--accumulation-steps": 2},
        32: {"--bs": 32, "--accumulation-steps": 1},
        4: {"--bs": 4, "--accumulation-steps": 8},
        2: {"--bs": 2, "--accumulation-steps": 16},
    }


def test_pieces_that_make_an_update_of_another_size_are_none() -> None:
    found = workload(option("--bs", value=8), option("--accumulation-steps", value=4), micro_steps=1)
    made = line(found)
    assert (made.of("micro_batch"), "4" in made.closed[0].why) == (None, True)


@pytest.mark.parametrize(("net", "effect"), [(model(), "numerics"), (conv_model(), "training")])
def test_smaller_pieces_change_the_training_where_a_batch_is_normalised(net: Any, effect: str) -> None:
    found = workload(option("--bs", value=8), option("--accum-steps", value=2), micro_steps=2, models=(net,))
    knob = line(found).of("micro_batch")
    assert knob is not None
    assert knob.effect == effect


def test_a_loader_of_torch_is_set_in_the_running_process() -> None:
    found = workload(option("--bs", value=8), option("--workers", value=2), loaders=(train_loader(),))
    assert line(found).argument_knobs == ()


def test_unless_the_user_maps_it() -> None:
    found = workload(option("--bs", value=8), loaders=(train_loader(),))
    assert line(found, mapped=("micro_batch=--bs",)).of("global_batch") is not None


@pytest.mark.parametrize(("written", "opened"), [(0, False), (2, True)])
def test_workers_of_the_script_are_no_knob_where_they_would_repeat_draws(written: int, opened: bool) -> None:
    facts = {"dataset_generators": ("Pictures.rng",)}
    loader = train_loader(num_workers=written)
    found = workload(option("--workers", value=written), loaders=(loader,), facts=facts)
    assert (line(found, mapped=("num_workers=--workers",)).of("num_workers") is not None) is opened


def test_an_option_before_a_subcommand_is_set_only_where_it_was_typed() -> None:
    closed = line(workload(option("--bs", value=8, only_ahead=True)))
    opened = line(workload(option("--bs", value=8, only_ahead=True, typed=True)))
    assert (closed.of("global_batch"), opened.of("global_batch") is not None) == (None, True)
    assert "precedes a subcommand's options" in closed.closed[0].why


def test_the_rest_of_the_settings_is_for_the_agent() -> None:
    made = line(workload(option("--bs", value=8)))
    config = Config.of({"global_batch": 16, "precision": "bf16"})
    assert made.live(config) == Config.of({"precision": "bf16"})
    assert made.command(command("--bs", "8", "--x"), config).args == ("--bs", "16", "--x")


# --- what a loop without a loader is told -----------------------------------------------------------------------------


def test_a_loop_without_a_loader_is_told_how_to_name_its_batch() -> None:
    made = script_options.command_line(OWN_BATCHES.hardware, workload(), command(), {}, 12.0)
    assert [one.what for one in made.closed] == ["micro_batch", "global_batch"]
    assert all("mapped='micro_batch=--batch_size:12'" in one.why for one in made.closed)


def test_a_constant_that_other_code_may_set_is_named_with_its_option(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("batch_size = 8\nexec(open('c.py').read())\nprint(batch_size)\n")
    typed = Command(target="train.py", is_module=False, args=(), cwd=str(tmp_path), interpreter="/py")
    made = script_options.command_line(OWN_BATCHES.hardware, workload(), typed, {}, 12.0)
    assert "may be set again" in made.closed[0].why
    assert "mapped='micro_batch=--batch_size:12'" in made.closed[0].why


def test_a_batch_that_was_not_seen_is_not_made_up() -> None:
    assert script_options.command_line(OWN_BATCHES.hardware, workload(), command(), {}, None).closed == ()
    assert script_options.command_line(OWN_BATCHES.hardware, workload(), command(), {}, 31.4).closed == ()
