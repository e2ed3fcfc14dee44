from __future__ import annotations

import json
import platform
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from advisor.hardware import CalibrationError, calibrate
from advisor.types.hardware import Accelerator, Hardware, Rate

from .machines import H100, TORCH, machine

pytestmark = pytest.mark.slow

MEASURED: dict[str, Any] = {
    "torch": "2.13.0",
    "cpu": {"flops": {"fp32": 1.5e12}, "failed": {}, "bandwidth": 9e10},
    "accelerators": [
        {
            "name": "NVIDIA H100 80GB HBM3",
            "flops": {"bf16": 7.9e14},
            "failed": {"fp64": "no"},
            "bandwidth": 2.9e12,
            "host_to_device": 5.5e10,
            "device_to_host": 5.3e10,
        }
    ],
}

posix = pytest.mark.skipif(platform.system() == "Windows", reason="stands in for an interpreter by a shell script")


def interpreter(tmp_path: Path, measured: object = MEASURED) -> str:
    """Stands in for an interpreter on a machine with an H100; each call of it adds a line to `calls`."""
    (tmp_path / "measured.json").write_text(json.dumps(measured))
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\necho x >> {tmp_path}/calls\ncp {tmp_path}/measured.json "$3"\n')
    path.chmod(0o755)
    return str(path)


def calls(tmp_path: Path) -> int:
    file = tmp_path / "calls"
    return len(file.read_text().splitlines()) if file.exists() else 0


def run(tmp_path: Path, hardware: Hardware | None = None, measured: object = MEASURED) -> Hardware:
    python = interpreter(tmp_path, measured)
    return calibrate(hardware or machine(), interpreter=python, cache_folder=tmp_path / "cache")


def cached(tmp_path: Path) -> Path:
    (file,) = (tmp_path / "cache").iterdir()
    return file


def test_the_cpu_is_really_measured(tmp_path: Path) -> None:
    found = calibrate(machine(accelerators=(), torch=None), interpreter=sys.executable, cache_folder=tmp_path)
    # The slowest machine that trains anything makes 1 GFLOP/s; nothing makes 1 PFLOP/s on a CPU.
    assert 1e9 < found.cpu_peak_flops["fp32"].value < 1e15
    assert found.cpu_memory_bandwidth is not None
    assert 1e8 < found.cpu_memory_bandwidth.value < 1e13
    assert {rate.basis for rate in found.cpu_peak_flops.values()} == {"measured"}


@posix
def test_measured_peaks_replace_those_of_the_table(tmp_path: Path) -> None:
    table = Rate(value=9.894e14, basis="table", source="sheet")
    device = replace(H100, peak_flops={"bf16": table, "fp64": table})
    (found,) = run(tmp_path, machine(accelerators=(device,))).accelerators
    assert (found.peak_flops["bf16"].value, found.peak_flops["bf16"].basis) == (7.9e14, "measured")
    assert found.peak_flops["fp64"] is table
    assert found.host_to_device_bandwidth is not None
    assert found.host_to_device_bandwidth.value == 5.5e10


@posix
def test_devices_that_were_not_measured_stay_as_they_are(tmp_path: Path) -> None:
    other = replace(H100, name="NVIDIA T4")
    assert run(tmp_path, machine(accelerators=(H100, other))).accelerators[1] == other


@posix
def test_apples_device_is_found_though_torch_has_no_name_for_it(tmp_path: Path) -> None:
    apple = Accelerator(index=0, kind="mps", name="Apple M1 Max", memory_bytes=None)
    measured = {**MEASURED, "accelerators": [{**MEASURED["accelerators"][0], "name": "mps"}]}
    (found,) = run(tmp_path, machine(accelerators=(apple,)), measured).accelerators
    assert found.peak_flops["bf16"].basis == "measured"


@posix
def test_a_second_time_nothing_is_measured(tmp_path: Path) -> None:
    assert run(tmp_path) == run(tmp_path)
    assert calls(tmp_path) == 1


@posix
@pytest.mark.parametrize(
    "changed",
    [
        machine(accelerators=(replace(H100, driver="580.1"),)),
        machine(accelerators=(replace(H100, name="NVIDIA H200"),)),
        machine(torch=replace(TORCH, version="2.14.0")),
    ],
)
def test_another_device_driver_or_torch_is_measured_anew(tmp_path: Path, changed: Hardware) -> None:
    run(tmp_path)
    run(tmp_path, changed)
    assert calls(tmp_path) == 2


@posix
@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("790000000000000.0", "990000000000000.0"),
        lambda text: "[]",
        lambda text: '{"identity": null}',
    ],
)
def test_a_damaged_cache_is_measured_anew_and_repaired(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    expected = run(tmp_path)
    file = cached(tmp_path)
    before = file.read_text()
    assert damage(before) != before
    file.write_text(damage(before))
    assert run(tmp_path) == expected
    assert (calls(tmp_path), file.read_text()) == (2, before)


@posix
def test_a_cache_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert run(tmp_path).cpu_peak_flops["fp32"].value == 1.5e12


@posix
@pytest.mark.parametrize("measured", [{}, {"cpu": {"flops": {"fp32": -1.0}, "bandwidth": 1.0}, "accelerators": []}])
def test_nonsense_is_refused_and_not_kept(tmp_path: Path, measured: object) -> None:
    with pytest.raises(CalibrationError, match="could not be measured"):
        run(tmp_path, measured=measured)
    assert not (tmp_path / "cache").exists()


def test_an_interpreter_without_torch_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="cannot be started"):
        calibrate(machine(torch=None), interpreter=str(tmp_path / "missing"), cache_folder=tmp_path)
