"""Table of the ranks in a report: their own time, their wait for each other, and their data."""

from __future__ import annotations

from ...plural import plural
from ...types import Communication, Profile, Rank
from .. import format

MOST_ROWS = 16
"""Most ranks that are shown one by one: those that wait least, the slowest ones, come first."""


def rank_rows(profile: Profile) -> list[tuple[str, ...]]:
    """Return the rows of the table, its head first; empty for a single rank."""
    if len(profile.ranks) < 2:
        return []
    head = ("rank", "own work", "waits for others", "data wait", "samples", "elements")
    return [head, *(_row(rank) for rank in chosen_ranks(profile.ranks))]


def chosen_ranks(ranks: tuple[Rank, ...]) -> list[Rank]:
    """Return the ranks to show, in their order; of many, the slowest."""
    if len(ranks) <= MOST_ROWS:
        return list(ranks)
    slowest = sorted(ranks, key=lambda rank: -(rank.own_s or 0.0))[:MOST_ROWS]
    return sorted(slowest, key=lambda rank: rank.rank)


def ranks_line(profile: Profile) -> str | None:
    """Describe all ranks together; None for a single one."""
    count = len(profile.ranks)
    world_size = profile.workload.world_size if profile.workload is not None else 1
    if world_size < 2:
        return None
    parts = [plural(world_size, "rank")]
    if count < world_size:
        parts.append(f"{count} of them measured{': torchrun shows the others, too' if count == 1 else ''}")
    facts = profile.workload.ranks if profile.workload is not None else None
    if facts is not None:
        parts.append(f"{_WRAPPERS[facts.wrapper]} over {format.one_line(facts.backend)}")
    samples = [rank.samples_per_update for rank in profile.ranks]
    if count == world_size and profile.steps is not None and None not in samples:
        together = sum(one or 0.0 for one in samples) * profile.steps.updates_per_s
        parts.append(f"{format.number(together)} samples/s together")
    if profile.communication is not None:
        parts.append(_waits(profile.communication))
    return " · ".join(parts)


_WRAPPERS = {"ddp": "DDP", "fsdp": "FSDP", "none": "no wrapper"}


def _waits(found: Communication) -> str:
    return (
        f"sending that nothing hides {format.percent(found.sending_share)} of an update, "
        f"waiting for slower ranks {format.percent(found.waiting_share)}"
    )


def _row(rank: Rank) -> tuple[str, ...]:
    def seconds(value: float | None) -> str:
        return "—" if value is None else format.duration(value)

    def count(value: float | None) -> str:
        return "—" if value is None else format.number(value)

    return (
        str(rank.rank),
        seconds(rank.own_s),
        seconds(rank.communication_s),
        seconds(rank.phases_s.get("data_wait")),
        count(rank.samples_per_update),
        count(rank.elements_per_update),
    )
