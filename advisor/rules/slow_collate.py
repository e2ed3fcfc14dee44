"""The loop waits for its data, and putting batches together is what takes the time."""

from __future__ import annotations

from ..types import Evidence
from ._base import Example, Hit, Judgement, Rule
from ._examples import healthy_cpu, healthy_cuda, line, train_loader, what_if
from ._input import Waiting, collate_fraction, has_train_loader, waiting_for
from ._read import duration, line_places, loader_lines, percent


def judge(evidence: Evidence) -> Judgement:
    found = waiting_for(evidence, "collate")
    if not isinstance(found, Waiting):
        return found
    if found.times is None:
        return None
    fraction = collate_fraction(found.times)
    own = [
        each for each in loader_lines(evidence) if each.function and each.function in found.facts.collate
    ] or loader_lines(evidence)
    return Hit(
        share=found.share,
        severity=found.severity,
        evidence=f"{found.words} Collating takes {percent(fraction)} of the loader's work "
        f"({duration(found.times.collate_s or 0.0)} per update, in `{found.facts.collate}`).",
        advice="Prepare each sample in the dataset, so that collating only stacks tensors of one shape. Replace loops "
        "over samples by operations on the whole batch, or collate in worker processes (`num_workers`).",
        where=line_places(own),
        ceiling=found.ceiling,
    )


_OWN = train_loader(num_workers=0, persistent_workers=False, collate="__main__.pad_batch")

RULE = Rule(
    id="slow_collate",
    title="collating batches takes most of the loader's time",
    headline="spends {share} of its time collating samples into batches",
    looks_at="The share of data_wait, the what-if no_data_wait, the loader's fetch and collate times, and its sampled "
    "lines.",
    thresholds=("MIN_WAIT_SHARE", "HAND_OVER_SHARE", "COLLATE_SHARE", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="Workers report fetch and collate times separately; no published tool separates them.",
    url="https://docs.pytorch.org/docs/stable/data.html",
    knobs=("num_workers", "prefetch_factor"),
    applies=has_train_loader,
    judge=judge,
    examples=(
        Example(
            name="padding in a Python loop takes 90% of the loader's work",
            evidence=healthy_cpu(
                phases={"data_wait": 0.5},
                loader={"fetch_s": 0.005, "fetch_cpu_s": 0.005, "collate_s": 0.045, "workers": 0},
                workload={"loaders": (_OWN,)},
                lines=(line("python", 0.9, where="loader", phase="data_wait", function="pad_batch"),),
                what_ifs=what_if("no_data_wait", 1.9),
            ),
            fires=True,
        ),
        Example(
            name="an accelerator waits for workers that collate",
            evidence=healthy_cuda(
                phases={"data_wait": 0.3}, loader={"collate_s": 0.08}, what_ifs=what_if("no_data_wait", 1.4)
            ),
            fires=True,
        ),
        Example(
            name="a slow collate that workers hide",
            evidence=healthy_cpu(phases={"data_wait": 0.01}, loader={"collate_s": 0.08}),
            fires=False,
        ),
        Example(
            name="a wait for CPUs, longer than all that workers do for an update",
            evidence=healthy_cpu(
                phases={"data_wait": 0.1},
                loader={"fetch_s": 0.002, "fetch_cpu_s": 0.002, "collate_s": 0.003},
                what_ifs=what_if("no_data_wait", 1.15),
            ),
            fires=False,
        ),
        Example(
            name="fetching takes longer than collating",
            evidence=healthy_cpu(
                phases={"data_wait": 0.4},
                loader={"fetch_s": 0.06, "fetch_cpu_s": 0.06, "collate_s": 0.02},
                what_ifs=what_if("no_data_wait", 1.6),
            ),
            fires=False,
        ),
    ),
)
