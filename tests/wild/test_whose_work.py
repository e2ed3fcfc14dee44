"""A line of the script is named for its own work: not for a library's, and not for what advisor does meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from advisor import rules, wire
from advisor.analysis import assembly
from advisor.analysis.profile_plan import FIRST
from advisor.types import Finding

from .probing import Probed, probe

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forks")]

LIBRARY = """
import time
from torch.utils.data import Dataset

class Pictures(Dataset):
    def __len__(self):
        return 100_000
    def __getitem__(self, index):
        picture = decode(index)
        return picture

def decode(index):
    import torch
    end, total = time.perf_counter() + 0.002, 0
    while time.perf_counter() < end:
        total += index
    return torch.full((10,), float(index % 7))
"""
SCRIPT = """
import copy
import torch
from torch import nn
from torch.utils.data import DataLoader
from pictures import Pictures

torch.manual_seed(0)
model = nn.Linear(10, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
loader = DataLoader(Pictures(), batch_size=4)
for x in loader:
    loss = model(x).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    best = copy.deepcopy(model)
"""
LINES = SCRIPT.splitlines()
STEP, COPY = LINES.index("    optimizer.step()") + 1, LINES.index("    best = copy.deepcopy(model)") + 1
WINDOWS = [
    wire.Window(id=FIRST, warm_up_updates=2, min_updates=60, least_updates=30, max_s=10.0, sampler_hz=100.0),
    wire.Window(id="trace", kind="trace", warm_up_updates=1, min_updates=2, max_updates=2, max_s=5.0),
    wire.Window(id="loader_alone inside", kind="drain", what_if="loader_alone", max_s=0.6, sampler_hz=200.0),
]


@pytest.fixture(scope="module")
def probed(forks: None, tmp_path_factory: pytest.TempPathFactory) -> Probed:
    folder = tmp_path_factory.mktemp("whose")
    package = folder / "site-packages" / "pictures"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(LIBRARY)
    project = folder / "project"
    project.mkdir()
    (project / "train.py").write_text(SCRIPT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")]))
        found = probe(["train.py"], cwd=project, folder=folder, wanted=WINDOWS)
    assert found.agent_errors == []
    return found


@pytest.fixture(scope="module")
def findings(probed: Probed) -> dict[str, Finding]:
    evidence = assembly.evidence_of(probed.profile)
    assert evidence is not None, probed.profile.failure
    return {finding.rule: finding for finding in rules.diagnose(evidence).findings}


def test_only_the_scripts_own_calls_are_recorded(probed: Probed) -> None:
    assert probed.profile.trace is not None
    assert [(call.what, call.line) for call in probed.profile.trace.calls] == [("deepcopy", COPY)]


def test_the_loaders_work_is_named_in_the_library_that_does_it(findings: dict[str, Finding]) -> None:
    finding = findings["input_bound"]
    first = finding.where[0]
    assert (Path(first.file).parent.name, first.function, first.library) == ("pictures", "__getitem__", "pictures")
    assert "in pictures, called by the loader created at train.py:" in finding.evidence


def test_no_finding_names_the_step_or_a_place_twice(findings: dict[str, Finding]) -> None:
    for finding in findings.values():
        places = [(Path(place.file).name, place.line) for place in finding.where]
        assert ("train.py", STEP) not in places
        assert len(set(places)) == len(places)


def test_the_loop_waits_in_its_own_line(probed: Probed) -> None:
    waits = [line for line in probed.profile.lines if line.where == "loop" and line.phase == "data_wait"]
    assert {(Path(line.file).name, line.text) for line in waits} == {("train.py", "for x in loader:")}
    assert max(waits, key=lambda line: line.share).library == "pictures"
