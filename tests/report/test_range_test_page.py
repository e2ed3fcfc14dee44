"""The page of a range test: the sentence of the terminal, and one chart of the curve."""

from __future__ import annotations

import itertools
import math
import random
import re
from dataclasses import replace

import pytest

from advisor.report.pictures import Missing, Picture, rate_curve
from advisor.report.range_test import headline
from advisor.report.search.learning_html import learning_page
from advisor.report.search.range_test_html import range_test_page
from advisor.types import Command, Failure, RangeTest, RateBracket, RateSuggestion, RateSweep
from advisor.workflows.shown import ShownRangeTest, shown_as

from . import hostile, sample_learning
from .markup import Page

LOW, HIGH = 1e-4, 10.0


def sweep(count: int, seed: int) -> RateSweep:
    """A sweep that falls from 0.01 on, is lowest at 0.3, and diverges after 1."""
    generator, rates, losses = random.Random(seed), [], []
    for place in range(count):
        rate = LOW * (HIGH / LOW) ** (place / (count - 1))
        fall = min(1.0, max(0.0, math.log10(rate / 0.01) / 1.5))
        rates.append(rate)
        losses.append(2.3 - fall + (0 if rate < 0.5 else 1e4 * (rate - 0.5)) + generator.gauss(0, 0.02))
    return RateSweep(rates=tuple(rates), losses=tuple(losses), ended="complete")


def example() -> RangeTest:
    return RangeTest(
        command=Command(target="train.py", is_module=False, args=("--lr", "0.0005"), cwd="/work", interpreter="python"),
        script_rate=0.0005,
        optimizer="SGD",
        sweeps=(sweep(50, 0), sweep(40, 1), sweep(30, 2)),
        updates=199,
        bracket=RateBracket(falls_from=0.012, steepest=0.05, valley=0.3, diverges_from=0.6),
        suggestion=RateSuggestion(rate=0.08, low=0.05, high=0.13),
        run_folder="/runs/20261127-1200-train-abc",
    )


def test_the_page_says_what_the_terminal_says_and_draws_the_curve() -> None:
    page = range_test_page(example())
    read = Page(page)
    assert headline(example()) in read.words
    assert "Next: advisor run --set learning_rate=0.08 train.py --lr 0.0005" in read.words
    assert "diverges from 0.6" in read.words
    assert page.count("<svg") == 1
    assert "<html" not in shown_as(ShownRangeTest, example())._repr_html_()


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (0.0003, "is 0.0003, among the rates from 4.3e-05 to 0.0008, which the range test does not tell apart."),
        (
            1e-5,
            "below all that the range test finds to train: it does not tell rates from 4.3e-05 to 0.0008 apart",
        ),
        (0.01, "is 0.01, above all that the range test finds to train"),
    ],
)
def test_a_wide_interval_is_no_point(own: float, words: str) -> None:
    suggestion = RateSuggestion(rate=0.00019, low=4.3e-5, high=0.0008)
    found = replace(example(), script_rate=own, suggestion=suggestion)
    assert words in headline(found)
    assert "suggests" not in headline(found)


def test_the_chart_has_every_point_within_it_one_line_a_sweep_and_the_bracket() -> None:
    drawn = rate_curve.draw(example())
    assert isinstance(drawn, Picture)
    points = [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawn.svg)]
    near = sum(loss < 10 for one in example().sweeps for loss in one.losses if loss is not None)
    assert len(points) == near
    assert drawn.svg.count('class="curve"') == 3
    # The sweep's rates are evenly spaced on a logarithmic axis.
    places = [x for x, _y in points[:30]]
    assert max(b - a for a, b in itertools.pairwise(places)) < 1.05 * (places[-1] - places[0]) / 29
    ((begin, width),) = re.findall(r'<rect x="([\d.]+)"[^>]* width="([\d.]+)"[^>]*class="ground bracket"', drawn.svg)
    inside = [rate for rate, (x, _y) in zip(example().sweeps[0].rates, points, strict=False)
              if float(begin) <= x <= float(begin) + float(width)]  # fmt: skip
    assert 0.012 <= min(inside) < 0.02
    assert 0.3 < max(inside) <= 0.6


def test_a_loss_that_explodes_does_not_flatten_the_curve() -> None:
    drawn = rate_curve.draw(example())
    assert isinstance(drawn, Picture)
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', drawn.svg)]
    assert max(heights) - min(heights) > 80


def test_without_a_suggestion_the_reason_stands_in_its_place() -> None:
    found = replace(example(), bracket=None, suggestion=None, abstained="no rate changed the loss")
    page = range_test_page(found)
    assert "No other is suggested: no rate changed the loss" in Page(page).words
    assert "Next:" not in page
    assert 'class="ground bracket"' not in page


def test_without_a_sweep_the_page_says_what_is_not_drawn() -> None:
    failure = Failure(kind="crash", message="ValueError: it explodes", stderr_tail="Traceback: it explodes")
    found = replace(example(), sweeps=(), bracket=None, suggestion=None, abstained="it did not begin", failure=failure)
    assert isinstance(rate_curve.draw(found), Missing)
    words = Page(range_test_page(found)).words
    assert "Not drawn: loss over the learning rate (no sweep was completed)" in words
    assert "Your script failed: ValueError: it explodes." in words
    assert "Traceback: it explodes" in words


def test_the_page_of_a_search_has_the_curve_too() -> None:
    with_test = replace(sample_learning.faster(), range_test=example())
    assert learning_page(with_test).count("<svg") == learning_page(sample_learning.faster()).count("<svg") + 1


@pytest.mark.parametrize("number", [0.0, -1.0, math.nan, math.inf, 1e300, 1e-300])
def test_numbers_that_no_test_gives_make_no_wild_chart(number: float) -> None:
    page = Page(range_test_page(hostile.changed(example(), number=lambda _value: number)))
    assert page.wild_places == []
    marks = Page(
        range_test_page(replace(hostile.changed(example(), number=lambda _value: number), sweeps=example().sweeps))
    )
    assert marks.wild_places == []


def test_hostile_text_is_text() -> None:
    page = Page(range_test_page(hostile.changed(example(), text=hostile.TEXT)))
    assert not any(tag == "script" for tag, _attributes in page.tags)
