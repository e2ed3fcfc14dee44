"""Run folders: unique, durable, and suspicious of what they hold."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import random
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from report import sample

from advisor.errors import StorageError, UsageError
from advisor.storage import run_store
from advisor.types import Profile

REPOSITORY = Path(__file__).resolve().parents[2]


def saved(root: Path, profile: Profile | None = None) -> run_store.RunFolder:
    run = run_store.new_run(root, "train.py")
    run_store.save_profile(profile or sample.input_bound(), run)
    return run


def forged(path: Path, document: object, *, version: int = run_store.FORMAT) -> None:
    """A document with a right checksum: what somebody hostile, or a later version, would write."""
    body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
    digest = hashlib.sha256(b"%d\n" % version + body).hexdigest()
    header = {"kind": "advisor profile", "version": version, "sha256": digest}
    path.write_bytes(json.dumps(header).encode() + b"\n" + body + b"\n")


# Folders


def test_root_is_the_state_folder_unless_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert run_store.runs_root() == tmp_path / "advisor" / "runs"
    assert run_store.runs_root(tmp_path / "mine") == tmp_path / "mine"


def test_a_relative_state_folder_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_store.runs_root() == tmp_path / ".local" / "state" / "advisor" / "runs"


def test_a_run_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    run = saved(tmp_path / "runs")
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(run.profile_path.stat().st_mode) == 0o600


@pytest.mark.slow
def test_eight_starters_never_share_a_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from advisor.storage.run_store import new_run\n"
        "for _ in range(25): print(new_run(Path(sys.argv[1]), 'train.py').path)"
    )
    starters = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
        for _ in range(8)
    ]
    paths = [path for starter in starters for path in starter.communicate(timeout=60)[0].split()]
    assert len(set(paths)) == 200


@pytest.mark.parametrize("label", ["../../etc/passwd", "", "-m", "ümlaut name.py", "a" * 500, "x\n\0y"])
def test_a_label_never_leaves_the_root(tmp_path: Path, label: str) -> None:
    run = run_store.new_run(tmp_path, label)
    assert run.path.parent == tmp_path
    assert run_store.list_runs(tmp_path) == (run,)


def test_runs_are_listed_newest_first(tmp_path: Path) -> None:
    runs = [run_store.new_run(tmp_path, "train.py") for _ in range(5)]
    assert [run.run_id for run in run_store.list_runs(tmp_path)] == [run.run_id for run in reversed(runs)]


def test_a_foreign_folder_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    assert run_store.list_runs(tmp_path) == ()


def test_latest_is_the_newest_that_was_finished(tmp_path: Path) -> None:
    finished = saved(tmp_path)
    run_store.new_run(tmp_path, "train.py")
    assert run_store.find_run("latest", tmp_path) == finished
    assert run_store.find_run("latest/profile.json", tmp_path) == finished


def test_a_run_is_found_by_part_of_its_id_and_by_path(tmp_path: Path) -> None:
    run, _ = saved(tmp_path), saved(tmp_path)
    assert run_store.find_run(run.run_id, tmp_path) == run
    assert run_store.find_run(run.run_id[-6:], tmp_path) == run
    assert run_store.find_run(str(run.path), tmp_path / "elsewhere") == run
    assert run_store.find_run(str(run.profile_path), tmp_path / "elsewhere") == run


def test_an_ambiguous_part_is_refused_with_the_count(tmp_path: Path) -> None:
    saved(tmp_path), saved(tmp_path)
    with pytest.raises(UsageError, match="means 2 runs"):
        run_store.find_run("train", tmp_path)


def test_an_unknown_run_says_what_there_is(tmp_path: Path) -> None:
    run = saved(tmp_path)
    with pytest.raises(UsageError, match=run.run_id):
        run_store.find_run("nonesuch", tmp_path)
    with pytest.raises(UsageError, match="advisor profile SCRIPT"):
        run_store.find_run("latest", tmp_path / "empty")


def test_a_root_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="another with runs="):
        run_store.new_run(tmp_path / "file" / "runs", "train.py")


# Profiles


@pytest.mark.parametrize("shape", sample.ALL)
def test_what_is_loaded_is_what_was_saved(tmp_path: Path, shape: str) -> None:
    profile = sample.ALL[shape]()
    run = saved(tmp_path, profile)
    assert run_store.load_profile(run.path) == dataclasses.replace(profile, run_folder=str(run.path))


def test_numbers_that_json_has_no_word_for_survive(tmp_path: Path) -> None:
    base = sample.healthy()
    first = dataclasses.replace(base.windows[0], losses=(math.nan, math.inf, None))
    run = saved(tmp_path, dataclasses.replace(base, windows=(first,)))
    losses = run_store.load_profile(run.path).windows[0].losses
    assert losses[0] is not None
    assert math.isnan(losses[0])
    assert losses[1:] == (math.inf, None)


def test_a_file_name_that_is_no_text_is_kept_readable(tmp_path: Path) -> None:
    base = sample.healthy()
    command = dataclasses.replace(base.command, args=(os.fsdecode(b"caf\xe9.txt"),))
    run = saved(tmp_path, dataclasses.replace(base, command=command))
    assert run_store.load_profile(run.path).command.args == ("caf\\udce9.txt",)


def test_a_profile_cut_anywhere_is_refused(tmp_path: Path) -> None:
    run = saved(tmp_path)
    whole = run.profile_path.read_bytes()
    copy = tmp_path / "cut.json"
    for length in [*range(0, 400, 7), *range(400, len(whole) - 1, 1024), len(whole) - 2]:
        copy.write_bytes(whole[:length])
        with pytest.raises(StorageError, match=re.escape(str(copy))):
            run_store.load_profile(copy)


def test_a_flipped_bit_is_never_taken_for_a_measurement(tmp_path: Path) -> None:
    run = saved(tmp_path)
    whole = run.profile_path.read_bytes()
    expected = run_store.load_profile(run.path)
    random_numbers = random.Random(9)
    copy = run.path / "flipped.json"
    for _ in range(200):
        flipped = bytearray(whole)
        flipped[random_numbers.randrange(len(whole))] ^= 1 << random_numbers.randrange(8)
        copy.write_bytes(flipped)
        try:
            loaded = run_store.load_profile(copy)
        except StorageError:
            continue
        assert loaded == expected


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    forged(tmp_path / "profile.json", {}, version=99)
    with pytest.raises(StorageError, match=r"format 99.*upgrade advisor"):
        run_store.load_profile(tmp_path)


def plain_document(tmp_path: Path) -> dict[str, object]:
    document = json.loads(saved(tmp_path / "plain").profile_path.read_bytes().split(b"\n")[1])
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("name", ["steps", "phases", "hardware", "findings", "command", "windows"])
@pytest.mark.parametrize("wrong", [7, "text", [[[]]], {"a": {"b": 1}}])
def test_a_field_of_the_wrong_type_is_named(tmp_path: Path, name: str, wrong: object) -> None:
    if name == "phases" and wrong == {"a": {"b": 1}}:
        wrong = {"forward": "much"}
    forged(tmp_path / "profile.json", plain_document(tmp_path) | {name: wrong})
    with pytest.raises(StorageError, match=rf"not a profile \({name}"):
        run_store.load_profile(tmp_path)


HOSTILE = {
    "deep": "[" * 200_000 + "]" * 200_000,
    "deep objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "huge number": '{"version":' + "9" * 100_000 + "}",
    "a list": "[]",
    "null": "null",
    "nothing": "",
    "python": "__import__('os').system('touch canary')",
    "yaml": '!!python/object/apply:os.system ["touch canary"]',
    "pickle": "cos\nsystem\n(S'touch canary'\ntR.",
    "text after": "{} {}",
    "bad unicode": '{"advisor":"\\ud800"}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    forged(tmp_path / "profile.json", HOSTILE[name])
    with pytest.raises(StorageError, match=r"profile\.json is not a profile"):
        run_store.load_profile(tmp_path)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_first_line_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "profile.json").write_text(HOSTILE[name])
    with pytest.raises(StorageError, match=r"profile\.json is not a stored profile"):
        run_store.load_profile(tmp_path)


def test_a_file_too_large_to_be_a_profile_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "profile.json").open("wb") as file:
        file.truncate(10 * 2**30)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from advisor import errors; from advisor.storage import run_store as store\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, 2 * 2**30))\n"
        "try: store.load_profile(Path(sys.argv[1]))\n"
        "except errors.StorageError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "larger than the 67,108,864 bytes" in done.stdout, done.stderr


def test_a_pipe_in_the_place_of_a_profile_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "profile.json")
    with pytest.raises(StorageError, match="not a regular file"):
        run_store.load_profile(tmp_path)


def test_a_profile_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is not there"):
        run_store.load_profile(tmp_path / "profile.json")
