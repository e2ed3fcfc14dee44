"""The script's own options are told as argparse knows them, and the script gets what it would get alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wild.probing import probe

from advisor.agent.observe.arguments import ArgumentWatch

from ..launched import advised, plain


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArgumentWatch]:
    found = ArgumentWatch()
    found.install()
    monkeypatch.setattr(sys, "argv", ["train.py"])
    yield found
    found.remove()


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *words])


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    made.add_argument("-b", "--batch-size", type=int, default=32)
    made.add_argument("--lr", type=float, default="0.1")
    made.add_argument("--amp", action="store_true")
    made.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    made.add_argument("--api-key", default="secret")
    made.add_argument("--sizes", type=int, nargs="+", default=[1])
    return made


def told(watch: ArgumentWatch) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in watch.describe()}


def test_numbers_switches_and_choices_are_told_with_their_defaults(watch: ArgumentWatch) -> None:
    parser().parse_args()
    assert {name: (entry["kind"], entry["default"]) for name, entry in told(watch).items()} == {
        "batch_size": ("int", 32),
        "lr": ("float", 0.1),
        "amp": ("bool", False),
        "precision": ("choice", "fp32"),
    }


def test_text_is_never_told(watch: ArgumentWatch) -> None:
    parser().parse_args()
    assert "secret" not in str(watch.describe())


def test_what_was_typed_is_the_value(watch: ArgumentWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "-b", "64")
    parser().parse_args()
    entry = told(watch)["batch_size"]
    assert (entry["flags"], entry["value"], entry["typed"]) == (["-b", "--batch-size"], 64, True)


def test_what_was_not_typed_is_not_said_to_be(watch: ArgumentWatch) -> None:
    parser().parse_args()
    assert not told(watch)["batch_size"]["typed"]


def test_a_parser_of_other_words_is_not_the_command_line(watch: ArgumentWatch) -> None:
    parser().parse_args(["--batch-size", "8"])
    assert watch.describe() == []


def test_the_command_line_handed_over_by_hand_is_it(watch: ArgumentWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "--batch-size", "8")
    parser().parse_args(sys.argv[1:])
    assert told(watch)["batch_size"]["value"] == 8


def test_options_of_a_subcommand_are_told(watch: ArgumentWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    outer = argparse.ArgumentParser()
    outer.add_argument("--workers", type=int, default=4)
    outer.add_subparsers().add_parser("train").add_argument("--bs", type=int, default=16)
    typed(monkeypatch, "train", "--bs", "32")
    outer.parse_args()
    assert {name: (entry["value"], entry["only_ahead"]) for name, entry in told(watch).items()} == {
        "bs": (32, False),
        "workers": (4, True),
    }


def test_options_are_told_where_only_some_words_are_known(
    watch: ArgumentWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, "--unknown", "1", "--lr", "0.5")
    parser().parse_known_args()
    assert told(watch)["lr"]["value"] == 0.5


def test_what_was_parsed_last_stands(watch: ArgumentWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    parser().parse_args()
    typed(monkeypatch, "--lr", "0.3")
    parser().parse_args()
    assert told(watch)["lr"]["value"] == 0.3


def test_a_class_of_the_librarys_is_seen(watch: ArgumentWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    class Library(argparse.ArgumentParser):
        def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
            return super().parse_known_args(args, namespace)

    library = Library()
    library.add_argument("--batch-size", type=int, default=4)
    typed(monkeypatch, "--batch-size", "6")
    library.parse_args()
    assert told(watch)["batch_size"]["value"] == 6


def test_choices_without_end_are_not_read_to_it(watch: ArgumentWatch) -> None:
    class Endless:
        def __contains__(self, _value: object) -> bool:
            return True

        def __iter__(self) -> Iterator[int]:
            while True:
                yield 1

    made = argparse.ArgumentParser()
    made.add_argument("--seed", type=int, choices=Endless(), default=1, metavar="N")  # type: ignore[arg-type]
    made.parse_args()
    assert told(watch)["seed"]["kind"] == "int"


def test_nothing_is_left_on_argparse(watch: ArgumentWatch) -> None:
    watch.remove()
    assert argparse.ArgumentParser.parse_known_args.__module__ == "argparse"
    parser().parse_args()
    assert watch.describe() == []


SCRIPT = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--batch-size", type=int, default=4, help="samples")
args = parser.parse_args()
print(args)
"""
TRAINING = """
import torch
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(40):
    model(torch.ones(args.batch_size, 2)).sum().backward()
    optimizer.step()
"""


@pytest.mark.slow
def test_they_come_with_the_facts_of_the_script(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT + TRAINING)
    (tmp_path / "runs").mkdir()
    workload = probe(["train.py"], ["--batch-size", "6"], cwd=tmp_path, folder=tmp_path / "runs").workload
    assert workload is not None
    assert [(argument.name, argument.value) for argument in workload.arguments] == [("batch_size", 6)]


@pytest.mark.parametrize("words", [(), ("--batch-size", "6"), ("--help",), ("--batch-size", "six"), ("--none",)])
def test_the_script_says_and_does_what_it_does_alone(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    watched, alone = advised(tmp_path, "train.py", *words), plain(tmp_path, "train.py", *words)
    assert (watched.code, watched.out, watched.err) == (alone.code, alone.out, alone.err)


def test_a_file_of_the_users_called_argparse_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "argparse.py").write_text("class ArgumentParser:\n    pass\n")
    (tmp_path / "train.py").write_text(
        "import argparse\nprint(vars(argparse.ArgumentParser).get('parse_known_args'))\n"
    )
    ended = advised(tmp_path, "train.py")
    assert (ended.out, ended.notes("agent_error")) == ("None\n", [])
