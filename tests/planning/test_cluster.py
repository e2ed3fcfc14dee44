"""Devices by name, grid and figures given by hand."""

from __future__ import annotations

import pytest

from advisor.errors import UsageError
from advisor.planning import Given, devices_of

BY_HAND = Given(memory_gb=64, peak_tflops=500, bandwidth_gb_s=2000)


@pytest.mark.parametrize(
    ("text", "each", "machines"), [("h100", 1, 1), ("h100:8", 8, 1), ("H100:8x16", 8, 16), (" a100:4x2 ", 4, 2)]
)
def test_a_grid_is_machines_of_so_many_devices(text: str, each: int, machines: int) -> None:
    device = devices_of(text, "bf16", Given()).device
    assert (device.per_machine, device.machines, device.count) == (each, machines, each * machines)


def test_figures_come_from_the_tables() -> None:
    device = devices_of("h100:8x2", "bf16", Given()).device
    assert (device.peak_flops, device.memory_bytes, device.memory_bandwidth) == (989.4e12, 80e9, 3352e9)
    assert (device.link_bandwidth, device.network_bandwidth) == (450e9, 50e9)


def test_a_device_of_the_peaks_table_needs_no_entry_of_its_own() -> None:
    device = devices_of("rtx-4090:2", "bf16", Given()).device
    assert (device.name, device.link) == ("NVIDIA GeForce RTX 4090", "PCIe Gen4")


def test_figures_by_hand_replace_those_of_the_tables() -> None:
    device = devices_of("h100", "bf16", Given(memory_gb=96, network_gb_s=12.5)).device
    assert (device.memory_bytes, device.network_bandwidth, device.peak_flops) == (96e9, 12.5e9, 989.4e12)
    assert device.by_hand == ("memory 96 GB", "network 12.5 GB/s")


def test_three_figures_describe_an_unknown_device() -> None:
    device = devices_of("trn9:16", "bf16", BY_HAND).device
    assert (device.name, device.memory_bytes, device.peak_flops) == ("trn9", 64e9, 500e12)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("h1000", "unknown device 'h1000': did you mean h100"),
        ("trn9:16", "expected one of h100, h100-pcie, .*give memory_gb=80.0, peak_tflops=900.0 and bandwidth_gb_s="),
        ("h100:0", "invalid devices 'h100:0': expected 1 to"),
        ("h100:8y2", "expected a device such as h100, h100:8 or h100:8x16"),
        ("", "expected a device such as"),
        ("here:2", "known from a profile only"),
    ],
)
def test_what_is_no_device_is_refused_with_what_would_be_one(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        devices_of(text, "bf16", Given())


def test_a_precision_without_a_peak_is_refused() -> None:
    with pytest.raises(UsageError, match=r"peak of NVIDIA A100 80 GB SXM in fp8 is not known.*known: bf16, fp16"):
        devices_of("a100", "fp8", Given())
