"""Rounds that were measured before: which of them count in a later verification, and which do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report.sample import hardware

from advisor.runtime.session import Setup
from advisor.storage import record_file
from advisor.types import Command, Config
from advisor.types.comparison import VersionRun
from advisor.verification import round_log
from advisor.verification.parity import Losses
from advisor.verification.process import Process, ScriptVersion

SCRIPT = "import helper\nprint('train')\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    (folder / "helper.py").write_text("RATE = 0.1\n")
    (folder / "unused.py").write_text("RATE = 0.2\n")
    return folder


def version(project: Path, *args: str, **settings: Any) -> ScriptVersion:
    isolation: Any = None
    command = Command(target="train.py", is_module=False, args=args, cwd=str(project), interpreter="/nowhere/python")
    side: Any = "after" if settings else "before"
    return ScriptVersion(name="", side=side, command=command, isolation=isolation, config=Config.of(settings))


def process(version: ScriptVersion, seconds: float = 1.0) -> Process:
    run = VersionRun(side=version.side, updates=10, seconds=seconds, samples=80, disturbed=True)
    losses = Losses(first=3, values=(1.0, None, 0.5), not_finite=1)
    return Process(run=run, losses=losses, peak_bytes=1000, set_up_s=2.0)


def digest(version: ScriptVersion) -> str | None:
    return round_log.identity(version, hardware(), "2.6")


def keep(folder: Path, versions: list[ScriptVersion], *seeds: int, seconds: float = 1.0) -> None:
    folder.mkdir(parents=True)
    for seed in seeds:
        for one in versions:
            round_log.keep(folder, one, process(one, seconds), seed, digest(one))


def earlier(folders: list[Path], versions: list[ScriptVersion]) -> round_log.EarlierRounds:
    baseline, *finalists = map(digest, versions)
    return round_log.earlier(folders, baseline, finalists)


def test_whole_rounds_are_read_as_they_were_written(project: Path, tmp_path: Path) -> None:
    versions = [version(project), version(project, threads=2)]
    keep(tmp_path / "run" / "verify", versions, 0, 1)
    found = earlier([tmp_path / "run"], versions)
    assert len(found) == 2
    assert found.baseline == (process(versions[0]),) * 2
    assert found.candidates == ((process(versions[1]),) * 2,)


def test_half_a_round_does_not_count(project: Path, tmp_path: Path) -> None:
    baseline, candidate = version(project), version(project, threads=2)
    folder = tmp_path / "run" / "verify"
    keep(folder, [baseline, candidate], 0)
    round_log.keep(folder, baseline, process(baseline), 1, digest(baseline))
    assert len(earlier([tmp_path / "run"], [baseline, candidate])) == 1


def test_of_several_finalists_the_rounds_of_all_count(project: Path, tmp_path: Path) -> None:
    versions = [version(project), version(project, threads=1), version(project, threads=2)]
    keep(tmp_path / "run" / "verify", versions, 0)
    keep(tmp_path / "run" / "verify-2", versions[:2], 1)
    assert len(earlier([tmp_path / "run"], versions)) == 1
    assert len(earlier([tmp_path / "run"], versions[:2])) == 2


def test_verifications_continue_each_other_across_runs(project: Path, tmp_path: Path) -> None:
    versions = [version(project), version(project, threads=2)]
    keep(tmp_path / "first" / "verify", versions, 0, 1)
    keep(tmp_path / "second" / "verify", versions, 2, 3)
    assert len(earlier([tmp_path / "second", tmp_path / "first"], versions)) == 4


def test_a_fresh_verification_begins_a_new_series(project: Path, tmp_path: Path) -> None:
    versions = [version(project), version(project, threads=2)]
    keep(tmp_path / "first" / "verify", versions, 0, 1, 2)
    keep(tmp_path / "second" / "verify", versions, 0, 1, seconds=2.0)
    found = earlier([tmp_path / "second", tmp_path / "first"], versions)
    assert [one.run.seconds for one in found.baseline] == [2.0, 2.0]


def test_a_series_without_its_beginning_is_not_used(project: Path, tmp_path: Path) -> None:
    versions = [version(project), version(project, threads=2)]
    keep(tmp_path / "second" / "verify", versions, 2, 3)
    assert len(earlier([tmp_path / "second"], versions)) == 0


@pytest.mark.parametrize(("file", "counts"), [("train.py", False), ("helper.py", False), ("unused.py", True)], ids=str)
def test_rounds_of_another_text_do_not_count(project: Path, tmp_path: Path, file: str, counts: bool) -> None:
    versions = [version(project), version(project, threads=2)]
    keep(tmp_path / "run" / "verify", versions, 0)
    (project / file).write_text("RATE = 0.3\n" if file != "train.py" else SCRIPT + "print('more')\n")
    assert len(earlier([tmp_path / "run"], versions)) == counts


def test_nor_do_those_of_other_arguments_settings_machines_or_threads(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [version(project), version(project, threads=2)]
    keep(tmp_path / "run" / "verify", versions, 0)
    assert not len(earlier([tmp_path / "run"], [version(project, "--epochs=2"), versions[1]]))
    assert not len(earlier([tmp_path / "run"], [versions[0], version(project, threads=3)]))
    machine = hardware()
    other = replace(machine, cpu=replace(machine.cpu, usable_cpus=machine.cpu.usable_cpus + 1))
    assert round_log.identity(versions[0], other, "2.6") != digest(versions[0])
    assert round_log.identity(versions[0], machine, "2.7") != digest(versions[0])
    monkeypatch.setenv("OMP_NUM_THREADS", "13")
    assert not len(earlier([tmp_path / "run"], versions))


def test_constants_of_the_script_are_settings_too(project: Path) -> None:
    plain = version(project)
    set_to = [replace(plain, setup=Setup(constants={"__main__": {"WORKERS": count}})) for count in (2, 4)]
    assert len({digest(plain), *map(digest, set_to)}) == 3


def test_a_function_has_no_file_to_compare(project: Path, tmp_path: Path) -> None:
    function = version(project)
    function = replace(function, command=replace(function.command, function="train() of train.py"))
    assert digest(function) is None
    assert len(round_log.earlier([tmp_path], None, [None])) == 0


def test_rounds_of_an_older_advisor_and_damaged_ones_are_passed_over(project: Path, tmp_path: Path) -> None:
    from advisor.storage import record_file

    versions = [version(project), version(project, threads=2)]
    folder = tmp_path / "run" / "verify"
    keep(folder, versions, 0)
    old = {"side": "before", "updates": 50, "seconds": 2.0, "samples": 400, "seed": 1}
    for record in (old, {**old, "of": digest(versions[0])}, {**old, "losses": ["x"], "of": digest(versions[0])}):
        record_file.append(folder / round_log.PROCESSES_FILE, record)
    with (folder / round_log.PROCESSES_FILE).open("a") as file:
        file.write('{"check":"0","record":{}}\n')
    assert len(earlier([tmp_path / "run"], versions)) == 1


def test_a_renewed_key_makes_no_other_training(project: Path) -> None:
    runs = (("a", "1"), ("b", "1"), ("b", "2"))
    old, new, other = (digest(version(project, "--api-key", key, "--lr", rate)) for key, rate in runs)
    assert old == new != other


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": 10**400},
        {"seconds": float("nan")},
        {"updates": 10**400},
        {"updates": None},
        {"losses": [10**400]},
        {"losses": "none"},
    ],
    ids=str,
)
def test_numbers_that_nobody_can_have_measured_do_not_count(
    wrong: dict[str, Any], project: Path, tmp_path: Path
) -> None:
    one = version(project)
    keep(tmp_path / "run" / "verify", [one], 0)
    path = tmp_path / "run" / "verify" / round_log.PROCESSES_FILE
    (record,) = record_file.read(path).records
    assert len(earlier([tmp_path / "run"], [one])) == 1
    path.unlink()
    record_file.append(path, {**record, **wrong})
    assert len(earlier([tmp_path / "run"], [one])) == 0
