"""Who limits threads and CPUs: the line of the script, whichever way it does so."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from advisor.agent.observe.cpu_limits import CpuLimitWatch, allowed_cpus

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has an affinity")


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[CpuLimitWatch]:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "9")  # so that it is put back
        monkeypatch.delenv(name)
    found = CpuLimitWatch()
    found.install()
    yield found
    found.remove()


def setters(watch: CpuLimitWatch) -> dict[str, Any]:
    return {one["what"]: one for one in watch.describe()["setters"]}


def test_a_variable_is_noted_with_its_line_however_it_is_set(
    watch: CpuLimitWatch,
) -> None:
    for change in (
        lambda: os.environ.__setitem__("OMP_NUM_THREADS", "1"),
        lambda: os.environ.update({"OMP_NUM_THREADS": "2"}),
        lambda: os.environ.setdefault("MKL_NUM_THREADS", "3"),
    ):
        change()
    found = setters(watch)
    assert (found["OMP_NUM_THREADS"]["value"], found["MKL_NUM_THREADS"]["value"]) == ("2", "3")
    assert Path(found["OMP_NUM_THREADS"]["file"]).name == "test_cpu_limits.py"
    assert found["OMP_NUM_THREADS"]["library"] == ""


def test_other_variables_are_nobodys_business(watch: CpuLimitWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    assert watch.describe()["setters"] == []


def test_torchs_own_call_is_noted_and_does_what_it_did(watch: CpuLimitWatch) -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    assert torch.get_num_threads() == 1
    line = sys._getframe().f_lineno - 2
    found = setters(watch)["torch.set_num_threads"]
    torch.set_num_threads(before)
    assert (found["value"], found["line"]) == ("1", line)


def test_a_call_that_fails_raises_as_it_would_alone_and_limits_nothing(watch: CpuLimitWatch) -> None:
    import torch

    with pytest.raises(RuntimeError):
        torch.set_num_threads(0)
    assert watch.describe()["setters"] == []


@linux_only
@pytest.mark.skipif(len(allowed_cpus()) < 2, reason="needs two CPUs")
def test_an_affinity_is_noted_and_threads_with_other_cpus_count_too(watch: CpuLimitWatch) -> None:
    before, first = os.sched_getaffinity(0), min(os.sched_getaffinity(0))
    release, ready = threading.Event(), threading.Event()

    def wait() -> None:
        ready.set()
        release.wait()

    other = threading.Thread(target=wait)
    try:
        os.sched_setaffinity(0, iter([first]))
        narrowed = watch.describe()
        os.sched_setaffinity(0, before)
        other.start()
        ready.wait()
        os.sched_setaffinity(0, [first])
        bound = watch.describe()
    finally:
        os.sched_setaffinity(0, before)
        release.set()
        other.join()
    setter = narrowed["setters"][0]
    assert (setter["what"], setter["value"], setter["function"]) == (
        "affinity",
        "1",
        "test_an_affinity_is_noted_and_threads_with_other_cpus_count_too",
    )
    assert narrowed["at_start"] == bound["at_start"] == bound["allowed"] == len(before)


@linux_only
def test_threads_of_our_own_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    ours = threading.Thread(target=release.wait, name="advisor-beat")
    ours.start()
    try:
        monkeypatch.setattr(os, "listdir", lambda _folder: [str(ours.native_id), "12345"])
        asked: list[int] = []
        monkeypatch.setattr(os, "sched_getaffinity", lambda number: asked.append(number) or {0})
        assert allowed_cpus() == {0}
    finally:
        release.set()
        ours.join()
    assert asked == [0, 12345]


def test_all_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.putenv
    found = CpuLimitWatch()
    found.install()
    assert os.putenv is not before
    found.remove()
    assert os.putenv is before
