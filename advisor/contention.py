"""Competition for the CPUs: whether other programs disturb a measurement."""

from __future__ import annotations

DISTURBING_FRACTION = 0.3
"""Fraction of the usable CPUs: if other programs keep more busy, windows are hard to compare."""
FULL_FRACTION = 0.75
"""Fraction of the CPUs, on which the script may run, above which programs wait for each other at times. Beside a loop
that never rests, a training with two threads on two CPUs kept 0.8 of them busy together with it."""


def is_disturbed(others_cpus: float | None, own_cpus: float | None, *, usable_cpus: float, cpus: int) -> bool:
    """Return whether other programs take CPU time from the script.

    `usable_cpus` are those that the script may use at a time, out of `cpus` that it may run on. On a large machine
    others can keep many busy and be in nobody's way.
    """
    if others_cpus is None or others_cpus <= DISTURBING_FRACTION * usable_cpus:
        return False
    return others_cpus + (usable_cpus if own_cpus is None else own_cpus) > FULL_FRACTION * cpus
