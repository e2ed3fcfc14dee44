"""Predicted speeds against published ones, and where the constants come from."""

from __future__ import annotations

import pytest

from advisor.planning.figures import read
from advisor.planning.published import Prediction, calibrated_fraction, predictions

MOST_ERROR = 0.15
ROWS = predictions()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_published_speed_is_predicted(row: Prediction) -> None:
    assert abs(row.error) <= MOST_ERROR


def test_most_rows_calibrated_nothing() -> None:
    """A constant for each row would fit anything."""
    assert sum(bool(row.calibrates) for row in ROWS) <= 3
    assert sum(not row.calibrates for row in ROWS) >= 15


@pytest.mark.parametrize("row", [row for row in ROWS if row.calibrates.startswith("matrix.")], ids=lambda row: row.name)
def test_a_calibrated_constant_follows_from_its_row(row: Prediction) -> None:
    kind, generation = row.calibrates.split(".")
    entry = read("achieved")[kind][generation]
    assert row.name in entry["from"]
    assert entry["fraction"] == pytest.approx(calibrated_fraction(row.name), rel=0.005)


def test_every_constant_and_row_has_its_source() -> None:
    achieved = read("achieved")
    entries = [*achieved["matrix"].values(), *achieved["attention"].values()]
    entries += [achieved[name] for name in ("memory", "link", "network", "usable_memory")]
    assert all(entry["from"] for entry in entries)
    assert all(row.source.startswith("https://") for row in ROWS)
