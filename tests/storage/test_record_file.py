"""Files of records: what a crash, a full disk or a second writer leaves of them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from advisor.errors import StorageError
from advisor.storage import record_file

REPOSITORY = Path(__file__).resolve().parents[2]


def written(path: Path, count: int = 20) -> bytes:
    for number in range(count):
        record_file.append(path, {"number": number, "text": "ä" * 30})
    return path.read_bytes()


def test_records_come_back_in_order(tmp_path: Path) -> None:
    written(tmp_path / "trials.jsonl")
    records = record_file.read(tmp_path / "trials.jsonl")
    assert [record["number"] for record in records.records] == list(range(20))
    assert records.damaged == ()


def test_each_line_is_plain_json(tmp_path: Path) -> None:
    lines = written(tmp_path / "trials.jsonl", 3).splitlines()
    assert [json.loads(line)["record"]["number"] for line in lines] == [0, 1, 2]


def test_a_file_that_is_not_there_holds_no_records(tmp_path: Path) -> None:
    assert record_file.read(tmp_path / "none.jsonl") == record_file.Records(records=())


def test_a_file_cut_anywhere_loses_one_record_at_most(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    whole = written(path)
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        found = [record["number"] for record in record_file.read(path).records]
        assert found == list(range(len(found)))
        assert len(found) >= whole[:length].count(b"\n")


def test_a_torn_line_costs_no_later_record(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    whole = written(path)
    path.write_bytes(whole[:-10])
    record_file.append(path, {"number": 99})
    records = record_file.read(path)
    assert [record["number"] for record in records.records] == [*range(19), 99]
    assert [(one.line, one.why) for one in records.damaged] == [(20, "not a whole record")]


def test_a_flipped_line_is_named_and_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    whole = written(path)
    lines = whole.splitlines(keepends=True)
    lines[4] = lines[4].replace(b'"number":4', b'"number":5')
    path.write_bytes(b"".join(lines))
    records = record_file.read(path)
    assert [one.line for one in records.damaged] == [5]
    assert len(records.records) == 19
    assert (tmp_path / "trials.jsonl.damaged").read_bytes() == lines[4]


def test_no_flip_ever_changes_a_record(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    whole = written(path)
    expected = record_file.read(path).records
    random_numbers = random.Random(10)
    for _ in range(200):
        flipped = bytearray(whole)
        flipped[random_numbers.randrange(len(whole))] ^= 1 << random_numbers.randrange(8)
        path.write_bytes(flipped)
        found = record_file.read(path).records
        assert len(found) >= 18
        assert all(record in expected for record in found)


def test_a_record_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="at most 16,777,216"):
        record_file.append(tmp_path / "trials.jsonl", {"text": "x" * 2**25})


@pytest.mark.slow
def test_a_writer_waits_for_its_turn(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "trials.jsonl"
    before = written(path, 2)
    code = (
        "import sys; from pathlib import Path; from advisor.storage.record_file import append\n"
        "print('ready', flush=True); append(Path(sys.argv[1]), {'number': 2})"
    )
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        writer = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=REPOSITORY, stdout=subprocess.PIPE)
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(timeout=0.5)
        assert path.read_bytes() == before
    writer.communicate(timeout=60)
    assert len(record_file.read(path).records) == 3


def test_writers_in_several_processes_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    code = (
        "import sys; from pathlib import Path; from advisor.storage.record_file import append\n"
        "for n in range(25): append(Path(sys.argv[1]), {'who': sys.argv[2], 'n': n, 'text': 'x' * 5000})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), str(who)], cwd=REPOSITORY) for who in range(4)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0, 0]
    records = record_file.read(path)
    assert (len(records.records), len(records.damaged)) == (100, 0)
