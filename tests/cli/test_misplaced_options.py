"""Words behind the script that are spelled like advisor's own options: they go to the script, and that is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import forked
import pytest

from advisor.cli.misplaced_options import mistakable

TIMEOUT_S = 60
BEFORE = "options of advisor go before the script"
OWN = {"--dry-run", "--json", "--budget", "--help", "-o", "-m"}
ARGPARSE = "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('{}')\nparser.parse_args()\n"


Advisor = Callable[..., list[str]]


@pytest.fixture
def advisor(tmp_path: Path) -> Advisor:
    """Runs a command that ends before any script is started; gives its lines on stderr."""
    (tmp_path / "train.py").write_text(ARGPARSE.format("--epochs"))

    def run(*words: str) -> list[str]:
        done = forked.advisor(tmp_path, *words, limit_s=TIMEOUT_S)
        assert done.returncode == 2, done.stderr
        return done.stderr.splitlines()

    return run


@pytest.mark.slow
@pytest.mark.parametrize("command", ["tune", "profile"])
def test_an_option_behind_the_script_is_told_in_a_line_before_the_start(command: str, advisor: Advisor) -> None:
    lines = advisor(command, "--budget", "soon", "train.py", "--epochs", "3", "--json", "--budget=9m", "--json")
    assert lines[0] == f"advisor: --json, --budget follow train.py and will be passed to it; {BEFORE}"
    assert len(lines) == 2


@pytest.mark.slow
def test_it_is_told_for_a_module_and_for_compare_too(advisor: Advisor) -> None:
    assert advisor("tune", "--budget", "soon", "-m", "train", "--dry-run")[0] == (
        f"advisor: --dry-run follows train and will be passed to it; {BEFORE}"
    )
    assert advisor("compare", "--against", "HEAD", "train.py", "--rounds", "3")[0] == (
        f"advisor: --rounds follows train.py and will be passed to it; {BEFORE}"
    )


@pytest.mark.parametrize("command", ["run", "verify"])
def test_an_option_that_is_missing_and_stands_behind_the_script_is_told(command: str, advisor: Advisor) -> None:
    assert advisor(command, "train.py", "--config", "advisor.yaml")[0] == (
        f"advisor: --config follows train.py and will be passed to it; {BEFORE}"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["--", "train.py", "--json"],
        ["train.py", "--", "--json"],
        ["train.py", "--epochs", "3"],
        ["train.py", "--help"],
        ["none.py", "--json"],
    ],
)
def test_nothing_is_told_where_it_is_meant_or_no_matter(words: list[str], advisor: Advisor) -> None:
    assert BEFORE not in " ".join(advisor("tune", "--budget", "soon", *words))


def told(folder: Path, *words: str, is_module: bool = False, script: str = "train.py") -> list[str]:
    target = script if is_module else str(folder / script)
    return mistakable(words, OWN, target, is_module=is_module)


@pytest.mark.parametrize(
    ("source", "told_of"),
    [
        (ARGPARSE.format("--json"), []),
        (ARGPARSE.format("--json-file"), ["--json"]),
        ("import json\n", ["--json"]),
        ("from transformers import HfArgumentParser\nclass A:\n    json: bool = False\n", []),
        ("import fire\nfire.Fire(lambda path: path)\n", ["--json"]),
        ("this is no Python", ["--json"]),
    ],
)
def test_what_the_source_seems_to_know_is_not_told(source: str, told_of: list[str], tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(source)
    assert told(tmp_path, "--json", "1") == told_of


@pytest.mark.parametrize(
    "line", ["import options", "from options import parse", "from tools import options", "from tools.options import x"]
)
def test_a_parser_in_a_module_beside_the_script_counts(line: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(line)
    (tmp_path / "tools").mkdir()
    for place in (tmp_path, tmp_path / "tools"):
        (place / "options.py").write_text(ARGPARSE.format("--json"))
    assert told(tmp_path, "--json") == []


def test_a_parser_in_the_package_of_a_module_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__main__.py").write_text("from .options import parse\nfrom . import other")
    (tmp_path / "package" / "options.py").write_text(ARGPARSE.format("--json"))
    (tmp_path / "package" / "other.py").write_text(ARGPARSE.format("-o"))
    monkeypatch.chdir(tmp_path)
    assert told(tmp_path, "--json", "-o", "x", "--budget", is_module=True, script="package") == ["--budget"]


def test_a_parser_beside_the_script_that_is_not_imported_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import torch")
    (tmp_path / "other.py").write_text(ARGPARSE.format("--json"))
    assert told(tmp_path, "--json") == ["--json"]
