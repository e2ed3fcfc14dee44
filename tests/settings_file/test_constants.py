"""Constants of the script in `advisor.yaml`: written, read back, refused, and exported as a change of the source."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report import sample_tuning

from advisor.errors import SettingsWarning, UsageError
from advisor.settings_file import exports
from advisor.settings_file.advisor_yaml import parse
from advisor.settings_file.exports import Document
from advisor.settings_file.loaded import LoadedConfig, as_yaml
from advisor.types import Config, TuneResult

SCRIPT = "import config\n\nBATCH_SIZE = 64  # rows\nprint(BATCH_SIZE, config.LR)"


def searched() -> TuneResult:
    found = sample_tuning.faster()
    recommendation = replace(
        found.recommendation,
        config=Config.of({"num_workers": 2, "global_batch": 128}),
        passed_as_arguments={"global_batch": {"--lr": 0.5}},
        constants={"global_batch": {"BATCH_SIZE": 128, "config.Rest.size": 0.5}},
    )
    return replace(found, recommendation=recommendation)


# --- the file ---------------------------------------------------------------------------------------------------------


def test_what_is_written_is_what_is_read() -> None:
    text = as_yaml(searched())
    document = parse(text, Path("advisor.yaml"))
    assert document.config.as_dict() == {"num_workers": 2}
    assert document.arguments == {"--lr": 0.5}
    assert document.constants == {"BATCH_SIZE": 128, "config.Rest.size": 0.5}
    assert document.stand_for == dict.fromkeys(["--lr", "BATCH_SIZE", "config.Rest.size"], "global_batch")
    assert "# Constants of the script: advisor run sets them before it runs; the file stays as it is." in text


def test_a_file_without_constants_has_no_such_entry() -> None:
    assert "onstants" not in as_yaml(sample_tuning.faster())


@pytest.mark.parametrize("value", ["64", "0.5", "true", "adam", "-3"])
def test_constants_are_numbers_and_words(value: str) -> None:
    assert len(parse(f"version: 1\nconstants: {{B: {value}}}", Path("a.yaml")).constants) == 1


@pytest.mark.parametrize(
    ("constants", "why"),
    [
        ("{1x: 2}", "'1x' is not the name of a constant such as BATCH_SIZE"),
        ("{a-b: 2}", "'a-b' is not the name"),
        ("{a..b: 2}", r"'a\.\.b' is not the name"),
        ("{'a b': 2}", "'a b' is not the name"),
        ("{B: .inf}", "B is inf: expected a finite number or one word"),
        (f"{{B: {10**400}}}", "B is more than 1e.15"),
        ("{B: [1]}", "B holds a list"),
        ("{B: 'rm -r'}", "B holds a text: expected a number or one word"),
        ("{B: /etc/passwd}", "B holds a text"),
        ("[B]", "constants holds a list"),
        ("{" + ", ".join(f"B{n}: 1" for n in range(21)) + "}", "has 21 constants"),
    ],
)
def test_anything_else_is_refused(constants: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse(f"version: 1\nconstants: {constants}", Path("a.yaml"))


def test_a_program_that_applies_the_file_is_told_what_it_cannot_have() -> None:
    loaded = LoadedConfig(settings={}, text="version: 1\nconstants: {BATCH_SIZE: 128}\narguments: {--lr: 2}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded.apply()
    (one,) = caught
    assert one.category is SettingsWarning
    assert str(one.message) == (
        "not applied: --lr: an option of the script: set it to 2; BATCH_SIZE: a constant of the script: set it to 128"
    )


# --- the change of the source -----------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "a project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "train.py").write_text(SCRIPT)
    (folder / "src" / "config.py").write_bytes(b"import json\r\nLR = 1e-3\r\n")
    return folder


def patch(folder: Path, constants: dict[str, Any], command: str = "src/train.py --fast") -> str:
    found = {"command": command, "folder": str(folder)}
    document = Document(config=Config.of({"threads": 2}), constants=constants, found=found)
    (made,) = exports.artifacts(document, ["patch"])
    assert [one.what for one in made.not_expressed] == ["threads=2"]
    return made.content


CHANGED = SCRIPT.replace("BATCH_SIZE = 64", "BATCH_SIZE = 128")


@pytest.mark.parametrize("tool", [["patch", "-p1"], ["git", "apply"]], ids=["patch", "git apply"])
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a repository"])
def test_the_patch_changes_the_literals_and_nothing_else(project: Path, tool: list[str], inside: bool) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"{tool[0]} is not installed")
    if inside:
        subprocess.run(["git", "init", "-q"], cwd=project.parent, check=True, timeout=60)
    text = patch(project, {"BATCH_SIZE": 128, "config.LR": 0.004})
    done = subprocess.run(tool, input=text.encode(), cwd=project, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (project / "src" / "train.py").read_text() == CHANGED
    assert (project / "src" / "config.py").read_bytes() == b"import json\r\nLR = 0.004\r\n"
    assert f"In the folder {project}:" in text


def test_a_script_outside_the_folder_is_changed_where_it_lies(project: Path) -> None:
    elsewhere = project.parent / "elsewhere"
    elsewhere.mkdir()
    text = patch(elsewhere, {"BATCH_SIZE": 128, "config.LR": 0.004}, command="'../a project/src/train.py'")
    assert f"In the folder {project / 'src'}:" in text
    heads = [line for line in text.splitlines() if line.startswith("---")]
    assert heads == ["--- a/train.py", "--- a/config.py"]


def test_a_module_is_found_by_its_name(project: Path) -> None:
    (project / "train.py").write_text("LR = 1\nprint(LR)\n")
    assert "--- a/train.py\n" in patch(project, {"LR": 2}, command="-m train")


def test_without_constants_there_is_nothing_to_apply(project: Path) -> None:
    assert "there is nothing to apply" in patch(project, {})


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("src/gone.py", "there is no file"),
        ("", "the file does not name its script"),
        ("-m", "the file does not name its script"),
        ("'", "the file does not name its script"),
    ],
)
def test_a_script_that_is_not_there_is_told(project: Path, command: str, why: str) -> None:
    with pytest.raises(UsageError, match=f"no patch can be made: .*{why}"):
        patch(project, {"LR": 2}, command)


@pytest.mark.parametrize("target", [one.id for one in exports.all_emitters() if one.id not in ("advisor", "patch")])
def test_other_formats_list_them(target: str) -> None:
    (made,) = exports.artifacts(Document(config=Config(), constants={"BATCH_SIZE": 128}), [target])
    assert "BATCH_SIZE=128" in [one.what for one in made.to_fill]


def test_our_own_format_is_the_file_itself() -> None:
    text = as_yaml(searched())
    (made,) = exports.artifacts(parse(text, Path("a.yaml")), ["advisor"])
    assert (made.content, made.not_expressed, made.to_fill) == (text, (), ())


def test_settings_without_a_file_make_one() -> None:
    document = Document(config=Config.of({"threads": 2}), constants={"B": 2}, arguments={"--lr": 0.1})
    (made,) = exports.artifacts(document, ["advisor"])
    again = parse(made.content, Path("a.yaml"))
    assert (again.config, again.constants, again.arguments) == (document.config, document.constants, document.arguments)
