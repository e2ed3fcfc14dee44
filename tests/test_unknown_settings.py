"""Settings that no knob can have are refused wherever settings come in, with the setting's name and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import pytest
import yaml

import advisor
from advisor import wire
from advisor.agent.real_run import launch
from advisor.agent.runner import EXIT_AGENT_FAILED
from advisor.errors import ExitCode, UsageError
from advisor.refused import Refused
from advisor.runtime import training_launch
from advisor.settings_file import exports
from advisor.settings_file.exports import Document
from advisor.settings_file.loaded import LoadedConfig
from advisor.target import command as commands
from advisor.types import Config

SCRIPT = "print('trained')"
TARGETS = [emitter.id for emitter in exports.all_emitters()]
Entry = Callable[[Path, dict[str, Any]], object]


def _script(folder: Path) -> Path:
    (folder / "train.py").write_text(SCRIPT)
    return folder / "train.py"


def _file(folder: Path, settings: dict[str, Any]) -> Path:
    path = folder / "advisor.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "settings": settings}))
    return path


def _artifact(target: str) -> Entry:
    return lambda _folder, settings: exports.artifacts(Document(config=Config.of(settings)), [target])


def _export(target: str) -> Entry:
    return lambda folder, settings: advisor.export(_file(folder, settings), target, folder=folder)


ENTRIES: dict[str, Entry] = {
    "load": lambda folder, settings: advisor.load(_file(folder, settings)),
    "apply": lambda folder, settings: advisor.apply(_file(folder, settings)),
    "LoadedConfig": lambda _folder, settings: LoadedConfig(settings=settings),
    "run": lambda folder, settings: advisor.run(_file(folder, settings), _script(folder)),
    "verify": lambda folder, settings: advisor.verify(_file(folder, settings), _script(folder), runs=folder),
    **{f"export {target}": _export(target) for target in TARGETS},
    **{f"artifact {target}": _artifact(target) for target in TARGETS},
    "install": lambda _folder, settings: launch.install(settings),
    "prepare": lambda _folder, settings: launch.prepare(_spec(settings)),
}
REFUSED = {
    "unknown": ({"warp_drive": 9}, "warp_drive", "remove it, or upgrade advisor"),
    "wrong": ({"num_workers": -1}, "num_workers: -1 is not an integer from 0 to 1024", "correct or remove it"),
    "of another type": ({"precision": 16}, "precision: 16 is none of bf16, fp16, tf32", "correct or remove it"),
    "beside a known one": ({"threads": 2, "warp_drive": 9}, "warp_drive", "remove it, or upgrade advisor"),
}


def _spec(settings: dict[str, Any]) -> wire.LaunchSpec:
    return wire.LaunchSpec(
        version=wire.WIRE_VERSION,
        socket="",
        token="",
        target="train.py",
        is_module=False,
        args=[],
        mode="run",
        config=settings,
    )


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("case", REFUSED)
def test_a_setting_that_no_knob_can_have_is_refused(tmp_path: Path, entry: str, case: str) -> None:
    settings, named, do = REFUSED[case]
    with pytest.raises((UsageError, Refused)) as refusal:
        ENTRIES[entry](tmp_path, settings)
    assert named in str(refusal.value)
    assert do in str(refusal.value)


@pytest.mark.parametrize("case", REFUSED)
def test_the_process_of_a_script_refuses_it_before_its_first_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str
) -> None:
    settings, named, do = REFUSED[case]
    command = commands.build(str(_script(tmp_path)), [], is_module=False, interpreter=None)
    code = training_launch.spawn(command, Config.of(settings), {})
    said = capfd.readouterr()
    assert (code, said.out) == (EXIT_AGENT_FAILED, "")
    assert named in said.err
    assert do in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--config", "advisor.yaml", "train.py"],
        ["verify", "--config", "advisor.yaml", "train.py"],
        ["export", "advisor.yaml", "--to", "torchrun,python"],
        ["tune", "-o", "new.yaml", "--knobs", "warp_drive", "train.py"],
        ["tune", "-o", "new.yaml", "--no-knob", "warp_drive", "train.py"],
    ],
    ids=" ".join,
)
def test_a_command_that_names_it_ends_at_once(tmp_path: Path, words: list[str]) -> None:
    _script(tmp_path), _file(tmp_path, {"warp_drive": 9})
    done = forked.advisor(tmp_path, *words, limit_s=60)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert "unknown knob 'warp_drive'" in done.stderr
    assert "advisor explain" in done.stderr or {"activation_checkpointing", "allocator"} <= set(done.stderr.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["advisor.yaml", "train.py"]
