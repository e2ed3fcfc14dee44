"""`advisor compare`: what decides, what the other version consists of, and the command itself."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import forked
import pytest
from report.sample import healthy

from advisor.errors import ScriptError, Terminated, UsageError
from advisor.runtime.checkout import Checkout, checked_out
from advisor.runtime.isolation import copier
from advisor.runtime.isolation.copied import Copy
from advisor.storage.run_store import new_run, save_profile
from advisor.types.comparison import Side, VersionRun
from advisor.verification.rounds import INTERIM_ANALYSES, Rounds, run_rounds

COMMAND_S = 120
TRAINING = """
import time, torch
from torch import nn
from pause import PAUSE
print(open("data/big.txt").read())
model = nn.Linear(10, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(3000):
    optimizer.zero_grad(); model(torch.randn(8, 10)).square().mean().backward(); optimizer.step(); time.sleep(PAUSE)
"""

# --- what decides -----------------------------------------------------------------------------------------------


def processes(speed_ratio: float, noise: float = 0.01, seed: int = 1) -> Callable[[Side], VersionRun]:
    chance = random.Random(seed)

    def measure(side: Side) -> VersionRun:
        factor = speed_ratio if side == "after" else 1.0
        return VersionRun(side=side, updates=100, seconds=chance.lognormvariate(0, noise) / factor, samples=800)

    return measure


def raced(ratio: float, *, noise: float = 0.01, rounds: int = 10, threshold: float | None = None) -> Rounds:
    return run_rounds(processes(ratio, noise), rounds=rounds, threshold=threshold, budget_s=1e9)


def test_processes_are_run_in_abba_order() -> None:
    found = raced(1.0, rounds=4, threshold=0.5)
    assert [run.side for run in found.runs[:4]] == ["before", "after", "after", "before"]


def test_a_clear_difference_is_decided_at_the_first_look() -> None:
    found = raced(1.3)
    assert (found.status, len(found.pairs)) == ("faster", INTERIM_ANALYSES[0])


def test_one_that_leaves_no_doubt_is_decided_by_two_rounds() -> None:
    found = raced(3.0)
    assert (found.status, len(found.pairs)) == ("faster", 2)


def test_the_ratio_is_that_of_after_over_before() -> None:
    assert raced(0.5).ratio.value == pytest.approx(0.5, rel=0.05)  # type: ignore[union-attr]


def test_the_gate_fails_only_with_the_whole_interval_below() -> None:
    assert raced(0.5, threshold=0.95).gate == "failed"


def test_an_interval_that_holds_the_threshold_is_undecided_not_failed() -> None:
    found = raced(0.94, noise=0.2, rounds=3, threshold=0.95)
    assert (found.gate, found.ratio is not None and found.ratio.high is not None and found.ratio.high > 0.95) == (
        "undecided",
        True,
    )


def test_an_undecided_gate_says_how_many_rounds_would_decide() -> None:
    found = raced(0.88, noise=0.1, rounds=3, threshold=0.95)
    assert found.gate == "undecided"
    assert found.rounds_to_decide is not None
    assert found.rounds_to_decide > 3


def test_equal_versions_are_not_called_different() -> None:
    """Over 200 comparisons of a version with itself, at most 5% may be called faster or slower."""
    wrong = sum(
        run_rounds(processes(1.0, 0.03, seed), rounds=10, threshold=None, budget_s=1e9).status in ("faster", "slower")
        for seed in range(200)
    )
    assert wrong <= 10


def test_the_error_rate_is_spent_once_over_all_looks() -> None:
    confidences = []
    for rounds in (3, 5, 10):  # 1.06 with much noise is never decided early
        found = run_rounds(processes(1.06, 0.3), rounds=rounds, threshold=1.06, budget_s=1e9)
        assert found.ratio is not None
        confidences.append(found.ratio.confidence)
    assert confidences == [pytest.approx(0.95), pytest.approx(0.98), pytest.approx(0.975)]


def test_the_budget_ends_the_rounds_and_is_told() -> None:
    ticks = itertools.count(step=10)
    found = run_rounds(processes(1.0, 0.3), rounds=10, threshold=None, budget_s=60, clock=lambda: float(next(ticks)))
    assert found.out_of_time
    assert len(found.pairs) < 5


def test_an_interruption_keeps_what_was_measured() -> None:
    measure, calls = processes(1.2), itertools.count(1)

    def interrupted(side: Side) -> VersionRun:
        if next(calls) == 6:
            raise Terminated
        return measure(side)

    found = run_rounds(interrupted, rounds=10, threshold=None, budget_s=1e9)
    assert isinstance(found.interrupted, Terminated)
    assert (len(found.pairs), found.ratio is not None) == (2, True)


def test_a_version_that_fails_ends_the_comparison() -> None:
    def failing(side: Side) -> VersionRun:
        raise ScriptError(f"{side} failed")

    with pytest.raises(ScriptError, match="before failed"):
        run_rounds(failing, rounds=3, threshold=None, budget_s=1e9)


def test_updates_are_compared_where_one_side_has_no_samples() -> None:
    measure = processes(2.0)
    found = run_rounds(
        lambda side: dataclasses.replace(measure(side), samples=None if side == "after" else 9),
        rounds=2,
        threshold=None,
        budget_s=1e9,
    )
    assert found.ratio is not None
    assert found.ratio.unit == "updates/s"


# --- the other version ------------------------------------------------------------------------------------------


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", "-C", str(folder), *who, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "sub").mkdir(parents=True)
    (folder / "data").mkdir()
    git(folder, "init", "-q")
    (folder / "train.py").write_text(TRAINING)
    (folder / "pause.py").write_text("PAUSE = 0.002\n")
    (folder / "sub" / "notes.txt").write_text("old")
    (folder / ".gitignore").write_text("data\n")
    (folder / ".gitattributes").write_text("sub export-ignore\n")
    (folder / "data" / "big.txt").write_text("a data set")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    return folder


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


def version(project: Path, scratch: Path, ref: str = "HEAD") -> Iterator[Checkout]:
    return checked_out(ref, cwd=project, interpreter=sys.executable, scratch=scratch)  # type: ignore[return-value]


def digest(folder: Path) -> str:
    """Of every file's name, time and content, the repository's own included."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        found.update(os.fsencode(path))
        if path.is_file():
            found.update(path.read_bytes() + str(path.stat().st_mtime_ns).encode())
    return found.hexdigest()


def test_the_version_has_the_files_of_its_commit(project: Path, scratch: Path) -> None:
    (project / "pause.py").write_text("PAUSE = 7\n")
    with version(project, scratch) as found:
        assert (found.tree / "pause.py").read_text() == "PAUSE = 0.002\n"


def test_files_that_archives_leave_out_are_there(project: Path, scratch: Path) -> None:
    with version(project, scratch) as found:
        assert (found.tree / "sub" / "notes.txt").read_text() == "old"


def test_data_that_git_does_not_keep_is_linked_and_told(project: Path, scratch: Path) -> None:
    with version(project, scratch) as found:
        assert (found.tree / "data" / "big.txt").read_text() == "a data set"
        assert any("data" in note and "not in git" in note for note in found.notes)


@pytest.mark.parametrize("size_bytes", [10, copier.LINKED_COPIED_BYTES + 1])
def test_a_checkpoint_that_git_does_not_keep_is_not_changed_unnoticed(
    size_bytes: int, project: Path, scratch: Path
) -> None:
    checkpoint = project / "model.pt"
    with checkpoint.open("wb") as file:
        file.truncate(size_bytes)
    with version(project, scratch) as found, Copy(project=found.tree, scratch=scratch).prepare(found.tree) as view:
        (view.cwd / "model.pt").write_bytes(b"new")
    is_changed = checkpoint.stat().st_size != size_bytes
    assert is_changed == (size_bytes != 10)
    assert view.changed_files == ((f"modified {checkpoint}",) if is_changed else ())


def test_code_that_git_does_not_keep_is_left_out_and_told(project: Path, scratch: Path) -> None:
    (project / "extra.py").write_text("")
    with version(project, scratch) as found:
        assert not (found.tree / "extra.py").exists()
        assert any("extra.py" in note and "missing" in note for note in found.notes)


def test_a_submodule_is_the_working_trees_and_told(project: Path, scratch: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    git(library, "init", "-q")
    (library / "lib.py").write_text("")
    git(library, "add", "-A")
    git(library, "commit", "-qm", "library")
    git(project, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "vendored")
    git(project, "commit", "-qm", "second")
    with version(project, scratch) as found:
        assert (found.tree / "vendored" / "lib.py").exists()
        assert any(note.startswith("submodule vendored is taken from the working tree") for note in found.notes)


def test_a_package_found_in_the_working_tree_comes_from_the_version(
    project: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(project / "sub"))
    with version(project, scratch) as found:
        assert found.environment["PYTHONPATH"].split(os.pathsep)[0] == str(found.tree / "sub")


def test_the_users_repository_stays_as_it_is(project: Path, scratch: Path) -> None:
    before = digest(project)
    with version(project, scratch):
        pass
    assert digest(project) == before


def test_no_version_is_left_behind(project: Path, scratch: Path) -> None:
    with pytest.raises(KeyboardInterrupt), version(project, scratch):
        raise KeyboardInterrupt
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("ref", ["no-such-branch", "--help", "HEAD~99"])
def test_an_unknown_version_is_told(project: Path, scratch: Path, ref: str) -> None:
    with pytest.raises(UsageError, match="no such version"), version(project, scratch, ref):
        pass


def test_a_folder_without_a_repository_is_told(tmp_path: Path, scratch: Path) -> None:
    with pytest.raises(UsageError, match="not in a git repository"), version(tmp_path, scratch):
        pass


# --- the command ------------------------------------------------------------------------------------------------


def advisor(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return forked.advisor(cwd, "compare", *words, limit_s=COMMAND_S, thin=True, forks=True)


@pytest.fixture
def two_runs(tmp_path: Path) -> tuple[Path, Path]:
    root = tmp_path / "runs"
    folders = [new_run(root, "train.py"), new_run(root, "train.py")]
    for folder in folders:
        save_profile(dataclasses.replace(healthy(), run_id=folder.run_id), folder)
    return folders[0].path, folders[1].path


@pytest.mark.slow
def test_two_stored_runs_are_shown_side_by_side(two_runs: tuple[Path, Path], tmp_path: Path) -> None:
    done = advisor(*two_runs, cwd=tmp_path)
    assert (done.returncode, "No difference in speed" in done.stdout) == (0, True), done.stderr


@pytest.mark.slow
def test_options_may_follow_the_runs(two_runs: tuple[Path, Path], tmp_path: Path) -> None:
    done = advisor(two_runs[0].name, two_runs[1].name, "--runs", two_runs[0].parent, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["version"] == 1, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["one"], "two stored runs"),
        (["one", "two", "three"], "two stored runs"),
        (["one", "two", "--fail-below", "0.9"], "--fail-below needs --against"),
        (["--against", "HEAD", "train.py"], "not in a git repository"),
        (["--against", "HEAD", "--rounds", "1", "train.py"], "at least 2"),
        (["--against", "HEAD", "--fail-below", "95", "train.py"], "expected a ratio"),
        (["--against", "HEAD", "none.py"], "there is no script 'none.py'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(words: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    done = advisor(*words, "--runs", tmp_path / "runs", cwd=tmp_path) if "--against" not in words else None
    if done is None:
        done = advisor("--runs", tmp_path / "runs", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n"), said in done.stderr) == (2, 1, True), done.stderr


@pytest.mark.slow
def test_a_version_without_the_script_is_told(project: Path, tmp_path: Path) -> None:
    (project / "new.py").write_text("")
    done = advisor("--runs", tmp_path / "runs", "--against", "HEAD", "new.py", cwd=project)
    assert (done.returncode, "that version cannot run new.py" in done.stderr) == (2, True), done.stderr


@pytest.mark.slow
def test_a_version_that_crashes_ends_with_its_traceback_and_exit_code_3(project: Path, tmp_path: Path) -> None:
    (project / "pause.py").write_text("raise RuntimeError('not finished')\n")
    git(project, "commit", "-qam", "broken")
    (project / "pause.py").write_text("PAUSE = 0.002\n")
    done = advisor("--runs", tmp_path / "runs", "--against", "HEAD", "train.py", cwd=project)
    assert done.returncode == 3
    assert "not finished" in done.stderr
    assert "advisor: the earlier version failed" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_slower_working_tree_ends_with_exit_code_6_and_leaves_nothing(project: Path, tmp_path: Path) -> None:
    (project / "pause.py").write_text("PAUSE = 0.02\n")
    git(project, "commit", "-qam", "so long that a busy machine adds little to it")
    (project / "pause.py").write_text("PAUSE = 0.06\n")
    before = digest(project)
    done = advisor(
        *("--runs", tmp_path / "runs", "--against", "HEAD", "--fail-below", "0.95", "--rounds", "2", "--json"),
        "train.py",
        cwd=project,
    )
    assert done.returncode == 6, done.stderr
    found = json.loads(done.stdout)
    assert (found["version"], found["gate"], found["status"] in ("slower", "undecided")) == (1, "failed", True)
    assert found["ratio"]["high"] < 0.95
    assert digest(project) == before
    (scratch,) = (tmp_path / "runs").glob("scratch-*")
    assert list(scratch.iterdir()) == []
