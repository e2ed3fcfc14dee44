"""allocator: a library that is there is preloaded into new processes, and one that is not is said to be missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forked
import pytest
from live import says
from real_training import beside_the_settings

from advisor import knobs
from advisor.knobs import allocator
from advisor.rules._examples import healthy_cpu, healthy_cuda
from advisor.settings_file import exports
from advisor.settings_file.advisor_yaml import Document
from advisor.types import Config, Evidence

KNOB = knobs.get("allocator")
compiled = pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
SCRIPT = """
import ctypes, os, torch
model = torch.nn.Linear(4, 4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(STEPS):
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
preloaded = hasattr(ctypes.CDLL(None), "stand_in_for_tcmalloc")
print("preloaded" if preloaded else "as it was", os.environ.get("PYTORCH_CUDA_ALLOC_CONF"))
"""


def values(evidence: Evidence) -> Any:
    return KNOB.values(evidence.hardware, evidence.workload)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without any of the libraries."""
    monkeypatch.setattr(allocator, "FOLDERS", ())
    monkeypatch.setattr(sys, "prefix", "/nowhere")
    for name in ("LD_LIBRARY_PATH", "LD_PRELOAD"):
        monkeypatch.delenv(name, raising=False)
    allocator.library_of.cache_clear()
    yield
    allocator.library_of.cache_clear()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with the name of tcmalloc's, which allocates nothing."""
    folder = tmp_path_factory.mktemp("lib")
    (folder / "one.c").write_text("int stand_in_for_tcmalloc(void) { return 1; }\n")
    made = folder / "libtcmalloc_minimal.so.4"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(made), str(folder / "one.c")], check=True, timeout=60)
    return made


def advisor(folder: Path, library: Path | None, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    environment["LD_LIBRARY_PATH"] = str(library.parent) if library is not None else ""
    return forked.advisor(folder, *words, environment=environment, thin=True)


@pytest.mark.usefixtures("nowhere")
def test_where_no_library_is_installed_it_is_closed_on_a_cpu() -> None:
    assert "neither tcmalloc nor jemalloc is installed" in values(healthy_cpu()).why_closed


@pytest.mark.usefixtures("nowhere")
def test_libraries_are_found_in_the_usual_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there = tmp_path / "x86_64-linux-gnu"
    there.mkdir()
    for name in ("libtcmalloc.so.4", "libjemalloc.so.2", "libjemalloc.so.2.0"):
        (there / name).touch()
    monkeypatch.setattr(allocator, "FOLDERS", (str(tmp_path),))
    assert values(healthy_cpu()).values == ("tcmalloc", "jemalloc")
    assert knobs.environment({"allocator": "jemalloc"}, {"LD_PRELOAD": "libother.so"}) == {
        "LD_PRELOAD": f"{there}/libjemalloc.so.2:libother.so"
    }
    monkeypatch.setenv("LD_PRELOAD", "/opt/libjemalloc.so")
    assert "already names an allocator" in values(healthy_cpu()).why_closed


def test_on_cuda_segments_may_grow_unless_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    assert values(healthy_cuda()).values == ("expandable_segments",)
    present = {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:128"}
    assert knobs.environment({"allocator": "expandable_segments"}, present) == {
        "PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:128,expandable_segments:True"
    }
    assert knobs.environment({"allocator": "expandable_segments"}, {"PYTORCH_ALLOC_CONF": "backend:native"}) == {
        "PYTORCH_ALLOC_CONF": "backend:native,expandable_segments:True"
    }
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    assert "already sets" in values(healthy_cuda()).why_closed


def test_a_launcher_gets_the_variable() -> None:
    document = Document(config=Config.of({"allocator": "expandable_segments"}))
    (made,) = exports.artifacts(document, ["torchrun"])
    assert "export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True\n" in made.content


@pytest.mark.slow
def test_it_cannot_be_set_in_a_running_script(tmp_path: Path) -> None:
    code = """
    hook()
    try:
        train({3: {"allocator": "expandable_segments"}})
    except Refused as refused:
        print(refused, controls.settings)
    """
    said = "the script must be started with PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True {}"
    assert says(tmp_path, code) == said


@pytest.mark.slow
@compiled
def test_a_real_training_is_started_with_the_library(tmp_path: Path, library: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT.replace("STEPS", "8"))
    (tmp_path / "advisor.yaml").write_text("version: 1\nsettings: {allocator: tcmalloc}\n")
    done = advisor(tmp_path, library, "run", "--config", "advisor.yaml", "train.py")
    assert (done.stdout, beside_the_settings(done.stderr)) == ("preloaded None\n", "")


@pytest.mark.slow
def test_where_the_library_is_missing_a_real_training_goes_on_without(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT.replace("STEPS", "8"))
    (tmp_path / "advisor.yaml").write_text("version: 1\nsettings: {allocator: jemalloc}\n")
    done = advisor(tmp_path, None, "run", "--config", "advisor.yaml", "train.py")
    assert (done.returncode, done.stdout) == (0, "as it was None\n")
    assert "allocator keeps the script's value: jemalloc is not installed" in done.stderr


@pytest.mark.slow
@compiled
def test_processes_of_a_comparison_are_started_with_it_and_those_of_the_baseline_without(
    tmp_path: Path, library: Path
) -> None:
    found = "'yes ' if hasattr(ctypes.CDLL(None), 'stand_in_for_tcmalloc') else 'no '"
    text = SCRIPT.replace("STEPS", "20_000_000").replace("for _", f"open('seen', 'a').write({found})\nfor _")
    (tmp_path / "train.py").write_text(text)
    (tmp_path / "advisor.yaml").write_text("version: 1\nsettings: {allocator: tcmalloc}\n")
    words = ["verify", "--isolation", "none", "--rounds", "2", "--config", "advisor.yaml", "train.py"]
    done = advisor(tmp_path, library, *words)
    assert done.returncode == 0, done.stderr
    assert sorted((tmp_path / "seen").read_text().split()) == ["no", "no", "yes", "yes"]
    assert "bitwise equal" in " ".join(done.stdout.split())
