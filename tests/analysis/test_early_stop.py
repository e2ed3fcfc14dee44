"""Early stopping on twelve recorded curves of real small trainings, each judged after parts of its updates.

The curves were recorded by `curves/record.py`: digits with linear, fully connected and convolutional models, text of
the standard library with an LSTM and a small GPT, a matrix factorisation and a regression; two of them with a decay.
"""

from __future__ import annotations

import json
import statistics
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from advisor.analysis import early_stop as module
from advisor.analysis.early_stop import early_stop
from advisor.types import EarlyStop

CURVES = sorted(path.stem for path in (Path(__file__).parent / "curves").glob("*.json"))
SEEN = (0.25, 0.3, 0.4, 0.5, 0.6, 0.75)
HARM = 0.02
"""Part of the whole fall by which the loss at a stop may be above that at the end, besides the noise of both means."""
WIDTH = 100


@cache
def curve(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(__file__).parent / "curves" / f"{name}.json").read_text())
    return found


@cache
def judged(name: str, part: float) -> EarlyStop:
    known = curve(name)
    count = round(part * known["planned"])
    ahead = known["decay_until"] is not None and count < known["decay_until"]
    return early_stop(list(enumerate(known["losses"][:count])), known["planned"], decay_ahead=ahead)


def level(name: str, update: int) -> float:
    losses: list[float] = curve(name)["losses"]
    return statistics.fmean(losses[max(0, update - WIDTH) : max(update, WIDTH)])


@pytest.mark.parametrize("name", CURVES)
def test_no_stop_is_harmful(name: str) -> None:
    losses, planned = curve(name)["losses"], curve(name)["planned"]
    noise = statistics.stdev(losses[-WIDTH:]) * (2 / WIDTH) ** 0.5
    for part in SEEN:
        at = judged(name, part).stop_at
        if at is not None:
            harm = level(name, at) - level(name, planned)
            assert harm <= HARM * (losses[0] - level(name, planned)) + 2 * noise, (part, at)


def test_where_it_stops_a_fifth_of_the_updates_is_saved() -> None:
    stopped = [judged(name, part) for name in CURVES for part in SEEN if judged(name, part).stop_at is not None]
    assert len(stopped) >= len(CURVES)
    assert statistics.fmean(stop.saved_fraction for stop in stopped) >= 0.2


def test_nothing_is_said_before_a_decay() -> None:
    for name in CURVES:
        known = curve(name)
        for part in SEEN:
            if known["decay_until"] is not None and part * known["planned"] < known["decay_until"]:
                assert "learning rate may still fall" in judged(name, part).why_not


@pytest.mark.parametrize("name", ["digits_mlp_slow_sgd", "text_lstm", "text_gpt"])
def test_a_loss_that_goes_on_falling_is_let_go_on(name: str) -> None:
    assert all(judged(name, part).stop_at is None for part in SEEN)


@pytest.mark.parametrize("name", ["digits_mlp_sgd", "digits_linear", "digits_mlp_adam", "regression"])
def test_the_interval_of_what_is_left_covers_what_was(name: str) -> None:
    found = judged(name, 0.5)
    was = level(name, round(0.5 * curve(name)["planned"])) - level(name, curve(name)["planned"])
    assert found.left_low - found.tolerance <= was <= found.left_high + found.tolerance
    assert found.left_low <= found.left <= found.left_high


@pytest.mark.parametrize(
    ("count", "planned", "ahead", "why"),
    [
        (500, None, False, "do not say how long"),
        (module.LEAST_LOSSES - 1, 100, False, "losses were seen"),
        (300, 3_000, False, "of the training was seen"),
        (500, 1_000, True, "may still fall"),
        (500, 1_000, None, "may still fall"),
    ],
)
def test_too_little_knowledge_is_told(count: int, planned: int | None, ahead: bool | None, why: str) -> None:
    losses = list(enumerate(curve("digits_mlp_sgd")["losses"][:count]))
    found = early_stop(losses, planned, decay_ahead=ahead)
    assert why in found.why_not
    assert found.stop_at is None


def test_a_loss_that_has_not_fallen_is_not_extrapolated() -> None:
    flat = [(update, 2.3 + 0.1 * (-1) ** update) for update in range(400)]
    assert "has not fallen" in early_stop(flat, 1_000).why_not
