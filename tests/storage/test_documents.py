"""Numbers of stored files, which may hold any."""

from __future__ import annotations

import math
from typing import Any

import pytest

from advisor.settings_file import advisor_yaml
from advisor.storage.documents import finite
from advisor.types import Config
from advisor.workflows.verify import _gain


@pytest.mark.parametrize("value", [0, -3, 2.5, 1e308, 10**300])
def test_a_number_that_a_float_can_hold_is_one(value: float) -> None:
    assert finite(value) == float(value)


@pytest.mark.parametrize("value", [10**400, -(10**400), math.nan, math.inf, None, True, "1", [1]])
def test_anything_else_is_none(value: Any) -> None:
    assert finite(value) is None


@pytest.mark.parametrize(
    ("interval", "gain"), [([1.5, 2.0], 1.5), ([0.9, 2.0], None), ([10**400, 2], None), ([], None), ("1.5", None)]
)
def test_a_verification_expects_what_the_file_claims_if_that_is_a_gain(interval: Any, gain: float | None) -> None:
    assert _gain(advisor_yaml.Document(config=Config(), verdict={"interval": interval})) == gain
