"""Samples are read one by one and stacked, or their file is opened for each, where whole batches could be read."""

from __future__ import annotations

from dataclasses import replace

from ..types import Ceiling, Evidence, ScriptFacts
from ._base import Example, Hit, Judgement, Rule, Undecided, clamp, lost_share, severity_of
from ._examples import healthy_cpu, healthy_cuda, line, train_loader, what_if
from ._input import Waiting, has_train_loader, loader_places, opens_again, table_bytes, waiting
from ._read import duration, loader_lines, size, step_share, total_share

PLAIN_SAMPLERS = ("RandomSampler", "SequentialSampler")
"""Samplers of torch that need the dataset alone."""
OF_BATCHES = "Batch"
"""Part of the name of samplers that give whole batches themselves."""
LEFT_AT_WORST = 3.0
"""Factor on the time of whole batches at the low end of the ceiling: they were timed in a row, with warm caches."""
ALWAYS_LEFT = 0.05
"""Fraction of the reads at least that is left where a file is opened only once."""


def judge(evidence: Evidence) -> Judgement:
    found = waiting(evidence)
    if found is None or found.cause != "rows":
        return None
    if found.doubt is not None and not _is_serial(evidence, found):
        return Undecided(why=found.doubt, most_share=found.share)
    again = opens_again(evidence)
    ceiling = _ceiling(found, _left(evidence, found, again))
    return Hit(
        share=found.share,
        severity=severity_of(lost_share(ceiling.speedup)),
        evidence=f"{found.words} {_opened_words(evidence) if again else _row_words(evidence)}",
        advice=_open_once(evidence) if again else _read_whole(evidence),
        where=loader_places(found, ("io",) if again else None),
        ceiling=ceiling,
    )


def _is_serial(evidence: Evidence, found: Waiting) -> bool:
    """Return whether nothing else is done during the wait: reading less is then a gain, whatever few windows show."""
    return found.facts.num_workers == 0 and not evidence.on_accelerator


def _left(evidence: Evidence, found: Waiting, again: bool) -> float:
    """Return the share of the loop's present time that reading takes after the fix."""
    times = evidence.loader
    if again or times is None or times.whole_s is None:
        opening = min(total_share(loader_lines(evidence, ("io",))), 1 - ALWAYS_LEFT)
        return found.share * (1 - opening)
    return clamp(times.whole_s / max(evidence.steps.mean_s, 1e-9) * step_share(evidence))


def _establish(facts: ScriptFacts, evidence: Evidence) -> ScriptFacts:
    times = evidence.loader
    return replace(facts, answers_batches=times is not None and times.rows_read == "whole")


def _ceiling(found: Waiting, left: float) -> Ceiling:
    """Return the gain if the wait shrinks to what is left: between no wait at all, and a few times what is left."""
    none = found.ceiling
    speedup = 1 / (1 / none.speedup + left)
    without = found.what_if.low if found.what_if is not None else none.speedup
    low = 1 / (1 / max(without, 1.0) + min(LEFT_AT_WORST * left, found.share))
    return Ceiling(
        speedup=max(speedup, 1.0),
        low=min(max(low, 1.0), max(speedup, 1.0)),
        high=max(none.high, speedup),
        basis=none.basis,
    )


def _row_words(evidence: Evidence) -> str:
    times, facts = evidence.loader, evidence.workload.train_loader
    if times is None or times.rows_s is None or times.whole_s is None or facts is None:
        return ""
    return (
        f"Reading an update's samples of {facts.dataset_class} one by one and stacking them takes "
        f"{duration(times.rows_s)}; reading them as whole batches took {duration(times.whole_s)}."
    )


def _opened_words(evidence: Evidence) -> str:
    times = evidence.loader
    return f"Every sample opens and reads {times.opened} again." if times is not None else ""


def _read_whole(evidence: Evidence) -> str:
    times, facts = evidence.loader, evidence.workload.train_loader
    if times is None or facts is None:
        return ""
    if times.rows_read == "table":
        whole = table_bytes(evidence)
        begin = (
            "Put the samples into tensors once, one for each part"
            + (f" (all take {size(whole)})" if whole is not None else "")
            + f", make a `TensorDataset` of them, and index whole batches: {_whole_call(evidence, 'dataset')}."
        )
    else:
        begin = f"Index whole batches: {_whole_call(evidence, 'dataset')}."
    return (
        f"{begin} Tensors in memory can also be indexed directly in the loop. Worker processes would still read "
        "sample by sample, and send every batch."
    )


def _whole_call(evidence: Evidence, dataset: str) -> str:
    """Return the call to write; the Trainer makes its loader itself and only leaves it the dataset."""
    facts = evidence.workload.train_loader
    if evidence.workload.framework == "transformers" or facts is None:
        return (
            "a method `__getitems__(self, indices)` of the dataset returns the whole batch, and "
            "`data_collator=lambda batch: batch` passes it on"
        )
    if OF_BATCHES in facts.sampler_class:
        return f"`DataLoader({dataset}, sampler=batch_sampler, batch_size=None)` with the present {facts.sampler_class}"
    sampler = f"{facts.sampler_class}({dataset})" if facts.sampler_class in PLAIN_SAMPLERS else "sampler"
    batches = f"BatchSampler({sampler}, {facts.batch_size or 'batch_size'}, drop_last={facts.drop_last})"
    return f"`DataLoader({dataset}, sampler={batches}, batch_size=None)`"


def _open_once(evidence: Evidence) -> str:
    facts = evidence.workload.train_loader
    workers = (
        "Workers would share an open file: load the data first, or open the file in each worker when it first reads."
        if facts is None or not facts.num_workers
        else "Open the file once in each worker, when it first reads, and keep it."
    )
    return (
        "Read the data once, in the dataset's `__init__`, and index arrays or tensors from then on "
        f"(`self.x = archive['x']`; `[]` of an archive reads and unpacks the whole member). {workers}"
    )


_OWN = train_loader(
    num_workers=0,
    persistent_workers=False,
    dataset_class="TensorDataset",
    batch_size=2048,
    sampler_class="RandomSampler",
    length_samples=200_000,
)
_ROWS = {
    "fetch_s": 0.060,
    "fetch_cpu_s": 0.060,
    "collate_s": 0.020,
    "workers": 0,
    "rows_read": "whole",
    "rows_s": 0.080,
    "whole_s": 0.004,
    "sample_bytes": 100.0,
}
_WAITING = {
    "phases": {"data_wait": 0.8},
    "workload": {"loaders": (_OWN,), "facts": {"dataset_draws": False}},
    "steps": {"samples_per_update": 2048.0},
    "what_ifs": what_if("no_data_wait", 5.0),
}

RULE = Rule(
    id="row_by_row_dataset",
    title="samples are read one by one where whole batches could be",
    headline="reads its data sample by sample, and waits for it {share} of its time",
    looks_at="The share of data_wait, the what-if no_data_wait, and two readings of the loader in its process: "
    "sample by sample, and whole batches of the same indices. These are either asked of the dataset, which must give "
    "the same batch, or of a table of its samples, if they are fixed, fit in memory, and are read rather than "
    "computed. Also files, and members of archives, that are opened again for every sample.",
    thresholds=(
        "MIN_WAIT_SHARE",
        "LEAST_FASTER",
        "EXPLAINED_WAIT",
        "LONGEST_ROW_S",
        "TABLE_FRACTION",
        "OPENED_LINES_SHARE",
        "LEFT_AT_WORST",
        "ALWAYS_LEFT",
        "WARNING_SHARE",
        "CRITICAL_SHARE",
    ),
    source="pytorch#10260 (a table read row by row: 1.39 s, whole batches: 0.09 s) and numpy#29081 (an archive's "
    "member is read at each `[]`); here both ways are timed on the script's own data.",
    url="https://docs.pytorch.org/docs/stable/data.html#disable-automatic-batching",
    # Samples that a table could hold are fixed, so a cache can hold them, too, where the dataset takes no list.
    knobs=("whole_batches", "cache_dataset"),
    applies=has_train_loader,
    judge=judge,
    establish=_establish,
    examples=(
        Example(
            name="a TensorDataset of 200,000 rows, whole batches 20 times as fast",
            evidence=healthy_cpu(**_WAITING, loader=_ROWS),
            fires=True,
        ),
        Example(
            name="records of Python numbers that a table could hold, on an accelerator",
            evidence=healthy_cuda(
                **{**_WAITING, "phases": {"data_wait": 0.5}, "what_ifs": what_if("no_data_wait", 2.0)},
                loader={**_ROWS, "rows_read": "table"},
            ),
            fires=True,
        ),
        Example(
            name="a member of an archive, unpacked for every sample",
            evidence=healthy_cpu(
                **_WAITING,
                loader={**_ROWS, "rows_read": None, "whole_s": None, "opened": "beats.npz['x']"},
                lines=(line("io", 0.9, where="loader", phase="data_wait", function="__getitem__"),),
            ),
            fires=True,
        ),
        Example(
            name="rows read between the updates of a CPU, on a machine too busy for the what-if",
            evidence=healthy_cpu(**{**_WAITING, "what_ifs": what_if("no_data_wait", 2.4, 0.3, 20.0)}, loader=_ROWS),
            fires=True,
        ),
        Example(
            name="the same beside an accelerator, which may work meanwhile",
            evidence=healthy_cuda(**{**_WAITING, "what_ifs": what_if("no_data_wait", 2.4, 0.3, 20.0)}, loader=_ROWS),
            fires="abstains",
        ),
        Example(
            name="whole batches 1.9 times as fast",
            evidence=healthy_cpu(**_WAITING, loader={**_ROWS, "whole_s": 0.0421}),
            fires=False,
        ),
        Example(
            name="reading that explains a third of the wait",
            evidence=healthy_cpu(**_WAITING, loader={**_ROWS, "rows_s": 0.026}),
            fires=False,
        ),
        Example(
            name="samples that take 0.11 ms each to compute",
            evidence=healthy_cpu(**_WAITING, loader={**_ROWS, "rows_read": "table", "rows_s": 0.225}),
            fires=False,
        ),
        Example(
            name="samples that differ at each reading",
            evidence=healthy_cpu(
                **{**_WAITING, "workload": {"loaders": (_OWN,), "facts": {"dataset_draws": True}}},
                loader={**_ROWS, "rows_read": "table"},
            ),
            fires=False,
        ),
        Example(
            name="rows that workers read in time",
            evidence=healthy_cpu(phases={"data_wait": 0.02}, loader=_ROWS),
            fires=False,
        ),
    ),
)
