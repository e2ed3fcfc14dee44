"""The whole probe on the machine that runs the tests, and how its result is shown."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from advisor.hardware import as_json, from_json, probe, render, setup_problems
from advisor.types.hardware import Hardware, Rate

from .machines import H100, machine


def test_the_probe_of_this_machine(tmp_path: Path) -> None:
    found = probe(folder=tmp_path)
    assert 0 < found.cpu.usable_cpus <= found.cpu.cores_logical
    assert 0 < found.memory_limit_bytes <= found.memory.ram_bytes
    assert found.disk is not None
    assert (found.torch, found.torch_error) == (None, None)


@pytest.mark.slow
def test_the_interpreters_torch_is_part_of_it(tmp_path: Path) -> None:
    assert probe(folder=tmp_path, interpreter=sys.executable).torch is not None


def test_an_interpreter_that_fails_is_a_problem_and_no_error(tmp_path: Path) -> None:
    found = probe(folder=tmp_path, interpreter=str(tmp_path / "missing"))
    assert "torch_missing" in [problem.id for problem in found.problems]


def test_the_controller_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from advisor.hardware import probe; probe(folder=pathlib.Path('.'));"
        "print([m for m in ('torch', 'rich', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def full() -> Hardware:
    rate = Rate(value=9.894e14, basis="table", source="sheet")
    device = replace(H100, peak_flops={"bf16": rate}, memory_bandwidth=rate, event_reasons=("hw_thermal",))
    hardware = machine(accelerators=(device,), links=("0-1 nvlink",))
    return replace(hardware, problems=setup_problems(hardware))


@pytest.mark.parametrize("hardware", [machine(), full(), machine(torch=None, disk=None, accelerators=())])
def test_json_gives_back_what_went_in(hardware: Hardware) -> None:
    assert from_json(json.loads(json.dumps(as_json(hardware)))) == hardware


def test_json_of_a_later_version_is_read() -> None:
    content = as_json(machine())
    content["cpu"]["cache_bytes"] = 1
    content["something"] = "new"
    assert from_json(content) == machine()


@pytest.mark.parametrize("content", [{}, {"cpu": 3}, {**as_json(machine()), "memory": None}])
def test_json_that_is_none_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        from_json(content)


def shown(hardware: Hardware) -> str:
    text = io.StringIO()
    render(hardware, Console(file=text, width=200))
    return text.getvalue()


def test_the_table_names_device_peaks_and_torch() -> None:
    text = shown(full())
    for part in ("NVIDIA H100 80GB HBM3", "bf16 989", "CUDA 12.4", "128 usable", "0-1 nvlink"):
        assert part in text


def test_problems_are_told_in_words() -> None:
    assert "the hardware lowers the clock because of heat" in shown(full())


def test_a_healthy_machine_hears_so() -> None:
    assert "No misconfiguration was found" in shown(machine())


def test_brackets_in_names_are_no_markup() -> None:
    assert "[/bold]" in shown(machine(hostname="[/bold]"))
