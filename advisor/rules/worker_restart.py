"""Workers are started anew at every epoch, and the epochs are short."""

from __future__ import annotations

from ..plural import plural
from ..types import Ceiling, Evidence
from ._base import Example, Hit, Judgement, Rule, Undecided, severity_of
from ._examples import healthy_cpu, healthy_cuda, train_loader
from ._input import abandons_iterators, draw_share, made_at, restart_share, surplus_workers
from ._read import duration, percent, phase_share, updates_per_epoch

MIN_RESTART_SHARE = 0.05
"""Share of the loop from which it is worth reporting: one argument removes it at no risk."""


def has_fresh_workers(evidence: Evidence) -> bool:
    loader = evidence.workload.train_loader
    return loader is not None and loader.num_workers > 0 and not loader.persistent_workers


def judge(evidence: Evidence) -> Judgement:
    loader = evidence.workload.train_loader
    share = restart_share(evidence)
    if share is None:
        return Undecided(why="no end of an epoch was seen, so the cost of restarting the workers is unknown")
    if loader is None or surplus_workers(evidence) > 0 or abandons_iterators(evidence):
        return None
    share -= draw_share(evidence)
    if share < MIN_RESTART_SHARE:
        return None
    return Hit(
        share=share,
        severity=severity_of(share, least="warning"),
        evidence=f"Restarting {plural(loader.num_workers, 'worker')} at the start of every epoch takes "
        f"{percent(share)} of the loop{_epoch_words(evidence)}.",
        advice="Pass `persistent_workers=True` to the `DataLoader`, and create it once, not in every epoch.",
        where=made_at(loader),
        # Persistent workers also prefetch while an epoch ends: the wait may go with the restart.
        ceiling=Ceiling.from_share(share, high=share + phase_share(evidence, "data_wait")),
    )


def _epoch_words(evidence: Evidence) -> str:
    updates = updates_per_epoch(evidence)
    seconds = evidence.restarts.seconds_per_restart if evidence.restarts is not None else None
    if updates is None or seconds is None:
        return ""
    return f": {duration(seconds)} for an epoch of {updates:.0f} updates"


_FRESH = {"loaders": (train_loader(persistent_workers=False),)}
_SHORT = {"seconds_per_restart": 0.4, "updates_per_epoch": 16.0, "share": 0.2}

RULE = Rule(
    id="worker_restart",
    title="the loader's workers are restarted in every epoch",
    headline="spends {share} of its time restarting loader workers",
    looks_at="The cost of an epoch's end in the loader (measured there, or in an epoch ended early for the "
    "measurement), for epochs of the script's own length, and whether workers persist. If there are far too "
    "many workers, too_many_workers reports instead, as they cause most of the restart; iterator_restarted does where "
    "iterators are given up early, or where the sampler's drawing takes the time.",
    thresholds=("MIN_RESTART_SHARE", "CRITICAL_SHARE"),
    source="Lightning warns about spawned workers that do not persist, without measuring; here the restart is timed.",
    url="https://docs.pytorch.org/docs/stable/data.html",
    knobs=("persistent_workers", "num_workers"),
    applies=has_fresh_workers,
    judge=judge,
    examples=(
        Example(
            name="epochs of 16 updates, 0.4 s to start the workers",
            evidence=healthy_cpu(workload=_FRESH, restarts=_SHORT),
            fires=True,
        ),
        Example(
            name="restarts seen inside the measured loop only",
            evidence=healthy_cuda(workload=_FRESH, restarts=None, off_step={"loader_restart": 0.35}),
            fires=True,
        ),
        Example(name="long epochs", evidence=healthy_cpu(workload=_FRESH), fires=False),
        Example(name="workers that persist", evidence=healthy_cpu(restarts=_SHORT), fires=False),
        Example(
            name="no workers",
            evidence=healthy_cpu(
                workload={"loaders": (train_loader(num_workers=0, persistent_workers=False),)}, restarts=_SHORT
            ),
            fires=False,
        ),
        Example(
            name="no epoch's end was seen",
            evidence=healthy_cpu(
                workload=_FRESH, restarts=None, epoch_end={"seen": False, "seconds": {"loader_restart": None}}
            ),
            fires="abstains",
        ),
    ),
)
