"""One rank takes longer than the others for its own part of an update."""

from __future__ import annotations

from ..types import Ceiling, Evidence, Place, Rank
from ._base import Example, Hit, Judgement, Rule, Undecided, severity_of
from ._examples import healthy_cpu
from ._rank_examples import on_cpus, on_devices
from ._read import duration, percent

MIN_STRAGGLER_SHARE = 0.10
"""Share of an update, lost by all ranks to the slowest one, from which it is reported; TraceML warns from 10% on, and
two equal processes of one machine differ by a few per cent."""
MORE_DATA = 1.1
"""Factor of a rank's elements over the others' from which its data explain its time (`data_imbalance`)."""
MIN_OTHERS_CPUS = 0.25
"""CPUs of other programs from which they may be what slows a rank on CPUs."""
SHARED_CPU = 2.0
"""Factor that sharing its CPU with one other program may slow a rank by; a larger one has another cause."""
MOST_OF_IT = 0.5
"""Part of the excess from which one phase, or one line, is named as its place."""


def judge(evidence: Evidence) -> Judgement:
    ranks = [rank for rank in evidence.ranks if rank.own_s is not None and rank.slowest_without_s is not None]
    found = evidence.communication
    if found is None or len(ranks) < evidence.workload.world_size:
        return Undecided(why="the own time of every rank could not be seen")
    gains = {rank.rank: found.slowest_s - (rank.slowest_without_s or 0.0) for rank in ranks}
    slow = max(ranks, key=lambda rank: gains[rank.rank])
    # Of ranks that scatter alike, each is the slowest now and then, and would gain something.
    gain_s = gains[slow.rank] - max(gain for rank, gain in gains.items() if rank != slow.rank)
    share = gain_s / found.update_s if found.update_s > 0 else 0.0
    others = [rank for rank in ranks if rank is not slow]
    if share < MIN_STRAGGLER_SHARE or _has_more_data(slow, others):
        return None
    usual_s = sum(rank.own_s or 0.0 for rank in others) / len(others)
    beside = evidence.system.loadavg_others or 0.0
    if not evidence.on_accelerator and beside >= MIN_OTHERS_CPUS and (slow.own_s or 0.0) < SHARED_CPU * usual_s:
        return Undecided(
            why=f"other programs keep {beside:.2g} CPUs busy, which slows one rank or another",
            most_share=share,
        )
    phase, more_s = _excess(slow, others)
    place = _place(slow, usual_s)
    return Hit(
        share=share,
        severity=severity_of(share, least="warning"),
        evidence=f"Rank {slow.rank} needs {duration(slow.own_s or 0.0)} of an update for its own work, the others "
        f"{duration(usual_s)}: they wait for it, {percent(share)} of the time{_where(phase, more_s, slow)}.",
        advice=_advice(phase, slow, place),
        where=(place,) if place is not None else (),
        ceiling=Ceiling.from_share(share),
    )


def _has_more_data(slow: Rank, others: list[Rank]) -> bool:
    counts = [rank.elements_per_update for rank in others if rank.elements_per_update]
    if not counts or not slow.elements_per_update:
        return False
    return slow.elements_per_update >= MORE_DATA * sum(counts) / len(counts)


def _excess(slow: Rank, others: list[Rank]) -> tuple[str, float]:
    """Return the phase with most of the rank's excess, and these seconds; "" if no phase has most of it.

    Others wait within their backward and other code, so only the remaining phases can be compared.
    """
    more = {
        name: slow.phases_s.get(name, 0.0) - sum(rank.phases_s.get(name, 0.0) for rank in others) / len(others)
        for name in ("data_wait", "host_to_device", "forward", "optimizer")
    }
    name = max(more, key=lambda phase: more[phase])
    excess_s = (slow.own_s or 0.0) - sum(rank.own_s or 0.0 for rank in others) / len(others)
    return (name, more[name]) if more[name] >= MOST_OF_IT * excess_s else ("", 0.0)


def _place(slow: Rank, usual_s: float) -> Place | None:
    """Return the line that has most of the rank's excess, if one has."""
    if slow.extra_line is None or slow.extra_line_s < MOST_OF_IT * ((slow.own_s or 0.0) - usual_s):
        return None
    file, line, function = slow.extra_line
    return Place(file=file, line=line, function=function)


def _where(phase: str, more_s: float, slow: Rank) -> str:
    words = {
        "data_wait": "waiting for data",
        "host_to_device": "copying to the device",
        "forward": "the forward",
        "optimizer": "the optimizer",
    }
    if not phase:
        return ""
    return f"; {duration(more_s)} more of it is {words[phase]} ({duration(slow.phases_s[phase])})"


def _advice(phase: str, slow: Rank, place: Place | None) -> str:
    if phase == "data_wait":
        return (
            f"Look at what feeds rank {slow.rank}: its part of the data may lie on a slower disk or cost more to "
            "decode. More workers there hide it; shuffling over all ranks spreads it."
        )
    if place is not None and slow.rank != 0:
        return (
            f"Look at what this line does on rank {slow.rank} alone, or for longer: its data, a shared file or lock, "
            "another program on its CPUs or device."
        )
    begin = (
        "Move what only rank 0 does (logging, checkpoints, an evaluation) out of the updates, or into a thread; "
        if slow.rank == 0
        else ""
    )
    rest = (
        "look for other programs on its CPUs or device, for a device that is throttled or shared, and for threads "
        "pinned to the CPUs of another rank."
    )
    text = begin + rest
    return text[:1].upper() + text[1:]


RULE = Rule(
    id="straggler",
    title="one rank is slower than the others, and they wait for it",
    headline="loses {share} of its time to one slow rank",
    looks_at="The time of every rank's updates without its wait for others, update by update: what the slowest rank "
    "costs beyond what any other does.",
    thresholds=("MIN_STRAGGLER_SHARE", "MORE_DATA", "MIN_OTHERS_CPUS", "SHARED_CPU", "MOST_OF_IT"),
    source="TraceML warns from 10% on. Here the wait in collectives is taken off first: with it, all ranks seem equal.",
    url="https://docs.pytorch.org/docs/stable/notes/ddp.html",
    knobs=("num_workers",),
    applies=lambda evidence: evidence.workload.world_size > 1,
    judge=judge,
    examples=(
        Example(
            name="rank 1 waits for its disk",
            evidence=on_cpus(
                (0.020, 0.095),
                ranks={"phases_s": ({"data_wait": 0.001, "forward": 0.01}, {"data_wait": 0.076, "forward": 0.01})},
            ),
            fires=True,
        ),
        Example(
            name="rank 1 waits for a lock that rank 0 does not need",
            evidence=on_cpus(
                (0.020, 0.095),
                ranks={"extra_line": (None, ("train.py", 61, "main")), "extra_line_s": (0.0, 0.074)},
            ),
            fires=True,
        ),
        Example(name="a throttled device among four", evidence=on_devices((0.07, 0.07, 0.095, 0.07)), fires=True),
        Example(name="rank 0 logs in every update", evidence=on_cpus((0.095, 0.070)), fires=True),
        Example(
            name="both scatter by a tenth",
            evidence=on_cpus((0.085, 0.084), communication={"slowest_s": 0.096, "sending_s": 0.004}),
            fires=False,
        ),
        Example(name="5% apart", evidence=on_cpus((0.095, 0.090)), fires=False),
        Example(
            name="a rank with twice the data",
            evidence=on_cpus((0.050, 0.095), ranks={"elements_per_update": (8_192.0, 16_384.0)}),
            fires=False,
        ),
        Example(
            name="two of four ranks are slow: no single one", evidence=on_cpus((0.05, 0.09, 0.05, 0.09)), fires=False
        ),
        Example(name="one process", evidence=healthy_cpu(), fires=False),
        Example(
            name="a busy machine",
            evidence=on_cpus((0.070, 0.095), system={"loadavg_others": 1.2}),
            fires="abstains",
        ),
        Example(name="a rank did not report", evidence=on_cpus(workload={"world_size": 3}), fires="abstains"),
    ),
)
