"""Ids of rules, knobs and what-ifs stand in their own files: what others need of one is a field of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import advisor
from advisor import knobs, rules, whatif

PACKAGE = Path(advisor.__file__).parent
IDS = {
    "rules": {rule.id for rule in rules.all_rules()},
    "knobs": {knob.id for knob in knobs.all_knobs()},
    "whatif": {what_if.id for what_if in whatif.all_what_ifs()},
}
MAY_NAME = {"rules": ("rules", "knobs"), "knobs": ("knobs", "rules"), "whatif": ("whatif", "rules")}
"""Rooms that may name an entry: its own; a knob names the rules that open it; a rule names the knobs that can help, and
the what-ifs that it reads."""
LOADER_KEYWORDS = "keyword of DataLoader, which the agent switches"
CARRIED_OUT = "carries the knob out inside the script"
ALLOWED = {
    ("agent/loader/drain.py", "prefetch_factor"): LOADER_KEYWORDS,
    ("agent/loader/drain.py", "pin_memory"): LOADER_KEYWORDS,
    ("agent/loader/hooks.py", "num_workers"): LOADER_KEYWORDS,
    ("agent/loader/limits.py", "num_workers"): LOADER_KEYWORDS,
    ("agent/loader/limits.py", "prefetch_factor"): LOADER_KEYWORDS,
    ("agent/loader/limits.py", "pin_memory"): LOADER_KEYWORDS,
    ("agent/loader/limits.py", "persistent_workers"): LOADER_KEYWORDS,
    ("agent/loader/limits.py", "cache_dataset"): CARRIED_OUT,
    ("agent/loader/limits.py", "whole_batches"): CARRIED_OUT,
    ("agent/loader/limits.py", "worker_threads"): CARRIED_OUT,
    ("agent/loader/record.py", "num_workers"): LOADER_KEYWORDS,
    ("agent/loader/record.py", "prefetch_factor"): LOADER_KEYWORDS,
    ("agent/loader/record.py", "pin_memory"): LOADER_KEYWORDS,
    ("agent/loader/record.py", "persistent_workers"): LOADER_KEYWORDS,
    ("agent/loader/replay.py", "pin_memory"): "method of a tensor",
    ("agent/loader/switch.py", "num_workers"): LOADER_KEYWORDS,
    ("agent/loader/switch.py", "prefetch_factor"): LOADER_KEYWORDS,
    ("agent/loader/switch.py", "pin_memory"): LOADER_KEYWORDS,
    ("agent/loader/switch.py", "persistent_workers"): LOADER_KEYWORDS,
    ("agent/loader/switch.py", "cache_dataset"): CARRIED_OUT,
    ("agent/loader/switch.py", "whole_batches"): CARRIED_OUT,
    ("agent/loader/switch.py", "worker_threads"): CARRIED_OUT,
    ("agent/loader/switch.py", "threads"): "field of the plan of fetching",
    ("agent/observe/callee.py", "gc"): "kind of a sampled line",
    ("agent/observe/facts.py", "autocast_dtype"): "field of the flags",
    ("agent/observe/facts.py", "data_parallel"): "field of a model's facts",
    ("agent/observe/facts.py", "learning_rate"): "field of an optimizer's facts",
    ("agent/observe/facts.py", "momentum"): "field of an optimizer's facts",
    ("agent/observe/switches.py", "cudnn_benchmark"): "field of the flags",
    ("agent/observe/switches.py", "matmul_precision"): "field of the flags",
    ("agent/probe/conductor.py", "compile"): "entry of a window, and topic of a note",
    ("agent/settings/accumulation.py", "micro_batch"): CARRIED_OUT,
    ("agent/settings/compiling.py", "compile"): CARRIED_OUT,
    ("agent/settings/compiling.py", "graph_breaks"): "entry of a window",
    ("agent/settings/hidden_muon.py", "weight_decay"): "entry of an optimizer's group",
    ("agent/settings/controls.py", "activation_checkpointing"): CARRIED_OUT,
    ("agent/settings/controls.py", "compile"): CARRIED_OUT,
    ("agent/settings/controls.py", "micro_batch"): CARRIED_OUT,
    ("hardware/calibrate.py", "threads"): "entry of a message to a child",
    ("hardware/calibrate_child.py", "threads"): "entry of a message to a child",
    ("hardware/problems.py", "cpu_only_build"): "id of a problem of the machine, which the command hardware shows",
    ("hardware/problems.py", "shared_memory_small"): "id of a problem of the machine",
    ("hardware/problems.py", "swapping"): "id of a problem of the machine",
    ("hardware/problems.py", "throttled"): "id of a problem of the machine",
    ("runtime/isolation/copied.py", "processes"): "entry of a message to the keeper: a namespace of processes",
    ("runtime/isolation/keeper_view.py", "processes"): "entry of a message to the keeper",
    ("runtime/isolation/overlay.py", "processes"): "entry of a message to the keeper",
    ("types/measurement.py", "gc"): "kind of a sampled line",
    ("planning/published.py", "micro_batch"): "entry of a file: the setting of a published run",
    ("planning/published.py", "precision"): "entry of a file: the setting of a published run",
    ("planning/ranking.py", "global_batch"): "parameter of the API, in a message",
    ("rate_schedule.py", "plateau"): "name of a schedule",
    ("settings_file/exports/_base.py", "learning_rate"): "entry of a file: how the baseline trains",
    ("settings_file/exports/_base.py", "processes"): "entry of a file: how the baseline trains",
    ("settings_file/exports/_base.py", "persistent_workers"): "entry of a file: how the baseline trains",
    ("settings_file/loaded.py", "learning_rate"): "entry of a file: how the baseline trains",
    ("settings_file/loaded.py", "processes"): "entry of a file: how the baseline trains",
    ("workflows/plan.py", "global_batch"): "parameter of the API, in a message",
    ("settings_file/loaded.py", "persistent_workers"): "entry of a file: how the baseline trains",
}
"""File and literal that is the name of something else, or the implementation of the knob, with the reason."""

WORDS = {"optimizer": "a phase of an update, an object of the script, and a section of files"}
"""Ids that are also words for something that many files name, with what that is."""


@cache
def _literals() -> tuple[tuple[str, str, int], ...]:
    return tuple(_found())


def _found() -> Iterator[tuple[str, str, int]]:
    """File, text and line of every string in the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path.relative_to(PACKAGE).as_posix(), node.value, node.lineno


@pytest.mark.parametrize("kind", IDS)
def test_an_id_is_named_in_its_own_room_only(kind: str) -> None:
    wrong = [
        f"{file}:{line}: {text!r}: make what is needed of it a field, or say here why it means something else"
        for file, text, line in _literals()
        if text in IDS[kind]
        and file.partition("/")[0] not in MAY_NAME[kind]
        and (file, text) not in ALLOWED
        and text not in WORDS
    ]
    assert wrong == []


def test_whatever_is_allowed_is_still_there() -> None:
    found = {(file, text) for file, text, _line in _literals()}
    assert sorted(set(ALLOWED) - found) == []


def test_a_knob_names_only_the_rules_that_open_it() -> None:
    named = {
        (file, text) for file, text, _line in _literals() if text in IDS["rules"] and file.partition("/")[0] == "knobs"
    }
    opened = {(f"knobs/{knob.id}.py", rule) for knob in knobs.all_knobs() for rule in knob.opened_by}
    assert named == opened
