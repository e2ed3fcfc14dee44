from __future__ import annotations

from pathlib import Path

import pytest

from advisor.hardware.peaks import DeviceProfile, DeviceProfileError, device_profiles, read_profiles, with_table_peaks
from advisor.types.hardware import Accelerator


def device(name: str, *, memory_gb: float | None = None, mig: bool | None = None) -> Accelerator:
    memory = None if memory_gb is None else int(memory_gb * 1e9)
    return Accelerator(index=0, kind="cuda", name=name, memory_bytes=memory, mig=mig)


# Names as drivers print them, with the dense bf16 peak (fp16 where there is no bf16) in TFLOP/s.
NAMES = {
    "NVIDIA A100-SXM4-40GB": 312,
    "A100-PCIE-40GB": 312,
    "NVIDIA A100 80GB PCIe": 312,
    "NVIDIA H100 80GB HBM3": 989.4,
    "NVIDIA H100 PCIe": 756,
    "NVIDIA H100 NVL": 835.5,
    "NVIDIA H200": 989.5,
    "NVIDIA B200": 2250,
    "NVIDIA L4": 121,
    "NVIDIA L40": 181.05,
    "NVIDIA L40S": 362.05,
    "Tesla T4": 65,
    "Tesla V100-SXM2-16GB": 125,
    "NVIDIA GeForce RTX 3090": 71,
    "NVIDIA GeForce RTX 4090": 165.2,
    "NVIDIA GeForce RTX 5090": 209.5,
    "NVIDIA A10": 125,
    "NVIDIA A10G": 70,
    "NVIDIA RTX A6000": 154.8,
    "NVIDIA RTX 6000 Ada Generation": 364.2,
    "AMD Instinct MI250X": 191.5,
    "AMD Instinct MI300X": 1307.4,
    "TPU v4": 275,
    "TPU v5e": 197,
    "TPU v5 lite": 197,
    "TPU v5p": 459,
    "TPU v6e": 918,
}


@pytest.mark.parametrize(("name", "tflops"), NAMES.items())
def test_a_device_is_found_by_the_name_its_driver_gives(name: str, tflops: float) -> None:
    peaks = with_table_peaks(device(name)).peak_flops
    assert (peaks.get("bf16") or peaks["fp16"]).value == pytest.approx(tflops * 1e12)


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4080 SUPER",
        "NVIDIA GeForce RTX 3090 Ti",
        "NVIDIA A100X",
        "NVIDIA H100 80GB HBM3e of tomorrow",
        "something",
    ],
)
def test_a_device_that_is_not_in_the_table_gets_no_peaks(name: str) -> None:
    assert with_table_peaks(device(name)).peak_flops == {}


def test_memory_tells_devices_of_one_name_apart() -> None:
    small, large = (with_table_peaks(device("NVIDIA GeForce RTX 3080", memory_gb=gb)) for gb in (10.7, 12.9))
    assert (bool(small.peak_flops), bool(large.peak_flops)) == (True, False)


def test_a_part_of_a_device_has_not_the_whole_peak() -> None:
    # A name that a pattern of the table matches to its end.
    part = device("NVIDIA H100 SXM5 MIG 1g.10gb", mig=True)
    assert any(profile.matches(part) for profile in device_profiles())
    assert with_table_peaks(part) == part


def test_names_match_at_most_one_device() -> None:
    for name in NAMES:
        assert sum(profile.matches(device(name)) for profile in device_profiles()) == 1, name


def rates(profile: DeviceProfile) -> dict[str, float]:
    return {dtype: rate.value for dtype, rate in profile.peak_flops.items()}


def test_every_figure_names_a_source_with_an_address() -> None:
    for profile in device_profiles():
        bandwidth = [] if profile.memory_bandwidth is None else [profile.memory_bandwidth]
        for rate in (*profile.peak_flops.values(), *bandwidth):
            assert "https://" in rate.source, profile.name


def test_narrower_types_are_never_slower() -> None:
    # Holds for all hardware, and catches a figure with sparsity beside a dense one.
    for profile in device_profiles():
        found = rates(profile)
        order = [found[dtype] for dtype in ("fp32", "tf32", "bf16", "fp8") if dtype in found]
        assert order == sorted(order), profile.name


def test_the_tensor_figures_of_a_device_are_powers_of_two_apart() -> None:
    # bf16 : fp8 is 1 : 2 dense; a sparse figure would make it 4 or 1.
    for profile in device_profiles():
        found = rates(profile)
        if {"bf16", "fp8"} <= found.keys():
            assert found["fp8"] / found["bf16"] == pytest.approx(2.0, rel=0.02), profile.name


def test_figures_have_the_magnitude_of_accelerators() -> None:
    for profile in device_profiles():
        assert all(1e12 <= value <= 1e16 for value in rates(profile).values()), profile.name
        if profile.memory_bandwidth is not None:
            assert 5e10 <= profile.memory_bandwidth.value <= 2e13, profile.name


GOOD = """
[sources.sheet]
name = "sheet"
url = "https://example.com/sheet"
[[device]]
name = "X"
patterns = ['X']
[[device.figures]]
source = "sheet"
bf16_tflops = 1
"""


def test_a_good_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text(GOOD)
    (profile,) = read_profiles(file)
    assert profile.peak_flops["bf16"].value == 1e12


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[sources.sheet]", "[sources.sheet"),
        ('source = "sheet"', 'source = "nowhere"'),
        ("bf16_tflops", "bf17_tflops"),
        ("patterns = ['X']", "patterns = ['(']"),
        ("patterns = ['X']", ""),
        ("= 1", '= "fast"'),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "broken.toml"
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(DeviceProfileError, match=r"broken\.toml"):
        list(read_profiles(file))
