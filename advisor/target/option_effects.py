"""Effect of a script's options and constants on its training, by the knobs that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .. import knobs
from ..types import Argument, Command, Hardware, Workload
from .option_roles import ACCUMULATION, GLOBAL_BATCH, MICRO_BATCH, WORKERS, ArgumentValue, Option, find_options
from .script_options import pieces_effect

PIECES = (MICRO_BATCH, ACCUMULATION)
"""Roles of options that leave an update unchanged only together."""


def effect_of(
    arguments: Mapping[str, ArgumentValue],
    stand_for: Mapping[str, str],
    *,
    hardware: Hardware,
    workload: Workload,
    command: Command,
) -> str:
    """Return the strongest effect on training of these options: exact, resampled, numerics or training.

    `arguments` may name constants, too. An option is known by its name, or by the knob that it stood for in the search
    (`stand_for`: option → knob). An unknown option has an unknown effect, so it may change the training.
    """
    known = {option.flag: option for option in find_options(workload, command, {})}
    roles = {flag: option.role for flag, option in known.items()}
    given = [_Given.of(flag, value, workload, known, stand_for) for flag, value in arguments.items()]
    changed = [one for one in given if not one.is_baseline]
    found = [_alone(one, hardware, workload) for one in changed if one.role not in PIECES]
    pieces = [one for one in changed if one.role in PIECES]
    if pieces:
        found.append(_of_pieces(pieces, {one.role for one in given}, set(roles.values()), workload))
    return max(found, key=knobs.EFFECTS.index, default=knobs.EFFECTS[0])


@dataclass(frozen=True, kw_only=True)
class _Given:
    """Option with its given value."""

    role: str | None
    """Knob that it stands for; None if unknown."""
    value: ArgumentValue
    baseline: float | None
    """Value in the baseline; None if it is unknown or not a number."""

    @classmethod
    def of(
        cls,
        flag: str,
        value: ArgumentValue,
        workload: Workload,
        known: Mapping[str, Option],
        stand_for: Mapping[str, str],
    ) -> _Given:
        entry = next((one for one in workload.arguments if flag in one.flags), None)
        flags = entry.flags if entry is not None else (flag,)
        option = next((known[name] for name in flags if name in known), None)
        role = option.role if option is not None else stand_for.get(flag)
        is_constant = option is not None and option.place is not None
        return cls(role=role, value=value, baseline=option.value if option and is_constant else _number(entry))

    @property
    def is_baseline(self) -> bool:
        return self.baseline is not None and self.value == self.baseline


def _number(entry: Argument | None) -> float | None:
    value = entry.value if entry is not None else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _alone(given: _Given, hardware: Hardware, workload: Workload) -> str:
    if given.role != WORKERS:
        return knobs.EFFECTS[-1]
    # The workers of a loader that was not seen may draw its batches.
    return "resampled" if workload.train_loader is None else knobs.get(WORKERS).effect(hardware, workload)


def _of_pieces(pieces: list[_Given], given: set[str | None], roles: set[str], workload: Workload) -> str:
    """Return the effect on training of options that split an update into other pieces.

    The update stays the same if the number of pieces grows as their size shrinks. It also stays the same if the script
    has its own option for the size of an update, and that is left alone.
    """
    if GLOBAL_BATCH in roles and GLOBAL_BATCH not in given and all(one.role == MICRO_BATCH for one in pieces):
        return pieces_effect(workload)
    before, after = 1.0, 1.0
    for one in pieces:
        if not one.baseline or isinstance(one.value, str):
            return knobs.EFFECTS[-1]
        before, after = before * one.baseline, after * one.value
    return pieces_effect(workload) if before == after else knobs.EFFECTS[-1]
