"""Report of a plan: the layouts that fit, those that do not, and what the figures rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ..types import Layout, Plan, PlannedLayout
from . import format
from .json_contract import json_safe
from .terminal import TONES, print_safely

MOST_ROWS = 10
MOST_TOO_LARGE = 6
MOST_SPLITS = 4
ROUGH = 0.3
"""Uncertainty from which the speeds rest on counts alone."""
NAMES = {
    "none": "single",
    "ddp": "DDP",
    "zero1": "ZeRO 1",
    "zero2": "ZeRO 2",
    "fsdp2": "FSDP2",
    "fsdp2_kept": "FSDP2 kept",
    "hybrid": "hybrid FSDP2",
}
"""Split of the state → its name; what asks least of a script comes first."""
LIMITS = {
    "matrix products": "products",
    "memory bandwidth": "bandwidth",
    "recomputing": "recompute",
    "launching kernels": "launches",
    "communication of replicas": "replicas",
    "tensor-parallel communication": "TP comm",
    "pipeline bubble": "bubble",
    "working memory": "working",
}
"""Short names, for a table in 80 columns."""
CHECKPOINTING = {"none": "no", "selective": "part", "full": "full"}
LEGEND = (
    "FSDP2 reshards after the forward (ZeRO 3), kept does not; hybrid: within a machine. TP, PP: tensor, pipeline; "
    "PP4x2 has two groups of blocks on each stage. ckpt: activation checkpointing. micro: samples × micro-batches."
)


def render_plan(found: Plan, console: Console, *, everything: bool = False) -> None:
    """Print the plan; `everything` lists all of its layouts."""
    print_safely(list(_parts(found, everything)), console)


def plan_json(found: Plan) -> dict[str, Any]:
    """Return the output of `advisor plan --json`."""
    document: dict[str, Any] = json_safe(found)
    document["layouts"] = [_layout_json(one) for one in found.layouts]
    document["too_large"] = [_layout_json(one) for one in found.too_large]
    document["single"] = None if found.single is None else _layout_json(found.single)
    return document


def _layout_json(one: PlannedLayout) -> dict[str, Any]:
    content: dict[str, Any] = json_safe(one)
    content["name"] = name_of(one.layout)
    content["memory"]["total_bytes"] = one.memory.total_bytes
    content["missing_bytes"] = one.missing_bytes
    content["time"]["total_s"] = one.time.total_s
    return content


def name_of(layout: Layout) -> str:
    """Return a layout's short name: `FSDP2 ×32 TP8 PP4`."""
    words = [NAMES[layout.sharding] + (f" ×{layout.data}" if layout.data > 1 else "")]
    if layout.sharding == "none" and layout.devices > 1:
        words = []
    words += [f"TP{layout.tensor}"] if layout.tensor > 1 else []
    groups = f"x{layout.interleaved}" if layout.interleaved > 1 else ""
    words += [f"PP{layout.pipeline}{groups}"] if layout.pipeline > 1 else []
    return " ".join(words)


def _parts(found: Plan, everything: bool) -> Iterator[RenderableType]:
    yield Text(_headline(found), style=TONES["good" if found.best else "critical"])
    yield Text(_about(found))
    if found.single is not None:
        yield Text(_single(found, found.single))
    if found.layouts:
        yield Text()
        yield _fitting(found, _chosen(found.layouts, everything, MOST_ROWS))
        if (line := _undecided(found)) is not None:
            yield Text()
            yield Text(line)
        yield from _stages(found, _chosen(found.layouts, everything, MOST_ROWS))
    if found.too_large:
        yield Text()
        # The plain ways first: a reader looks for these.
        plain_first = sorted(found.too_large, key=lambda one: one.layout.tensor * one.layout.pipeline > 1)
        yield _too_large(_chosen(plain_first, everything, MOST_TOO_LARGE))
    yield Text()
    for kind, reason in found.closed.items():
        yield Text(f"No {format.one_line(kind)}: {format.one_line(reason)}.")
    for line in (LEGEND, *found.assumptions, *_basis(found)):
        yield Text(format.one_line(line), style="dim")


def _headline(found: Plan) -> str:
    devices = f"{found.devices.count:,} × {format.one_line(found.devices.name)}"
    best = found.best
    if best is None:
        least = found.too_large[0]
        return f"Nothing fits on {devices}: {name_of(least.layout)} comes closest, and misses " + (
            f"{format.size(least.missing_bytes)} on each device."
        )
    rate = format.number(best.samples_per_s * found.units_per_sample)
    return f"{name_of(best.layout)} is predicted to be the fastest on {devices}: {rate} {found.unit}/s."


def _about(found: Plan) -> str:
    tokens = f" of {found.units_per_sample:,} tokens" if found.units_per_sample > 1 else ""
    return (
        f"{format.one_line(found.model)}: {_billions(found.parameters)} parameters; {found.global_batch:,} samples"
        f"{tokens} an update; {found.precision}."
    )


def _billions(count: int) -> str:
    for word, scale in (("billion", 10**9), ("million", 10**6)):
        if count >= scale:
            return f"{format.number(count / scale)} {word}"
    return f"{count:,}"


def _single(found: Plan, one: PlannedLayout) -> str:
    if not one.fits:
        return (
            f"One device alone would need {format.size(one.memory.total_bytes)} and has {format.size(one.usable_bytes)}"
            f": {format.size(one.missing_bytes)} are missing, most of it for {one.limits}."
        )
    rate = format.number(one.samples_per_s * found.units_per_sample)
    best = found.best
    gain = f"; all together are {best.samples_per_s / one.samples_per_s:,.3g} times as fast" if best is not None else ""
    return f"One device alone: {rate} {found.unit}/s in {format.size(one.memory.total_bytes)}{gain}."


def _chosen(layouts: Sequence[PlannedLayout], everything: bool, most: int) -> list[PlannedLayout]:
    """Return the first layout of each split and sharding."""
    if everything:
        return list(layouts)
    first: dict[tuple[str, int, int], PlannedLayout] = {}
    for one in layouts:
        first.setdefault((one.layout.sharding, one.layout.tensor, one.layout.pipeline), one)
    return list(first.values())[:most]


def _fitting(found: Plan, rows: Sequence[PlannedLayout]) -> Table:
    table = _table("layout", "ckpt", "micro", "memory", f"{found.unit}/s", "MFU", "most time")
    for one in rows:
        table.add_row(
            *_columns(one),
            format.size(one.memory.total_bytes),
            format.number(one.samples_per_s * found.units_per_sample),
            f"{one.peak_fraction:.0%}",
            _limit(one),
        )
    return table


def _stages(found: Plan, rows: Sequence[PlannedLayout]) -> Iterator[RenderableType]:
    """Say where the stages of the pipelines in the table begin, and how to make them."""
    split = {one.layout.stages: one.split_points for one in rows if one.split_points}
    if not split:
        return
    yield Text()
    for stages, points in sorted(split.items())[:MOST_SPLITS]:
        names = ", ".join(map(format.one_line, points))
        yield Text(f"{stages} stages, balanced by {found.split_by}, begin at: the start, {names}.")
    first = format.one_line(min(split.items())[1][0])
    spec = f'{{"{first}": SplitPoint.BEGINNING, …}}'
    yield Text(f"With torch.distributed.pipelining: pipeline(model, mb_args=…, split_spec={spec}).")


def _too_large(rows: Sequence[PlannedLayout]) -> Table:
    table = _table("does not fit", "ckpt", "micro", "needs", "missing", "", "most memory")
    for one in rows:
        size = format.size(one.memory.total_bytes)
        table.add_row(*_columns(one), size, format.size(one.missing_bytes), "", LIMITS.get(one.limits, one.limits))
    return table


def _columns(one: PlannedLayout) -> tuple[str, str, str]:
    layout = one.layout
    micro = f"{layout.micro_batch}×{layout.micro_steps}" if layout.micro_steps > 1 else str(layout.micro_batch)
    return name_of(layout), CHECKPOINTING[layout.recompute], micro


def _limit(one: PlannedLayout) -> str:
    shares = one.time.shares()
    total = sum(shares.values()) or 1.0
    return f"{LIMITS.get(one.limits, one.limits)} {shares.get(one.limits, 0.0) / total:.0%}"


def _table(*heads: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, header_style="dim")
    for number, head in enumerate(heads):
        right = 2 <= number <= 5
        table.add_column(head, no_wrap=number > 0, overflow="fold", justify="right" if right else "left")
    return table


def _undecided(found: Plan) -> str | None:
    """Say how many layouts are as fast as the best one, as far as the plan can tell."""
    best = found.layouts[0].samples_per_s
    near = [one for one in found.layouts if one.samples_per_s >= best * (1 - found.uncertainty)]
    if len(near) < 2:
        return None
    said = f"{len(near)} layouts are within {found.uncertainty:.0%} of the fastest: only a measurement can rank those."
    simplest = min(near, key=_complexity)
    if simplest is found.layouts[0]:
        return said
    return f"{said} The simplest of them is {name_of(simplest.layout)}, in {format.size(simplest.memory.total_bytes)}."


def _complexity(one: PlannedLayout) -> tuple[int, int, int]:
    """Return how much a layout asks of a script: kinds of parallelism, recomputing, and the split of its state."""
    layout = one.layout
    kinds = (layout.tensor > 1) + (layout.pipeline > 1) + (layout.interleaved > 1)
    return kinds, layout.recompute != "none", list(NAMES).index(layout.sharding)


def _basis(found: Plan) -> Iterator[str]:
    checked = "the largest error against the published runs that were checked"
    why = checked if found.uncertainty < ROUGH else "as no time of such a device is known"
    yield f"Speeds are good to ±{found.uncertainty:.0%}, {why}."
    if found.devices.by_hand:
        yield f"Given by hand: {', '.join(found.devices.by_hand)}."
    if found.improve:
        yield f"More certain with: {'; '.join(found.improve)}."
