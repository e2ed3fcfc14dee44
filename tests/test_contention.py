"""Other programs disturb a script where they take its CPUs, and only there."""

from __future__ import annotations

import pytest

from advisor.contention import is_disturbed


@pytest.mark.parametrize(
    ("others", "own", "usable", "cpus", "disturbed"),
    [
        (None, 2.0, 2.0, 2, False),
        (0.5, 1.5, 2.0, 2, False),
        (0.7, 1.3, 2.0, 2, True),
        (0.7, 0.1, 2.0, 2, False),
        (0.7, None, 2.0, 2, True),
        (30.0, 8.0, 64.0, 64, False),
        (30.0, 4.0, 4.0, 64, False),
        (62.0, 3.0, 4.0, 64, True),
    ],
)
def test_a_program_waits_only_where_the_cpus_are_full(
    others: float | None, own: float | None, usable: float, cpus: int, disturbed: bool
) -> None:
    assert is_disturbed(others, own, usable_cpus=usable, cpus=cpus) is disturbed
