"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from advisor.report import format
from advisor.types import Ceiling, Place, WhatIf


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.118, "118 ms"),
        (1.4234, "1.42 s"),
        (0.00000042, "420 ns"),
        (0.000042, "42.0 µs"),
        (0.9999, "1.00 s"),
        (59.94, "59.9 s"),
        (200, "3 min 20 s"),
        (9000, "2.50 h"),
        (0, "0 s"),
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
    ],
)
def test_duration(seconds: float | None, said: str) -> None:
    assert format.duration(seconds) == said


@pytest.mark.parametrize(
    ("fraction", "said"),
    [
        (0.62, "62%"),
        (0.004, "0.4%"),
        (0.0996, "10%"),
        (0.03, "3%"),
        (0.0001, "< 0.1%"),
        (0, "0%"),
        (1.0, "100%"),
        (None, "–"),
    ],
)
def test_percent(fraction: float | None, said: str) -> None:
    assert format.percent(fraction) == said


@pytest.mark.parametrize(
    ("count", "said"), [(2**30, "1.00 GiB"), (1000, "1000 B"), (1500 * 2**20, "1.46 GiB"), (0, "0 B")]
)
def test_size(count: float, said: str) -> None:
    assert format.size(count) == said


@pytest.mark.parametrize(
    ("ratio", "said"), [(2.41, "2.4×"), (1.053, "1.05×"), (1.0, "1.00×"), (math.inf, "–"), (250, "250×")]
)
def test_times(ratio: float, said: str) -> None:
    assert format.times(ratio) == said


@pytest.mark.parametrize("created", ["2026-11-22T06:35:19Z", "2026-11-22T06:35:19+00:00"])
def test_moment(created: str) -> None:
    assert format.moment(created) == "2026-11-22 06:35:19 UTC"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (2.2, 2.64, "2.2–2.6"),
        (1.9, 2.1, "1.90–2.10"),
        (0.98, 1.04, "0.98–1.04"),
        (1.5, 24.13, "1.50–24.1"),
        (math.nan, 2.0, "––2.0"),
        (None, None, "–––"),
        (2.0, 10**400, "2.0––"),
    ],
)
def test_interval(low: float | None, high: float | None, said: str) -> None:
    assert format.interval(low, high) == said


@pytest.mark.parametrize(("value", "said"), [(2.35e11, "235 GFLOP/s"), (6.7e13, "67.0 TFLOP/s"), (12.0, "12.0 FLOP/s")])
def test_rate(value: float, said: str) -> None:
    assert format.rate(value, "FLOP/s") == said


def test_a_ceiling_says_what_it_rests_on() -> None:
    assert format.ceiling_text(Ceiling(speedup=2.41, low=2.2, high=2.6, basis="measured")) == "2.4× (measured, 2.2–2.6)"
    assert "estimated" in format.ceiling_text(Ceiling.from_share(0.2))


@pytest.mark.parametrize(
    "text",
    ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07red", "re\x00d", "red\u202e", "\x9bred", "red\x1b", "r\x08ed", "\x1bcred"],
)
def test_nothing_that_a_terminal_acts_on_is_left(text: str) -> None:
    left = format.plain(text)
    assert "red" in left
    assert left.isprintable()
    assert "\x1b" not in left


def test_line_ends_of_a_traceback_stay() -> None:
    assert format.plain("a\r\n\tb\n") == "a\n\tb\n"


def test_a_path_is_told_from_the_folder_of_the_start() -> None:
    assert format.short_path("/home/mara/photos/lib/data.py", "/home/mara/photos") == "lib/data.py"
    assert format.short_path("/usr/lib/x.py", "/home/mara/photos") == "/usr/lib/x.py"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (2.2, 2.6, "2.4× as fast (2.2–2.6)"),
        (0.0, 217.0, "too noisy to tell (0.00–217)"),
        (0.5, 2.5, "too noisy to tell (0.50–2.50)"),
        (math.nan, math.nan, "too noisy to tell (–––)"),
    ],
)
def test_what_an_interval_does_not_know_is_no_estimate(low: float, high: float, said: str) -> None:
    assert format.what_if_text(WhatIf(name="no_optimizer", speedup=2.4, low=low, high=high, rounds=1)) == said


INSTALLED = "/home/mara/photos/.venv/lib/python3.11/site-packages/torchvision/datasets/folder.py"


@pytest.mark.parametrize(
    ("file", "library", "said"),
    [
        ("/home/mara/photos/train.py", "", "train.py:17 in main"),
        ("/home/mara/photos/train.py", "transformers", "train.py:17 in main (calls transformers)"),
        (INSTALLED, "torchvision", "torchvision/datasets/folder.py:17 in main (torchvision)"),
    ],
)
def test_a_place_says_whose_work_is_done_there(file: str, library: str, said: str) -> None:
    place = Place(file=file, line=17, function="main", library=library)
    assert format.place_text(place, "/home/mara/photos") == said
