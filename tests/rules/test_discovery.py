"""Rules are found in files, and a file that is no rule is named."""

from __future__ import annotations

from pathlib import Path

import pytest

import advisor.rules
from advisor.errors import UsageError
from advisor.rules import BrokenRuleError, all_rules, discover, get

IDS = [
    "input_bound",
    "input_io_bound",
    "slow_collate",
    "worker_restart",
    "too_many_workers",
    "blocking_copy",
    "sync_per_step",
    "overhead_bound",
    "precision_unused",
    "tf32_off",
    "threads_underused",
    "threads_oversubscribed",
    "optimizer_bound",
    "memory_headroom",
    "memory_pressure",
    "memory_creep",
    "evaluation_heavy",
    "checkpoint_heavy",
    "logging_heavy",
    "unsharded_iterable",
    "host_code",
    "debug_mode",
    "slow_dtype",
    "float64_used",
    "frozen_part_recomputed",
    "frozen_computes_gradients",
    "manual_attention",
    "shapes_off",
    "row_by_row_dataset",
    "iterator_restarted",
    "workers_repeat_draws",
    "padding_waste",
    "worker_memory_grows",
    "recompilations",
    "deep_copy_per_step",
    "accelerator_unused",
    "cpu_only_build",
    "throttled",
    "shared_memory_small",
    "swapping",
    "data_parallel",
    "channels_last_unused",
    "compile_candidate",
    "gc_pauses",
    "low_mfu",
]


@pytest.mark.parametrize("rule_id", IDS)
def test_every_promised_rule_exists(rule_id: str) -> None:
    assert get(rule_id).id == rule_id


def test_an_id_that_a_stored_profile_names_is_still_known() -> None:
    assert get("half_on_cpu") is get("slow_dtype")


def test_a_rule_is_found_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(advisor.rules.__file__).with_name("gc_pauses.py").read_text()
    (tmp_path / "copy_of_gc.py").write_text(source.replace('id="gc_pauses"', 'id="copy_of_gc"'))
    monkeypatch.setattr(advisor.rules, "__path__", [*advisor.rules.__path__, str(tmp_path)])
    assert "copy_of_gc" in [rule.id for rule in discover()]


@pytest.mark.parametrize(
    ("name", "source", "says"),
    [
        ("broken_import", "import no_such_module_at_all", "ModuleNotFoundError"),
        ("broken_syntax", "RULE = (", "SyntaxError"),
        ("broken_missing", "x = 1", "has no `RULE`"),
        ("broken_type", "RULE = 'a rule'", "found str"),
        ("broken_id", "from .gc_pauses import RULE", "must be the file's name"),
    ],
)
def test_a_file_that_is_no_rule_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str, says: str
) -> None:
    path = tmp_path / f"{name}.py"
    path.write_text(source)
    monkeypatch.setattr(advisor.rules, "__path__", [*advisor.rules.__path__, str(tmp_path)])
    with pytest.raises(BrokenRuleError) as caught:
        discover()
    assert str(path) in str(caught.value)
    assert says in str(caught.value)


def test_an_unknown_rule_names_near_matches() -> None:
    with pytest.raises(UsageError, match="input_bound"):
        get("input_bond")


def test_an_unknown_rule_without_near_matches_names_all() -> None:
    with pytest.raises(UsageError, match="worker_restart"):
        get("zzz")


def test_rules_stand_in_the_order_of_their_ids() -> None:
    ids = [rule.id for rule in all_rules()]
    assert ids == sorted(ids)
