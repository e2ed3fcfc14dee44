"""Advice on the loader fits the script: workers where they can win, and the line that made the loader."""

from __future__ import annotations

from typing import Any

import pytest

from advisor import rules
from advisor.rules._examples import healthy_cpu, healthy_cuda, line, train_loader, what_if
from advisor.types import Evidence, Finding

ALONE = {"loaders": (train_loader(num_workers=0, persistent_workers=False),)}
SLOW = {"fetch_s": 0.055, "fetch_cpu_s": 0.054, "collate_s": 0.003, "workers": 0}
WAITING: dict[str, Any] = {"phases": {"data_wait": 0.6}, "loader": SLOW, "what_ifs": what_if("no_data_wait", 2.4)}
TWO_CPUS = {"cpu": {"usable_cpus": 2.0, "cores_logical": 2, "cores_physical": 2}}


def found(evidence: Evidence, rule: str) -> Finding:
    return next(finding for finding in rules.diagnose(evidence).findings if finding.rule == rule)


def test_workers_are_advised_where_cpus_are_idle() -> None:
    evidence = healthy_cpu(**WAITING, workload=ALONE, system={"main_cpus": 1.5})
    assert found(evidence, "input_bound").advice.startswith("Load in worker processes (`num_workers`)")


def test_no_workers_where_the_update_keeps_the_cpus_busy() -> None:
    evidence = healthy_cpu(
        **{**WAITING, "phases": {"data_wait": 0.1}, "what_ifs": what_if("no_data_wait", 1.1, 1.05, 1.15)},
        workload=ALONE,
        hardware=TWO_CPUS,
        system={"main_cpus": 1.95},
    )
    advice = found(evidence, "input_bound").advice
    assert "keeps the CPUs busy" in advice
    assert "num_workers" not in advice


def test_no_workers_for_iterators_that_are_given_up() -> None:
    restarts = {"seconds_per_restart": 0.02, "updates_per_epoch": 1.0, "share": 0.1, "batches_per_start": 1.0}
    evidence = healthy_cpu(**WAITING, workload=ALONE, restarts=restarts)
    assert "given up early" in found(evidence, "input_bound").advice


def test_no_workers_for_batches_that_take_as_long_to_send() -> None:
    read = {"rows_s": 0.0009, "sample_bytes": 100.0}
    evidence = healthy_cpu(**{**WAITING, "loader": {**SLOW, **read}}, workload=ALONE)
    assert "as long to send" in found(evidence, "input_bound").advice


def test_a_librarys_line_comes_with_the_line_that_made_the_loader() -> None:
    theirs = "/venv/lib/python3.12/site-packages/torchvision/datasets/folder.py"
    work = line("io", 0.9, where="loader", file=theirs, function="pil_loader", library="torchvision")
    places = found(healthy_cpu(**WAITING, workload=ALONE, lines=(work,)), "input_bound").where
    assert [(place.file, place.line) for place in places] == [(theirs, 42), ("train.py", 20)]


def test_torchs_own_lines_are_nobodys_place() -> None:
    theirs = "/venv/lib/python3.12/site-packages/torch/utils/data/_utils/collate.py"
    work = line("torch", 0.9, where="loader", file=theirs, function="collate_tensor_fn", library="torch")
    places = found(healthy_cpu(**WAITING, workload=ALONE, lines=(work,)), "input_bound").where
    assert [(place.file, place.line) for place in places] == [("train.py", 20)]


@pytest.mark.parametrize(
    "changes",
    [{"off_step": {"evaluation": 0.2}}, {"workload": {"loaders": (), "facts": {"packages": {"gymnasium": "1.2"}}}}],
    ids=["acts", "environments"],
)
def test_a_loop_that_makes_its_data_by_the_model_gets_no_loader(changes: dict[str, Any]) -> None:
    evidence = healthy_cpu(**{"workload": {"loaders": ()}, **changes}, lines=(line("python", 0.4),))
    assert "DataLoader" not in found(evidence, "host_code").advice


def test_any_other_loop_without_a_loader_is_advised_one() -> None:
    evidence = healthy_cpu(workload={"loaders": ()}, lines=(line("python", 0.4),))
    assert "`DataLoader` with workers" in found(evidence, "host_code").advice


def test_the_trainer_gets_a_dataset_that_answers_whole_batches() -> None:
    rows = {"rows_read": "whole", "rows_s": 0.06, "whole_s": 0.004, "sample_bytes": 100.0}
    changed = {**WAITING, "loader": {**SLOW, **rows}, "workload": {**ALONE, "framework": "transformers"}}
    assert "`__getitems__(self, indices)`" in found(healthy_cpu(**changed), "row_by_row_dataset").advice


def test_one_cause_speaks_for_a_wait() -> None:
    rows = {"rows_read": "whole", "rows_s": 0.06, "whole_s": 0.004, "sample_bytes": 100.0}
    evidence = healthy_cuda(**{**WAITING, "loader": {**SLOW, **rows}}, workload=ALONE)
    waits = ("input_bound", "input_io_bound", "slow_collate", "too_many_workers", "row_by_row_dataset")
    assert [one.rule for one in rules.diagnose(evidence).findings if one.rule in waits] == ["row_by_row_dataset"]


def test_a_restart_has_one_rule() -> None:
    given_up = {"seconds_per_restart": 0.4, "updates_per_epoch": 1.0, "share": 0.4, "batches_per_start": 1.0}
    loaders = {"loaders": (train_loader(persistent_workers=False),)}
    whole = {"seconds_per_restart": 0.4, "updates_per_epoch": 16.0, "share": 0.2, "draw_s": 0.001}
    for restarts, rule in ((given_up, "iterator_restarted"), (whole, "worker_restart")):
        evidence = healthy_cpu(workload=loaders, restarts=restarts)
        said = {one.rule for one in rules.diagnose(evidence).findings}
        assert said & {"iterator_restarted", "worker_restart"} == {rule}
