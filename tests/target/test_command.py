"""What was typed, checked before anything is started."""

from __future__ import annotations

import os
import shlex
import sys
import zipfile
from pathlib import Path

import pytest

from advisor.errors import UsageError
from advisor.target import command


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("print(1)\n", encoding="utf-8")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text("print(1)\n", encoding="utf-8")
    return tmp_path


def refused(project: Path, target: str, *, is_module: bool = False) -> str:
    with pytest.raises(UsageError) as caught:
        command.build(target, cwd=project, is_module=is_module)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_script_is_kept_as_typed(project: Path) -> None:
    built = command.build("src/../train.py", ["--", "", "a b"], cwd=project)
    assert (built.target, built.args, built.cwd) == ("src/../train.py", ("--", "", "a b"), str(project))


def test_the_current_folder_is_the_default(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert command.build("train.py").cwd == str(project)


def test_our_own_interpreter_is_the_default(project: Path) -> None:
    assert command.build("train.py", cwd=project).interpreter == sys.executable


def test_it_is_shown_as_a_shell_would_read_it(project: Path) -> None:
    built = command.build("train.py", ["a b", "$x"], cwd=project)
    assert shlex.split(built.display) == ["train.py", "a b", "$x"]


def test_a_module(project: Path) -> None:
    built = command.build("package.train", ["--lr", "1"], cwd=project, is_module=True)
    assert (built.target, built.is_module) == ("package.train", True)


def test_a_folder_with_main(project: Path) -> None:
    (project / "src" / "__main__.py").touch()
    assert command.build("src", cwd=project).target == "src"


def test_a_zip_file(project: Path) -> None:
    with zipfile.ZipFile(project / "app.pyz", "w") as file:
        file.writestr("__main__.py", "print(1)")
    assert command.build("app.pyz", cwd=project).target == "app.pyz"


def test_a_script_without_an_ending(project: Path) -> None:
    (project / "train").write_text("#!/usr/bin/env python3\nprint(1)\n", encoding="utf-8")
    assert command.build("train", cwd=project).target == "train"


def test_a_script_that_does_not_parse_is_the_interpreters_to_tell(project: Path) -> None:
    (project / "broken.py").write_text("def (:\n", encoding="utf-8")
    assert command.build("broken.py", cwd=project).target == "broken.py"


def test_a_missing_script_names_the_near_one(project: Path) -> None:
    assert "did you mean train.py?" in refused(project, "trian.py")


def test_a_missing_script_in_a_folder_names_the_near_one_there(project: Path) -> None:
    assert "did you mean src/train.py?" in refused(project, "src/trian.py")


def test_a_missing_script_says_where_it_was_looked_for(project: Path) -> None:
    assert str(project) in refused(project, "nothing_like_it.py")


@pytest.mark.parametrize("word", ["python", "python3", "mpirun", "deepspeed"])
def test_a_launcher_in_the_scripts_place(project: Path, word: str) -> None:
    assert f"leave out {word}" in refused(project, word)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("run.sh", b"python train.py\n", "shell script"),
        ("run", b"#!/bin/bash\npython train.py\n", "a script for /bin/bash"),
        ("train.ipynb", b"{}", "nbconvert"),
        ("config.yaml", b"a: 1\n", "configuration"),
        ("CONFIG.JSON", b"{}", "configuration"),
        ("model.bin", b"\x7fELF\0\0", "binary"),
    ],
)
def test_a_file_that_is_no_python(project: Path, name: str, content: bytes, said: str) -> None:
    (project / name).write_bytes(content)
    text = refused(project, name)
    assert name in text
    assert said in text


def test_a_folder_without_main(project: Path) -> None:
    assert "without a __main__.py" in refused(project, "src")


def test_no_name(project: Path) -> None:
    assert "empty" in refused(project, "")


def test_standard_input(project: Path) -> None:
    assert "save it to a file" in refused(project, "-")


def test_a_pipe(project: Path) -> None:
    os.mkfifo(project / "pipe")
    assert "not a regular file" in refused(project, "pipe")


def test_an_unknown_option(project: Path) -> None:
    assert "unknown option or missing script --budget" in refused(project, "--budget")


def test_a_link_to_nothing(project: Path) -> None:
    (project / "link.py").symlink_to("gone.py")
    assert "there is no script" in refused(project, "link.py")


def test_a_link_to_itself(project: Path) -> None:
    (project / "loop.py").symlink_to("loop.py")
    assert "loop.py" in refused(project, "loop.py")


def test_a_name_too_long(project: Path) -> None:
    assert "cannot be read" in refused(project, "x" * 5000)


def test_a_nul_character(project: Path) -> None:
    assert "NUL" in refused(project, "train\0.py")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_script(project: Path) -> None:
    (project / "train.py").chmod(0)
    assert "cannot be read: Permission denied" in refused(project, "train.py")


@pytest.mark.parametrize("name", ["", "train.py", "a..b", ".a", "a/b"])
def test_a_name_that_is_no_module(project: Path, name: str) -> None:
    assert "module" in refused(project, name, is_module=True)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        command.build("train.py", cwd=tmp_path / "nothing")


def test_the_interpreter_of_a_virtual_environment_stays_a_link(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    # A link elsewhere loses the environment's packages, so the tool that answers is a small script.
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    (tmp_path / "link").symlink_to(python)
    assert command.find_interpreter(tmp_path / "link") == str(tmp_path / "link")


def test_the_folder_of_a_virtual_environment(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    assert command.find_interpreter(tmp_path) == str(python)


def answering(folder: Path, answer: str) -> Path:
    """A program in the interpreter's place that answers so."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{answer}\n", encoding="utf-8")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("echo advisor 3 8 1", "Python 3.8 is too old; 3.9 or newer"),
        ("echo \"('advisor', 2, 7, 0)\"", "Python 2.7 is too old"),
        ("echo advisor 3 12 0", "torch is not installed"),
        ("echo hello", "not a Python interpreter"),
        ("exit 3", "exit code 3"),
    ],
)
def test_an_interpreter_that_will_not_do(tmp_path: Path, answer: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        command.find_interpreter(answering(tmp_path, answer))


def test_an_interpreter_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "INTERPRETER_ANSWERS_S", 0.2)
    with pytest.raises(UsageError, match="no answer within"):
        command.find_interpreter(answering(tmp_path, "exec sleep 20"))


def test_an_interpreter_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        command.find_interpreter(tmp_path / "python")


def test_an_interpreter_that_may_not_be_run(tmp_path: Path) -> None:
    (tmp_path / "python").touch(mode=0o644)
    with pytest.raises(UsageError, match="not executable"):
        command.find_interpreter(tmp_path / "python")


def test_a_folder_without_an_interpreter(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no bin/python"):
        command.find_interpreter(tmp_path)


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("", "--bs=64"),
        ("--bs 32", "--bs 64"),
        ("--bs=32 data", "--bs=64 data"),
        ("--bs 32 --lr 1 --bs=16", "--bs 64 --lr 1 --bs=64"),
        ("data", "data --bs=64"),
        ("data -- --bs 32", "data --bs=64 -- --bs 32"),
        ("--bs-other 3", "--bs-other 3 --bs=64"),
    ],
)
def test_an_option_is_set_where_it_was_typed_or_at_the_end(project: Path, typed: str, wanted: str) -> None:
    built = command.build("train.py", typed.split(), cwd=project)
    assert command.with_arguments(built, {"--bs": 64}).args == tuple(wanted.split())


@pytest.mark.parametrize(("flag", "words"), [("-b", ("-b", "64")), ("-bs", ("-bs=64",)), ("bs", ("bs=64",))])
def test_an_option_is_written_as_its_kind_is(project: Path, flag: str, words: tuple[str, ...]) -> None:
    assert command.with_arguments(command.build("train.py", cwd=project), {flag: 64}).args == words


def test_one_text_is_no_list_of_arguments(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    with pytest.raises(UsageError, match=r"expected a list, as in \['--epochs', '3'\]"):
        command.build("train.py", "--epochs 3", cwd=tmp_path)
