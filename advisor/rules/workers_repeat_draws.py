"""Loader workers draw the same random numbers, as each has a copy of the dataset's generators."""

from __future__ import annotations

from ..types import Evidence, Place
from ._base import Example, Hit, Judgement, Rule
from ._examples import healthy_cpu, healthy_cuda, train_loader
from ._input import made_at

LEAST_WORKERS = 1
"""Workers from which it applies: a single one repeats its own draws in every epoch, unless it stays."""
NAMED = 3
"""Most generators named in the sentence: their list can be as long as the dataset."""


def has_workers(evidence: Evidence) -> bool:
    loader = evidence.workload.train_loader
    return loader is not None and loader.num_workers >= LEAST_WORKERS


def judge(evidence: Evidence) -> Judgement:
    facts, loader = evidence.workload.facts, evidence.workload.train_loader
    if loader is None or not (facts.workers_repeat or facts.epochs_repeat):
        return None
    return Hit(
        severity="warning",
        evidence=f"{_who(evidence)}: their copies of {_what(facts.dataset_generators or ())} were in the same state "
        "before and after the first batch. Random augmentations come several times, and others not at all.",
        advice="Seed them in each worker from torch's seed of the worker, which differs by worker and epoch: pass a "
        "`worker_init_fn` that sets, for example, `info.dataset.rng = numpy.random.default_rng(info.seed)` with "
        "`info = torch.utils.data.get_worker_info()`; or draw with `torch.rand`, which torch seeds in workers.",
        where=_where(evidence),
    )


def _who(evidence: Evidence) -> str:
    facts, loader = evidence.workload.facts, evidence.workload.train_loader
    number = loader.num_workers if loader is not None else 0
    if not facts.workers_repeat:
        return "Workers draw the same random numbers in every epoch"
    again = ", and again in the next epoch" if facts.epochs_repeat else ""
    return f"The {number} workers draw the same random numbers as each other{again}"


def _what(names: tuple[str, ...]) -> str:
    if not names:
        return "NumPy's global generator, or one of the dataset's module,"
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(f"`{name}`" for name in names[:NAMED]) + more


def _where(evidence: Evidence) -> tuple[Place, ...]:
    loader = evidence.workload.train_loader
    return made_at(loader) if loader is not None else ()


_HELD = {"dataset_draws": True, "dataset_generators": ("Photos.rng",)}

RULE = Rule(
    id="workers_repeat_draws",
    title="loader workers repeat each other's random numbers",
    headline="draws the same random numbers in several loader workers",
    looks_at="Random generators that torch does not seed in workers (those that the dataset or its collate function "
    "holds, those of its module, and NumPy's global one in old versions of torch): their states before and after the "
    "first batch of each worker, in two epochs. Workers whose start advisor cannot follow (spawned) are not compared.",
    thresholds=("LEAST_WORKERS", "NAMED"),
    source="pytorch#5059 (NumPy's generator in workers); torch's documentation warns of it. No profiler compares the "
    "states.",
    url="https://docs.pytorch.org/docs/stable/notes/faq.html#my-data-loader-workers-return-identical-random-numbers",
    applies=has_workers,
    needs_updates=False,
    judge=judge,
    examples=(
        Example(
            name="two workers with the same copy of the dataset's generator, in every epoch",
            evidence=healthy_cpu(workload={"facts": {**_HELD, "workers_repeat": True, "epochs_repeat": True}}),
            fires=True,
        ),
        Example(
            name="workers seeded by their number only",
            evidence=healthy_cuda(workload={"facts": {**_HELD, "workers_repeat": False, "epochs_repeat": True}}),
            fires=True,
        ),
        Example(
            name="workers seeded by worker and epoch",
            evidence=healthy_cpu(workload={"facts": {**_HELD, "workers_repeat": False, "epochs_repeat": False}}),
            fires=False,
        ),
        Example(
            name="a generator that is not drawn from",
            evidence=healthy_cpu(workload={"facts": {"dataset_generators": ("Photos.rng",), "dataset_draws": False}}),
            fires=False,
        ),
        Example(
            name="no workers",
            evidence=healthy_cpu(
                workload={
                    "loaders": (train_loader(num_workers=0, persistent_workers=False),),
                    "facts": {**_HELD, "workers_repeat": True},
                }
            ),
            fires=False,
        ),
    ),
)
