"""The report of a plan: it fits 80 columns, and its JSON holds every figure."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console
from snapshot import Snapshot

from advisor.planning import Given, devices_of, from_sizes, planned
from advisor.report.plan import plan_json, render_plan
from advisor.types import Plan

WIDTH = 80


def plan_of(devices: str, model: str, **given: float) -> Plan:
    cluster = devices_of(devices, "bf16", Given(**given))
    return planned(from_sizes(model, precision="bf16", compiled=False), cluster, precision="bf16")


def text_of(found: Plan, *, everything: bool = False) -> str:
    file = io.StringIO()
    render_plan(found, Console(file=file, width=WIDTH, _environ={}), everything=everything)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "devices", "model"),
    [
        ("several_machines", "h100:8x16", "llama3-8b"),
        ("one_device", "rtx-4090", "gpt2"),
        ("nothing_fits", "l4:2", "llama3-70b"),
    ],
)
def test_the_report(name: str, devices: str, model: str, snapshot: Snapshot) -> None:
    text = text_of(plan_of(devices, model))
    assert max(map(len, text.splitlines())) <= WIDTH
    snapshot(f"report/plan_{name}", text)


@pytest.mark.parametrize(
    ("devices", "model"), [("h100:8x128", "llama3-405b"), ("a100:4", "llama3-70b"), ("a40:8x2", "gpt2-xl")]
)
def test_no_row_is_broken_in_80_columns(devices: str, model: str) -> None:
    found = plan_of(devices, model)
    parts = text_of(found, everything=True).split("\n\n")
    tables = [part.splitlines() for part in parts if "ckpt" in part.partition("\n")[0]]
    rows = [line for table in tables for line in table[1:] if "layouts are within" not in line]
    assert len(rows) == len(found.layouts) + len(found.too_large)


def test_the_simplest_of_what_only_a_measurement_can_rank_is_named() -> None:
    text = " ".join(text_of(plan_of("a100:4", "gpt2")).split())
    assert "only a measurement can rank those. The simplest of them is DDP ×4, in " in text
    assert "simplest of them" not in text_of(plan_of("h100:8x16", "llama3-8b"))


def test_json_is_whole_and_plain() -> None:
    found = plan_of("h100:8x16", "llama3-8b")
    document = json.loads(json.dumps(plan_json(found), allow_nan=False))
    assert document["devices"]["machines"] == 16
    assert len(document["layouts"]) == len(found.layouts)
    first = document["layouts"][0]
    assert first["memory"]["total_bytes"] == pytest.approx(found.layouts[0].memory.total_bytes)
    assert sum(value for name, value in first["time"].items() if name != "total_s") == pytest.approx(
        first["time"]["total_s"]
    )


def test_the_split_points_of_the_pipelines_in_the_table_are_said() -> None:
    found = plan_of("h100:8x2", "llama3-8b")
    split = tuple(
        replace(one, split_points=tuple(f"layers.{8 * stage}" for stage in range(1, one.layout.stages)))
        if one.layout.stages == 4
        else one
        for one in found.layouts
    )
    assert any(one.split_points for one in split)
    named = replace(found, layouts=split, split_by="measured time and memory")
    text = " ".join(text_of(named, everything=True).split())
    assert (
        "4 stages, balanced by measured time and memory, begin at: the start, layers.8, layers.16, layers.24." in text
    )
    assert 'split_spec={"layers.8": SplitPoint.BEGINNING, …}' in text
    assert "stages, balanced" not in text_of(found, everything=True)
    assert ["layers.8", "layers.16", "layers.24"] in [one["split_points"] for one in plan_json(named)["layouts"]]
