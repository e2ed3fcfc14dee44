"""flush_denormal: all threads of torch take denormal numbers for zero, as the mode is there before they start."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from advisor import knobs
from advisor.rules._examples import evolve, healthy_cpu, healthy_cuda

KNOB = knobs.get("flush_denormal")
SCRIPT = """
import torch
torch.set_num_threads(2)
model = torch.nn.Linear(4, 4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(6):
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
left = torch.full((400_000,), 1e-39).mul(0.5).count_nonzero().item()
print("left", left / 400_000)
"""
pytestmark = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="another CPU")


def trained(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    script = folder / "train.py"
    script.write_text(SCRIPT)
    return subprocess.run(
        [sys.executable, "-m", "advisor", "run", *options, str(script)],
        capture_output=True, text=True, timeout=120, cwd=folder, check=True,
    )  # fmt: skip


def test_every_thread_of_a_real_training_flushes(tmp_path: Path) -> None:
    assert "left 0.0" in trained(tmp_path, "--set", "flush_denormal=true").stdout


def test_the_script_alone_keeps_such_numbers(tmp_path: Path) -> None:
    assert "left 1.0" in trained(tmp_path, "--set", "gc=freeze").stdout


def test_a_script_that_turns_the_mode_off_is_told(tmp_path: Path) -> None:
    script = tmp_path / "off.py"
    script.write_text(SCRIPT.replace("import torch\n", "import torch\ntorch.set_flush_denormal(False)\n", 1))
    done = subprocess.run(
        [sys.executable, "-m", "advisor", "run", "--set", "flush_denormal=true", str(script)],
        capture_output=True, text=True, timeout=120, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert "left 1.0" in done.stdout
    assert "flush_denormal keeps the script's value: this CPU cannot flush such numbers, or" in done.stderr


def test_it_is_for_cpus_that_can() -> None:
    here, device = healthy_cpu(), healthy_cuda()
    assert KNOB.values(here.hardware, here.workload).values == (True,)
    assert "training runs on cuda" in KNOB.values(device.hardware, device.workload).why_closed
    other = evolve(here, {"hardware": {"cpu": {"architecture": "riscv64"}}})
    assert "riscv64" in KNOB.values(other.hardware, other.workload).why_closed
