"""Errors for unknown names: the nearest first, the rest where there is room."""

from __future__ import annotations

import pytest

from advisor.unknown_name import UnknownNameError, nearest

COLOURS = ("red", "green", "blue")
KNOBS = ("num_workers", "worker_threads", "precision", "momentum", *(f"knob_{number}" for number in range(20)))


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("gren", COLOURS, ["green"]),
        ("GREEN", COLOURS, ["green"]),
        ("worker", KNOBS, ["num_workers", "worker_threads"]),
        ("warp_drive", KNOBS, []),
        ("", KNOBS, []),
    ],
)
def test_similar_names_are_near_and_then_those_that_hold_it(
    name: str, known: tuple[str, ...], found: list[str]
) -> None:
    assert sorted(nearest(name, known)) == sorted(found)


def test_a_short_list_stands_in_the_line_the_nearest_first() -> None:
    error = UnknownNameError("unknown colour 'bleu'", COLOURS, name="bleu")
    assert str(error) == error.summary == "unknown colour 'bleu': expected one of blue, red, green"
    assert error.listed == ()


def test_of_a_long_list_the_line_holds_the_nearest_and_the_rest_is_listed() -> None:
    error = UnknownNameError("unknown knob 'precison'", KNOBS, name="precison")
    assert str(error) == error.summary == "unknown knob 'precison': did you mean precision?"
    assert error.listed == tuple(name for name in KNOBS if name != "precision")


def test_a_long_list_without_a_near_name_is_whole_in_the_text_and_below_the_summary() -> None:
    error = UnknownNameError("unknown knob 'warp'", KNOBS, name="warp", otherwise="give sizes")
    assert error.summary == "unknown knob 'warp': expected one of those below; give sizes"
    assert str(error) == f"unknown knob 'warp': expected one of {', '.join(KNOBS)}; give sizes"
    assert error.listed == KNOBS
