"""Shares out the time of the GPU benchmark: what is begun can end before the time is up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

WAYS_BESIDE = 2
"""Processes of a workload that are timed beside each other: by hand, and with the settings that tune chose."""
HOOKS_TURNS = 6 * 2
"""Three lengths of an update, each by hand and under `advisor run`, in two rounds."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Seconds that the parts are expected to take."""

    images_s: float
    start_s: float
    """Until all scripts as written, started together, have warmed up."""
    start_limit_s: float
    """After which a script that has not warmed up counts as failed."""
    compile_s: float
    """The same by hand and with settings: there they compile."""
    turn_s: float
    trace_s: float
    sizes_s: float
    """To find how large a stack is whose update takes so long."""
    hooks_turn_s: float
    tune_besides_s: float
    """What tune takes beside its budget: until the first update, and to write what it found."""
    least_tune_s: float
    most_tune_s: float
    slack_s: float


H100 = Costs(
    images_s=8, start_s=25, start_limit_s=62, compile_s=65, turn_s=5.5, trace_s=6.5, sizes_s=5, hooks_turn_s=2.2,
    tune_besides_s=16, least_tune_s=30, most_tune_s=240, slack_s=10,
)  # fmt: skip
"""By what one H100 showed: 9 to 10 s until a script begins, about half a minute to compile one."""
DRY = Costs(
    images_s=4, start_s=20, start_limit_s=150, compile_s=30, turn_s=1.5, trace_s=1.5, sizes_s=3, hooks_turn_s=0.6,
    tune_besides_s=14, least_tune_s=6, most_tune_s=8, slack_s=2,
)  # fmt: skip
"""Small sizes on two CPU cores, which others may use as well."""


@dataclass(frozen=True, kw_only=True)
class Part:
    what: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    workloads: tuple[str, ...] = ()
    """Those that have time for everything, in order."""
    only_as_written: tuple[str, ...] = ()
    hooks: bool = False
    tune_s: float | None = None
    """Budget of each call of tune."""
    parts: tuple[Part, ...] = ()

    @property
    def total_s(self) -> float:
        return sum(part.seconds for part in self.parts)


def plan(seconds: float, workloads: Sequence[str], costs: Costs, *, hooks: bool, images: Sequence[str] = ()) -> Plan:
    """As many workloads as fit, in their order, then the hooks; what is left makes the searches longer."""
    if not workloads:
        found = _fixed((), costs, hooks=hooks, images=())
        return found if found.total_s <= seconds else Plan()
    for count in range(len(workloads), 0, -1):
        for with_hooks in (True, False) if hooks else (False,):
            found = _fixed(workloads[:count], costs, hooks=with_hooks, images=images)
            tune_s = tune_budget(seconds - found.total_s, count, costs)
            if tune_s is not None:
                searches = [
                    Part(what=f"tune {name}", seconds=costs.tune_besides_s + tune_s) for name in found.workloads
                ]
                return replace(found, tune_s=tune_s, parts=(*found.parts, *searches))
    return _baselines(seconds, workloads, costs, images)


def tune_budget(left_s: float, searches: int, costs: Costs) -> float | None:
    """The budget of the next of so many calls of tune that share this time; None where it is too short to be one."""
    budget_s = float(math.floor(min(left_s / searches - costs.tune_besides_s, costs.most_tune_s)))
    return budget_s if budget_s >= costs.least_tune_s else None


def beside_s(workloads: int, costs: Costs, *, hooks: bool) -> float:
    """Seconds for the processes that are timed beside each other, once each."""
    turns_s = workloads * WAYS_BESIDE * costs.turn_s + (HOOKS_TURNS * costs.hooks_turn_s if hooks else 0.0)
    return costs.compile_s + turns_s if workloads else costs.start_s + turns_s


def groups(needs_gib: Sequence[float], has_gib: float | None) -> list[list[int]]:
    """Positions of neighbours that fit into memory together; None is a memory without a limit that matters."""
    found: list[list[int]] = []
    filled = 0.0
    for number, need in enumerate(needs_gib):
        if not found or (has_gib is not None and filled + need > has_gib):
            found.append([])
            filled = 0.0
        found[-1].append(number)
        filled += need
    return found


def _fixed(workloads: Sequence[str], costs: Costs, *, hooks: bool, images: Sequence[str]) -> Plan:
    """What is planned beside the searches."""
    parts = [Part(what="slack", seconds=costs.slack_s)]
    if workloads or hooks:
        parts += _first(workloads, costs, images)
        parts.append(Part(what="side by side", seconds=beside_s(len(workloads), costs, hooks=hooks)))
    if hooks:
        parts.append(Part(what="sizes", seconds=costs.sizes_s))
    return Plan(workloads=tuple(workloads), hooks=hooks, parts=tuple(parts))


def _first(workloads: Sequence[str], costs: Costs, images: Sequence[str]) -> list[Part]:
    made = [Part(what="images", seconds=costs.images_s)] if set(images) & set(workloads) else []
    turns_s = len(workloads) * (costs.turn_s + costs.trace_s)
    return [*made, Part(what="as written", seconds=costs.start_s + turns_s)]


def _baselines(seconds: float, workloads: Sequence[str], costs: Costs, images: Sequence[str]) -> Plan:
    for count in range(len(workloads), 0, -1):
        parts = [Part(what="slack", seconds=costs.slack_s), *_first(workloads[:count], costs, images)]
        found = Plan(only_as_written=tuple(workloads[:count]), parts=tuple(parts))
        if found.total_s <= seconds:
            return found
    return Plan()
