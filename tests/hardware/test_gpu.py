"""With a real NVIDIA device."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from advisor.hardware import calibrate, probe
from advisor.hardware.nvidia import nvidia

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not nvidia().accelerators, reason="no NVIDIA device here"),
]

ABOVE_PEAK_MAX = 1.1
"""Measured over the sheet: boost clocks lie up to a few percent above what the sheet reckons with."""


def test_nvml_and_torch_see_the_same_device(tmp_path: Path) -> None:
    (first, *_) = probe(folder=tmp_path).accelerators
    assert first.memory_bytes is not None
    assert first.compute_capability is not None
    assert first.driver is not None


def test_what_is_measured_is_near_and_not_above_the_sheet(tmp_path: Path) -> None:
    before = probe(folder=tmp_path, interpreter=sys.executable)
    if before.torch is None or not before.torch.accelerator_available:
        pytest.skip("this interpreter's torch cannot use the device")
    after = calibrate(before, interpreter=sys.executable, cache_folder=tmp_path)
    table, measured = before.accelerators[0].peak_flops, after.accelerators[0].peak_flops
    for dtype in ("fp32", "tf32", "bf16", "fp16"):
        if dtype in table:
            assert measured[dtype].basis == "measured"
            assert 0.3 < measured[dtype].value / table[dtype].value < ABOVE_PEAK_MAX, dtype
