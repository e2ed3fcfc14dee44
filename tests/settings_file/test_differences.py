"""What no longer holds on another machine: what was set, what differs, and nothing a file says can break it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.rules._examples import healthy_cpu
from advisor.settings_file.exports import Document, differences, hardware_words
from advisor.types import Accelerator, Config, Hardware

HERE = healthy_cpu().hardware
ON_A100 = replace(HERE, accelerators=(Accelerator(index=0, kind="cuda", name="NVIDIA A100", memory_bytes=80 * 2**30),))
VERSIONS = {"torch": "2.13.0+cpu"}


def told(
    settings: dict[str, Any],
    *,
    here: Hardware = HERE,
    torch: str = "2.13.1",
    device: str = "cpu",
    verdict: dict[str, Any] | None = None,
    **there: Any,
) -> list[str]:
    found = {
        "hardware": {**hardware_words(HERE), **there},
        "versions": {"torch": torch},
        "training": {"device": device},
    }
    return differences(Document(config=Config.of(settings), found=found, verdict=verdict or {}), here, VERSIONS)


def test_the_same_machine_is_no_difference() -> None:
    assert told({"num_workers": 2, "precision": "bf16", "compile": "default", "cache_dataset": True}) == []


@pytest.mark.parametrize(
    ("settings", "there", "words"),
    [
        ({"threads": 4}, {"usable_cpus": 64.0}, "found with 64 CPUs, here 8: threads may"),
        ({"compile": "default"}, {"cpu": "Other"}, "found on the CPU Other, here Example 8-core: compile may"),
        ({"cache_dataset": True}, {"ram_gib": 512.0}, "found with 512 GiB of memory, here 32: cache_dataset may"),
        ({"precision": "bf16"}, {"accelerators": ["H100"]}, "found with H100, here none: precision may"),
        ({"compile": "default"}, {"torch": "2.4.0"}, "found with torch 2.4, here 2.13: compile may"),
    ],
)
def test_a_difference_names_what_was_chosen_for_it(settings: dict[str, Any], there: dict[str, Any], words: str) -> None:
    assert words in told(settings, **there)[0]


@pytest.mark.parametrize(
    ("settings", "there"),
    [
        ({"precision": "bf16"}, {"usable_cpus": 64.0}),
        ({"num_workers": 2}, {"cpu": "Other"}),
        ({"cache_dataset": True}, {"ram_gib": 8.0}),
        ({"num_workers": 2}, {"accelerators": ["H100"]}),
        ({"num_workers": 2}, {"torch": "1.13.0"}),
        ({"precision": "bf16"}, {"cpu": "Other", "device": "cuda"}),
    ],
)
def test_what_it_has_nothing_to_do_with_still_holds(settings: dict[str, Any], there: dict[str, Any]) -> None:
    assert told(settings, **there) == []


def test_another_accelerator_is_named() -> None:
    first = told({"micro_batch": 16}, here=ON_A100, device="cuda", accelerators=["Tesla V100"])[0]
    assert first.startswith("found with Tesla V100, here NVIDIA A100: micro_batch may")


def test_the_speed_up_was_measured_elsewhere() -> None:
    last = told({"threads": 4}, usable_cpus=64.0, verdict={"speedup": 1.8})[-1]
    assert last == "the speed-up of 1.80 was measured there, not here: search again with advisor tune"


def test_a_file_that_says_nothing_is_not_compared() -> None:
    assert differences(Document(config=Config.of({"num_workers": 2})), HERE, VERSIONS) == []


@pytest.mark.parametrize("name", ["usable_cpus", "ram_gib"])
def test_a_number_that_nobody_measured_is_not_compared(name: str) -> None:
    assert told({"num_workers": 2, "threads": 2}, **{name: 10**400}) == []


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
NAMES = ["cpu", "usable_cpus", "ram_gib", "accelerators", "torch", "speedup", "device"]


@pytest.mark.slow
@given(words=st.dictionaries(st.sampled_from(NAMES), ANYTHING), whole=ANYTHING)
def test_nothing_that_a_file_says_breaks_it(words: Any, whole: Any) -> None:
    config = Config.of({"num_workers": 2, "precision": "bf16", "cache_dataset": True})
    said = Document(config=config, found={"hardware": words, "versions": words, "training": words}, verdict=words)
    lines = differences(said, HERE, VERSIONS)
    lines += differences(Document(config=config, found={"hardware": whole, "versions": whole}), HERE, VERSIONS)
    assert all(line.isprintable() for line in lines)
