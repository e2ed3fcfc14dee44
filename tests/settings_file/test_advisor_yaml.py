"""`advisor.yaml`: what is written is read back, and nothing hostile gets through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from advisor import knobs
from advisor.errors import UsageError
from advisor.rules._examples import healthy_cpu
from advisor.settings_file import advisor_yaml, loaded
from advisor.types import Alternative, Command, Config, Recommendation, Verdict

VERDICT = Verdict(status="unverified", speedup=1.8, low=1.6, high=2.0, rounds=3, floor=0.05)


def written(settings: dict[str, Any], **changes: Any) -> str:
    command = Command(target="train.py", is_module=False, args=("--lr", "0.1"), cwd="/home/u", interpreter="/py")
    values: dict[str, Any] = {
        "command": command,
        "hardware": healthy_cpu().hardware,
        "config": Config.of(settings),
        "verdict": VERDICT,
        **changes,
    }
    return advisor_yaml.render(
        Recommendation(**values),
        advisor="0.1.0",
        created="2026-01-01T00:00:00+00:00",
        versions={"python": "3.11", "torch": "2.13"},
        changes={"num_workers": "processes that fetch batches. Each takes memory."},
        training={"device": "cpu", "batch_size": 32},
    )


def read(tmp_path: Path, text: str | bytes) -> advisor_yaml.Document:
    path = tmp_path / "advisor.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return loaded.read_document(path)


def test_settings_come_back_as_they_were_written(tmp_path: Path) -> None:
    settings = {"num_workers": 2, "precision": "bf16", "global_batch": 128}
    assert read(tmp_path, written(settings)).config == Config.of(settings)


def test_what_the_script_takes_itself_comes_back_as_its_arguments(tmp_path: Path) -> None:
    text = written(
        {"num_workers": 2, "global_batch": 64}, passed_as_arguments={"global_batch": {"--batch-size": 64, "--lr": 0.2}}
    )
    found = read(tmp_path, text)
    assert (found.config, found.arguments) == (Config.of({"num_workers": 2}), {"--batch-size": 64, "--lr": 0.2})


def test_what_each_of_its_arguments_stands_for_is_kept(tmp_path: Path) -> None:
    text = written({"num_workers": 2}, passed_as_arguments={"num_workers": {"--my-loaders": 2}})
    assert read(tmp_path, text).stand_for == {"--my-loaders": "num_workers"}
    assert "options" not in read(tmp_path, written({"num_workers": 2})).found


@pytest.mark.parametrize("options", ["[--rows]", "{--rows: 3}", "{--other: num_workers}", "9"])
def test_what_stands_for_nothing_is_none(tmp_path: Path, options: str) -> None:
    text = f"version: 1\nsettings: {{}}\narguments: {{--rows: 9}}\nfound: {{options: {options}}}\n"
    assert read(tmp_path, text).stand_for == {}


def test_a_file_of_arguments_alone_does_not_say_that_nothing_was_found(tmp_path: Path) -> None:
    text = written({"global_batch": 64}, passed_as_arguments={"global_batch": {"--batch-size": 64}})
    assert (read(tmp_path, text).arguments, "Nothing was found" in text) == ({"--batch-size": 64}, False)


def test_no_gain_is_a_file_that_changes_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, written({})).config == Config()


def test_where_it_was_found_is_kept(tmp_path: Path) -> None:
    found = read(tmp_path, written({"num_workers": 2})).found
    assert (found["command"], found["versions"]["torch"]) == ("train.py --lr 0.1", "2.13")


def test_a_setting_says_what_it_is() -> None:
    lines = written({"num_workers": 2}).splitlines()
    assert lines[lines.index("  num_workers: 2") - 1] == "  # processes that fetch batches. Each takes memory."


def test_how_the_script_trains_is_kept_for_other_tools(tmp_path: Path) -> None:
    assert read(tmp_path, written({"num_workers": 2})).found["training"] == {"device": "cpu", "batch_size": 32}


def test_what_changes_the_training_stands_there_as_a_comment_only(tmp_path: Path) -> None:
    other = Alternative(
        changes="training", config=Config.of({"global_batch": 256}), verdict=VERDICT, note="not checked"
    )
    text = written({"num_workers": 2}, alternatives=(other,))
    assert "#   global_batch: 256" in text
    assert read(tmp_path, text).config == Config.of({"num_workers": 2})


def test_what_was_compared_with_nothing_is_not_said_to_be_measured() -> None:
    nothing = Verdict(status="no significant gain", speedup=1.0, low=1.0, high=1.0, rounds=0, floor=0.05)
    text = written({}, verdict=nothing)
    assert "# No settings were compared with the unmodified script in fresh processes." in text
    assert "Measured" not in text
    assert "speedup" not in text
    assert "interval" not in text


def test_what_the_user_has_to_know_stands_there_as_a_comment(tmp_path: Path) -> None:
    text = written({"num_workers": 2}, notes=("Raise the learning rate.\nsettings: {num_workers: 9}",))
    assert "# Raise the learning rate.?settings: {num_workers: 9}" in text
    assert read(tmp_path, text).config == Config.of({"num_workers": 2})


@given(st.text())
def test_no_argument_of_the_users_breaks_out_of_its_comment(text: str) -> None:
    command = Command(target="t.py", is_module=False, args=(text,), cwd="/", interpreter="/py")
    assert yaml.safe_load(written({"num_workers": 2}, command=command))["settings"] == {"num_workers": 2}


NESTED = "version: 1\nsettings: " + "[" * 2000 + "]" * 2000
BOMB = "version: 1\na: &a [1,1,1,1]\nb: &b [*a,*a,*a,*a]\nsettings: {num_workers: *b}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds nothing"),
        ("just text", "holds a text"),
        ("- 1\n- 2", "holds a list"),
        ("settings: {num_workers: 2}", "version: None"),
        ("version: true\nsettings: {}", "version: True"),
        ("version: 99\nsettings: {}", "upgrade advisor"),
        ("version: " + "x" * 5000, "xxx…)"),
        ('version: 1\nsettings: {"\\e[2J": null}', r"'\x1b[2J' is not the name of a knob"),
        ("version: 1\nsettings: {" + "x" * 500 + ": 1}", "is not the name of a knob"),
        ('version: 1\n"\\e[2J": 1', "unknown entries (?[2J)"),
        ("version: 1\nsettings: {'" + "x" * 300 + "': 1, '" + "x" * 300 + "': 2}", "given twice"),
        ("version: 1\nsettings: {warp_drive: 9}", "unknown knob 'warp_drive'"),
        ("version: 1\nsettings: {num_workers: many}", "'many' is not an integer"),
        ("version: 1\nsettings: {num_workers: -1}", "-1 is not an integer"),
        ("version: 1\nsettings: {num_workers: true}", "True is not an integer"),
        ("version: 1\nsettings: {num_workers: 100000000}", "is not an integer"),
        ("version: 1\nsettings: {precision: .nan}", "a finite number"),
        ("version: 1\nsettings: {precision: [bf16]}", "holds a list"),
        ("version: 1\nsettings: {precision: fp7}", "'fp7' is none of"),
        ("version: 1\nsettings: [num_workers]", "expected names and values"),
        ("version: 1\nsettings: {num_workers: 1, num_workers: 2}", "given twice"),
        ("version: 1\nnum_workers: 2", "unknown entries (num_workers)"),
        ("version: 1\nsettings: {precision: !!python/object/apply:os.system ['true']}", "cannot be read as YAML"),
        ("version: 1\nsettings: {num_workers: 2", "cannot be read as YAML"),
        ("version: 1\narguments: {--data: ../other}", "or one word"),
        ("version: 1\narguments: {--data: ..}", "or one word"),
        ("version: 1\narguments: {--data: --more}", "or one word"),
        ("version: 1\narguments: {--batch-size: [64]}", "holds a list"),
        ("version: 1\narguments: {--amp: true}", "expected a number"),
        ("version: 1\narguments: {--lr: .inf}", "a finite number"),
        ("version: 1\narguments: {'--a b': 1}", "is not an option"),
        ("version: 1\narguments: {'--a\\nb': 1}", "is not an option"),
        ("version: 1\narguments: {'': 1}", "is not an option"),
        ("version: 1\narguments: [--lr]", "expected names and values"),
        ("version: 1\narguments: {" + ", ".join(f"--a{n}: 1" for n in range(21)) + "}", "has 21 arguments"),
        (NESTED, "nested deeper than"),
        (BOMB, "aliases are not allowed"),
        ("version: 1\n# " + "x" * 70_000, "larger than"),
        (b"version: 1\nsettings: {precision: \xff}", "not UTF-8 text"),
    ],
)
def test_what_is_no_configuration_is_refused_with_its_reason(tmp_path: Path, text: str | bytes, told: str) -> None:
    with pytest.raises(UsageError) as refused:
        read(tmp_path, text)
    assert told in str(refused.value)
    assert str(tmp_path / "advisor.yaml") in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1000


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    try:
        document = read(tmp_path_factory.mktemp("any"), b"version: 1\nsettings:\n  " + data)
    except UsageError:
        return
    assert set(document.config.as_dict()) <= {knob.id for knob in knobs.all_knobs()}


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="advisor tune"):
        loaded.load(tmp_path / "none.yaml")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "advisor.yaml")
    with pytest.raises(UsageError, match="there is no settings file"):
        loaded.load(tmp_path / "advisor.yaml")
