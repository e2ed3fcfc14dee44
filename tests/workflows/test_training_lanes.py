"""Trainings that run at once: what each sees of the machine, and why there is one where several devices are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from advisor import wire
from advisor.progress import SILENT
from advisor.rules._examples import evolve, healthy_cpu, model
from advisor.runtime import RunOptions
from advisor.runtime.protection import protect
from advisor.runtime.script_run_record import ScriptRunRecord
from advisor.search.training import Plan, Rung, TrainingLog, TrainingSearch, TrainingSpace
from advisor.search.training.search import SEED, Baseline
from advisor.search.training.space import RateRange
from advisor.target.function import command_for
from advisor.types import Config, Hardware, UsagePoint, Workload
from advisor.types.hardware import Accelerator
from advisor.verification.footprint import Room
from advisor.verification.training_run import Trainings
from advisor.workflows.training_lanes import ALONE, Lanes, lanes_of

GIB = 2**30
DEVICE = Accelerator(index=0, kind="cuda", name="NVIDIA H100", memory_bytes=80 * GIB, other_processes=0)


def script_run(*, cpus: float = 1.0, gib: int = 4, ranks: int = 1) -> ScriptRunRecord:
    record = ScriptRunRecord(number=0, started="", first_update_at_s=7.0)
    record.hello = wire.Hello(version=1, token="", pid=1, world_size=ranks)
    record.usage = [UsagePoint(at_s=8.0, tree_cpus=cpus, rss_bytes=gib * GIB)]
    return record


def hardware(*devices: Accelerator, cpus: float = 16.0) -> Hardware:
    found = healthy_cpu().hardware
    return replace(found, accelerators=devices, cpu=replace(found.cpu, usable_cpus=cpus))


def workload(device: str = "cuda", **changes: object) -> Workload:
    one = {"device": device, "devices": ("cuda:0",) if device == "cuda" else ("cpu",), **changes}
    found = evolve(healthy_cpu(), {"workload": {"models": (model(**one),)}}).workload
    return replace(found, device=device)


def lanes(
    of: Workload, on: Hardware, run: ScriptRunRecord | None = None, *, protects: bool = True, **environment: str
) -> Lanes:
    return lanes_of(
        run or script_run(), of, on, protects=protects, environment=environment, room=lambda: Room(host_bytes=64 * GIB)
    )


def alike(count: int) -> list[Accelerator]:
    return [replace(DEVICE, index=number) for number in range(count)]


def test_each_training_sees_a_device_of_its_own() -> None:
    assert lanes(workload(), hardware(*alike(2))).lanes == (
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "1"},
    )
    visible = lanes(workload(), hardware(*alike(2)), CUDA_VISIBLE_DEVICES="5,GPU-ab")
    assert visible.lanes == ({"CUDA_VISIBLE_DEVICES": "5"}, {"CUDA_VISIBLE_DEVICES": "GPU-ab"})
    assert len(lanes(workload(), hardware(*alike(8))).lanes) == 4
    assert lanes(workload(), hardware(*alike(1))) == Lanes()


@pytest.mark.parametrize(
    ("of", "on", "run", "why"),
    [
        (workload(devices=("cuda:0", "cuda:1")), hardware(*alike(2)), None, "trains on cuda:0 and cuda:1"),
        (workload(devices=("cuda:1",)), hardware(*alike(2)), None, "trains on cuda:1, not on the first one alone"),
        (workload(data_parallel=True), hardware(*alike(2)), None, "the script divides its batches among them"),
        (workload(), hardware(DEVICE, replace(DEVICE, name="NVIDIA T4")), None, "they are not alike"),
        (workload(), hardware(DEVICE, replace(DEVICE, index=1, mig=True)), None, "only whole CUDA devices"),
        (
            workload(),
            hardware(DEVICE, replace(DEVICE, index=1, other_processes=2)),
            None,
            "other programs run on device 1",
        ),
        (workload(), hardware(*alike(2), cpus=3.0), None, "3 usable CPUs are too few for two of them"),
        (workload(), hardware(*alike(2)), script_run(gib=40), "memory does not hold two of them"),
    ],
)
def test_devices_stay_idle_for_a_reason(of: Workload, on: Hardware, run: ScriptRunRecord | None, why: str) -> None:
    found = lanes(of, on, run)
    assert found.lanes == ALONE
    assert why in found.why_one


def test_on_cpus_several_share_them_and_accelerators_do_not_matter() -> None:
    assert lanes(workload("cpu"), hardware(cpus=8.0)) == Lanes(lanes=({}, {}, {}, {}))
    assert lanes(workload("cpu"), hardware(*alike(2), cpus=8.0)) == Lanes(lanes=({}, {}, {}, {}))
    assert lanes(workload("cpu"), hardware(cpus=2.0)) == Lanes()
    assert lanes(workload("cpu"), hardware(cpus=8.0), protects=False) == Lanes()


SCRIPT = """
import os, sys, time
import torch
from torch import nn

torch.set_num_threads(1)
rows = torch.randn(256, 4)
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
begin_s, device = time.time(), os.environ.get("CUDA_VISIBLE_DEVICES")
for number in range(60):
    optimizer.zero_grad()
    nn.functional.mse_loss(model(rows), rows.sum(1, keepdim=True)).backward()
    optimizer.step()
    time.sleep(0.05)
    if number == 50:
        print(device, begin_s, time.time(), flush=True)
"""


@pytest.mark.slow(20)
@pytest.mark.usefixtures("forks")
def test_a_search_trains_on_two_devices_at_once_and_each_sees_its_own(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    options = RunOptions(runs=tmp_path / "runs")
    command = command_for(str(tmp_path / "train.py"), [], is_module=False, interpreter=None, root=options.root)
    trainings = Trainings(command=command, folder=tmp_path, isolation=protect(command, options), options=options)
    log = TrainingLog(trainings=trainings, folder=tmp_path)
    run = log.train(Config(), updates=55, seed=SEED)
    search = TrainingSearch(
        space=TrainingSpace(rate=RateRange(baseline=0.01, low=1e-3, high=0.1, source="the test"), choices={}),
        log=log,
        plan=Plan(rungs=(Rung(number=0, updates=55, candidates=2, last=False),), search_s=9.0, verification_s=0.0),
        baseline=Baseline(run=run, loss="training loss", target=1e-3, reached_s=9.0),
        objective="time_to_loss",
        always=Config(),
        progress=SILENT,
        lanes=lanes(workload(), hardware(*alike(2))).lanes,
    )
    search.carry_out()
    assert [trial.settings["learning_rate"] for trial in search.trials] == [0.03, 0.1]
    said = [line.split() for path in sorted(tmp_path.rglob("*.stdout")) for line in path.read_text().splitlines()]
    (first, *first_times), (second, *second_times) = [words for words in said if words[0] in ("0", "1")]
    assert {first, second} == {"0", "1"}
    overlap_s = min(float(first_times[1]), float(second_times[1])) - max(float(first_times[0]), float(second_times[0]))
    assert overlap_s > 1.0
