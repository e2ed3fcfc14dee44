"""Learning rates, schedules and optimizers in the files of other tools."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
import yaml
from report import sample_learning

from advisor import rate_schedule
from advisor.settings_file import exports
from advisor.settings_file.exports import Document
from advisor.settings_file.loaded import learned_yaml
from advisor.types import Artifact, Config, RangeTest

KNOWN = {"optimizer": "AdamW", "batch_size": 32, "samples_per_update": 32, "processes": 1, "learning_rate": 0.01}
UPDATES = 400


def made(
    target: str, settings: Mapping[str, Any], updates: float | None = UPDATES, **training: Any
) -> tuple[dict[str, Any], Artifact]:
    """The content of a file, and what is told of it."""
    found = {"command": "train.py", "training": {**KNOWN, **training}}
    artifact = exports.artifacts(Document(config=Config.of(settings), updates=updates, found=found), [target])[0]
    return dict(yaml.safe_load(artifact.content)), artifact


def left(artifact: Artifact) -> dict[str, str]:
    return {item.what: item.why for item in artifact.not_expressed}


# --- deepspeed --------------------------------------------------------------------------------------------------------

SCHEDULER_KEYS: dict[str, dict[str, type]] = {
    "WarmupLR": {"warmup_min_lr": float, "warmup_max_lr": float, "warmup_num_steps": int, "warmup_type": str},
    "WarmupDecayLR": {
        "total_num_steps": int,
        "warmup_min_lr": float,
        "warmup_max_lr": float,
        "warmup_num_steps": int,
        "warmup_type": str,
    },
    "WarmupCosineLR": {
        "total_num_steps": int,
        "warmup_min_ratio": float,
        "warmup_num_steps": int,
        "cos_min_ratio": float,
        "warmup_type": str,
    },
    "OneCycle": {
        "cycle_min_lr": float,
        "cycle_max_lr": float,
        "cycle_first_step_size": int,
        "cycle_second_step_size": int,
        "cycle_momentum": bool,
    },
}
"""Of https://deepspeed.readthedocs.io/en/latest/schedulers.html, those that are written. It is not installed."""


@pytest.mark.parametrize(
    ("settings", "kind", "params"),
    [
        ({"lr_schedule": "linear"}, "WarmupDecayLR", {"total_num_steps": 400, "warmup_max_lr": 0.01}),
        ({"lr_schedule": "cosine"}, "WarmupCosineLR", {"total_num_steps": 400, "warmup_min_ratio": 1.0}),
        (
            {"lr_schedule": "cosine", "warm_up_fraction": 0.1, "learning_rate": 0.03},
            "WarmupCosineLR",
            {"warmup_num_steps": 40, "warmup_min_ratio": 0.0, "cos_min_ratio": 0.0},
        ),
        (
            {"lr_schedule": "constant", "warm_up_fraction": 0.05, "learning_rate": 0.03},
            "WarmupLR",
            {"warmup_num_steps": 20, "warmup_max_lr": 0.03, "warmup_min_lr": 0.0, "warmup_type": "linear"},
        ),
        ({"lr_schedule": "constant"}, "WarmupLR", {"warmup_min_lr": 0.01, "warmup_max_lr": 0.01}),
        ({"lr_schedule": "one_cycle"}, "OneCycle", {"cycle_max_lr": 0.01, "cycle_first_step_size": 120}),
    ],
)
def test_deepspeed_schedules_in_its_documented_keys(
    settings: dict[str, Any], kind: str, params: dict[str, Any]
) -> None:
    content, artifact = made("deepspeed", settings)
    section = content["scheduler"]
    assert section["type"] == kind
    assert {name: type(value) for name, value in section["params"].items()} == SCHEDULER_KEYS[kind]
    assert section["params"].items() >= params.items()
    assert (set(left(artifact)) == {"lr_schedule=one_cycle"}) is (kind == "OneCycle")
    assert not artifact.is_empty


@pytest.mark.parametrize("name", ["wsd", "inverse_sqrt", "plateau"])
def test_a_schedule_that_deepspeed_lacks_is_listed_with_its_warm_up(name: str) -> None:
    content, artifact = made("deepspeed", {"lr_schedule": name, "warm_up_fraction": 0.1})
    assert "scheduler" not in content
    assert left(artifact)[f"lr_schedule={name}"].startswith(f"the section scheduler has no {name}; ")
    assert "no place for the schedule" in left(artifact)["warm_up_fraction=0.1"]


def test_a_schedule_without_its_length_or_peak_is_listed_with_the_reason() -> None:
    _content, artifact = made("deepspeed", {"lr_schedule": "linear"}, updates=None)
    assert "write it there as updates: N" in left(artifact)["lr_schedule=linear"]
    _content, artifact = made("deepspeed", {"lr_schedule": "linear"}, learning_rate=None)
    assert "the file does not say the script's" in left(artifact)["lr_schedule=linear"]


def test_deepspeeds_optimizer_has_the_rate_and_its_adam_stays_adam() -> None:
    content, artifact = made("deepspeed", {"learning_rate": 0.03, "weight_decay": 0.1}, optimizer="Adam")
    params = {"lr": 0.03, "weight_decay": 0.1, "adam_w_mode": False}
    assert content["optimizer"] == {"type": "Adam", "params": params}
    assert [item.what for item in artifact.to_fill] == ["optimizer.params"]
    content, _ = made("deepspeed", {"weight_decay": 0.1, "momentum": 0.9}, optimizer="SGD")
    assert content["optimizer"] == {"type": "SGD", "params": {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1}}
    content, _ = made("deepspeed", {"learning_rate": 0.03, "optimizer": "adamw"}, optimizer="Adam")
    assert content["optimizer"] == {"type": "AdamW", "params": {"lr": 0.03}}


@pytest.mark.parametrize(
    ("settings", "training", "why"),
    [
        ({"learning_rate": 0.03}, {"optimizer": "Lion"}, "it cannot make Lion"),
        ({"learning_rate": 0.03}, {"optimizer": None}, "does not say which that is"),
        ({"weight_decay": 0.1}, {"learning_rate": None}, "does not say its learning rate"),
        ({"momentum": 0.8}, {}, "a pair, and only one is set"),
        ({"optimizer": "muon", "learning_rate": 0.03}, {}, "a section holds one optimizer"),
    ],
)
@pytest.mark.parametrize("target", ["deepspeed", "lightning"])
def test_a_section_that_would_make_another_optimizer_is_not_written(
    target: str, settings: dict[str, Any], training: dict[str, Any], why: str
) -> None:
    content, artifact = made(target, settings, **training)
    assert "optimizer" not in content
    assert {item.partition("=")[0] for item in left(artifact)} == set(settings)
    assert any(why in reason for reason in left(artifact).values())


# --- lightning, accelerate --------------------------------------------------------------------------------------------


def test_lightnings_optimizer_is_what_its_class_takes() -> None:
    settings = {"learning_rate": 0.03, "momentum": "nesterov 0.8", "weight_decay": 0.1, "lr_schedule": "cosine"}
    content, artifact = made("lightning", settings, optimizer="SGD")
    package, _, name = content["optimizer"]["class_path"].rpartition(".")
    assert package == "torch.optim"
    optimizer = getattr(torch.optim, name)(torch.nn.Linear(2, 2).parameters(), **content["optimizer"]["init_args"])
    (group,) = optimizer.param_groups
    assert [group[entry] for entry in ("lr", "momentum", "nesterov", "weight_decay")] == [0.03, 0.8, True, 0.1]
    assert left(artifact).keys() == {"lr_schedule=cosine"}
    assert "after each epoch" in left(artifact)["lr_schedule=cosine"]


def test_accelerate_lists_them_with_the_reason() -> None:
    _content, artifact = made("accelerate", {"learning_rate": 0.03, "lr_schedule": "cosine"})
    assert left(artifact)["learning_rate=0.03"].startswith(
        "the launcher starts the script, which makes its optimizer; "
    )
    assert "CosineAnnealingLR" in left(artifact)["lr_schedule=cosine"]


# --- plain torch ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("warm_up", [None, 0.0, 0.1])
@pytest.mark.parametrize("name", sorted(set(rate_schedule.NAMES) - {"plateau", "constant"}))
def test_the_modules_schedule_has_the_rates_that_advisor_run_sets(name: str, warm_up: float | None) -> None:
    if name == "one_cycle" and warm_up == 0.0:
        pytest.skip("torch's OneCycleLR rises for one update at least")
    settings = {"lr_schedule": name, **({} if warm_up is None else {"warm_up_fraction": warm_up})}
    found = {"command": "train.py", "training": KNOWN}
    document = Document(config=Config.of(settings), updates=200, found=found)
    (artifact,) = exports.artifacts(document, ["python"])
    assert artifact.not_expressed == ()
    assert "scheduler = fast.schedule(optimizer)" in artifact.content
    assert artifact.content.index("    optimizer.step()") < artifact.content.index("    scheduler.step()")
    namespace: dict[str, Any] = {}
    exec(artifact.content, namespace)
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD([{"params": [layer.weight], "lr": 0.5}, {"params": [layer.bias], "lr": 0.1}])
    scheduler = namespace["schedule"](optimizer)
    for done in range(200):
        factor = rate_schedule.factor(name, done, 200, warm_up)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 * factor, rel=1e-6, abs=1e-9), done
        assert optimizer.param_groups[1]["lr"] == pytest.approx(0.1 * factor, rel=1e-6, abs=1e-9), done
        optimizer.step()
        if done < 199:
            scheduler.step()


# --- a batch that the rate follows ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "optimizer", "rate"),
    [
        ({"global_batch": 128}, "AdamW", 0.02),
        ({"global_batch": 128}, "SGD", 0.04),
        ({"global_batch": 128, "learning_rate": 0.1}, "AdamW", 0.2),
        ({"global_batch": 32, "learning_rate": 0.1}, "AdamW", 0.1),
    ],
)
@pytest.mark.parametrize("target", ["deepspeed", "lightning", "transformers"])
def test_a_larger_batch_brings_its_rate(target: str, settings: dict[str, Any], optimizer: str, rate: float) -> None:
    content, _artifact = made(target, settings, optimizer=optimizer)
    found = {
        "deepspeed": lambda: content["optimizer"]["params"]["lr"],
        "lightning": lambda: content["optimizer"]["init_args"]["lr"],
        "transformers": lambda: content["learning_rate"],
    }[target]()
    assert math.isclose(found, rate, rel_tol=1e-5)


def test_a_rate_that_follows_and_is_unknown_is_to_be_filled_in() -> None:
    content, artifact = made("transformers", {"global_batch": 128}, learning_rate=None)
    assert "learning_rate" not in content
    assert "learning rate" in {item.what for item in artifact.to_fill}


def test_advisors_own_file_says_what_was_searched() -> None:
    content, artifact = made("advisor", {"global_batch": 128})
    assert content["settings"] == {"global_batch": 128}
    assert artifact.to_fill == ()


# --- what the file says of the script's rate --------------------------------------------------------------------------


def rate_in(text: str) -> Any:
    return yaml.safe_load(text)["found"]["training"].get("learning_rate")


def test_the_file_says_the_scripts_rate_where_it_is_its_peak() -> None:
    found = sample_learning.faster()
    workload = found.profile.workload
    assert workload is not None
    rate = workload.main_optimizer.learning_rate if workload.main_optimizer else None
    assert rate is not None
    assert rate_in(learned_yaml(found)) == rate
    changing = tuple(replace(one, has_schedule=True) for one in workload.optimizers)
    scheduled = replace(found.profile, workload=replace(workload, optimizers=changing))
    assert rate_in(learned_yaml(replace(found, profile=scheduled))) is None
    tested = RangeTest(command=found.profile.command, script_rate=0.25)
    assert rate_in(learned_yaml(replace(found, profile=scheduled, range_test=tested))) == 0.25


def test_a_rate_that_makes_no_sense_counts_as_missing() -> None:
    for wrong in ("fast", True, -1, 0, 1e9, [0.1]):
        content, _artifact = made("deepspeed", {"weight_decay": 0.1}, learning_rate=wrong)
        assert "optimizer" not in content
    assert json.dumps(content)
