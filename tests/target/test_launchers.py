"""Lines of torchrun and `accelerate launch`, read without torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.errors import UsageError
from advisor.target import command as commands
from advisor.target import launchers


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "is_module", "options", "target", "args"),
    [
        ("torchrun --nproc-per-node 2 train.py --lr 1", False, "--nproc-per-node 2", "train.py", "--lr 1"),
        ("torchrun --standalone --nproc_per_node=2 train.py -m 3", False, "--standalone --nproc_per_node=2", "train.py",
         "-m 3"),
        ("torch.distributed.run --nproc-per-node gpu train.py", True, "--nproc-per-node gpu", "train.py", ""),
        ("python -m torch.distributed.run -t 3 train.py", False, "-t 3", "train.py", ""),
        ("accelerate launch --multi_gpu --num_processes 2 train.py", False, "--multi_gpu --num_processes 2", "train.py",
         ""),
    ],
)  # fmt: skip
def test_a_launchers_options_end_where_the_script_begins(
    project: Path, words: str, is_module: bool, options: str, target: str, args: str
) -> None:
    first, *rest = words.split()
    built = commands.build(first, rest, is_module=is_module, cwd=project)
    assert (list(built.launcher_args), built.target, list(built.args)) == (options.split(), target, args.split())
    assert built.launcher == ("accelerate" if "accelerate" in words else "torchrun")
    assert not built.is_module


def test_a_module_under_a_launcher(project: Path) -> None:
    built = commands.build("torchrun", ["--nproc-per-node=2", "-m", "package.train", "-m"], cwd=project)
    assert (built.target, built.is_module, built.args) == ("package.train", True, ("-m",))
    assert built.display == "torchrun --nproc-per-node=2 -m package.train -m"


def test_a_line_is_shown_as_it_can_be_typed_again(project: Path) -> None:
    built = commands.build("accelerate", ["launch", "--cpu", "train.py"], cwd=project)
    assert built.display == built.typed == "accelerate launch --cpu train.py"


def test_options_of_the_script_are_changed_behind_it(project: Path) -> None:
    built = commands.build("torchrun", ["--nproc-per-node", "2", "train.py", "--lr", "1"], cwd=project)
    assert commands.with_arguments(built, {"--lr": 3}).display == "torchrun --nproc-per-node 2 train.py --lr 3"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("torchrun --nproc-per-node 2", "no script"),
        ("torchrun --no-python train.sh", "no plain Python script"),
        ("accelerate test train.py", "accelerate launch"),
        ("torchrun --nproc-per-node 2 absent.py", "no script 'absent.py'"),
    ],
)
def test_lines_that_start_no_script(project: Path, words: str, said: str) -> None:
    first, *rest = words.split()
    with pytest.raises(UsageError, match=said):
        commands.build(first, rest, cwd=project)


@pytest.mark.parametrize("option", ["--nnodes 2", "--nnodes=1:4", "--nnodes=2:4"])
def test_ranks_of_other_machines_cannot_be_reached(project: Path, option: str) -> None:
    built = commands.build("torchrun", [*option.split(), "train.py"], cwd=project)
    if option == "--nnodes=1:4":
        launchers.check_one_machine(built)
        return
    with pytest.raises(UsageError, match="other machines"):
        launchers.check_one_machine(built)


def test_a_script_of_that_name_is_a_script(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    (project / "torchrun").write_text("print()\n")
    assert launchers.read(["torchrun"], is_module=False) is None


def _flags(parser: object) -> set[str]:
    actions = [action for action in parser._actions if action.nargs == 0]  # type: ignore[attr-defined]
    return {word.replace("_", "-") for action in actions for word in action.option_strings}


def test_the_flags_are_those_of_torchrun() -> None:
    from torch.distributed.run import get_args_parser

    assert _flags(get_args_parser()) | {"--use-env"} == launchers.FLAGS["torchrun"]


@pytest.mark.frameworks
def test_the_flags_are_those_of_accelerate() -> None:
    from accelerate.commands.launch import launch_command_parser

    assert _flags(launch_command_parser()) == launchers.FLAGS["accelerate"]
