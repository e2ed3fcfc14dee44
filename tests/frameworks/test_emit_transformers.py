"""What is written for transformers is what `TrainingArguments` takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from settings_file.documents import EVERYTHING, document

from advisor import rate_schedule
from advisor.settings_file import exports
from advisor.settings_file.exports import Document
from advisor.types import Config

pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.frameworks,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def written(settings: dict[str, Any], training: dict[str, Any] | None = None) -> dict[str, Any]:
    return dict(json.loads(exports.artifacts(document(settings, training), ["transformers"])[0].content))


def taken(tmp_path: Path, settings: dict[str, Any]) -> Any:
    from transformers import TrainingArguments

    return TrainingArguments(output_dir=str(tmp_path), **written(settings))


def test_it_takes_all_settings(tmp_path: Path) -> None:
    arguments = taken(tmp_path, EVERYTHING)
    assert (arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps) == (16, 4)
    assert (arguments.dataloader_num_workers, arguments.dataloader_prefetch_factor) == (2, 4)
    assert (arguments.dataloader_pin_memory, arguments.dataloader_persistent_workers) == (False, True)
    assert (arguments.bf16, arguments.torch_compile, arguments.torch_compile_mode) == (True, True, "default")
    assert (arguments.optim, arguments.activation_checkpointing) == ("adamw_torch_fused", True)


def test_it_takes_no_settings(tmp_path: Path) -> None:
    assert taken(tmp_path, {}).dataloader_num_workers == 0


@pytest.mark.parametrize(("precision", "on"), [("bf16", ["bf16"]), ("fp16", ["fp16"]), ("tf32", ["tf32"])])
def test_a_precision_is_one_of_its_switches(precision: str, on: list[str]) -> None:
    content = written({"precision": precision}, {"device": "cuda"})
    assert [name for name, value in content.items() if value is True] == on


def test_every_name_is_one_of_its_fields() -> None:
    from dataclasses import fields

    from transformers import TrainingArguments

    names = {field.name for field in fields(TrainingArguments)}
    assert all(set(written({**EVERYTHING, "precision": name})) <= names for name in ("tf32", "bf16", "fp16"))


def test_an_optimizer_that_it_has_no_fused_form_of_is_left() -> None:
    assert "optim" not in written({"fused_optimizer": "fused"}, {"optimizer": "SGD"})


@pytest.mark.parametrize("warm_up", [None, 0.1])
@pytest.mark.parametrize("name", ["constant", "linear", "cosine", "wsd", "inverse_sqrt"])
def test_its_schedule_has_the_rates_that_advisor_run_sets(tmp_path: Path, name: str, warm_up: float | None) -> None:
    import torch
    from transformers import TrainingArguments, get_scheduler

    updates = 400
    settings = {"learning_rate": 0.5, "lr_schedule": name, **({} if warm_up is None else {"warm_up_fraction": warm_up})}
    document = Document(config=Config.of(settings), updates=updates, found={})
    artifact = exports.artifacts(document, ["transformers"])[0]
    assert artifact.not_expressed == ()
    arguments = TrainingArguments(output_dir=str(tmp_path), **json.loads(artifact.content))
    assert arguments.learning_rate == 0.5
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=arguments.learning_rate)
    kind, kwargs = arguments.lr_scheduler_type, arguments.lr_scheduler_kwargs
    scheduler = get_scheduler(kind, optimizer, arguments.get_warmup_steps(updates), updates, kwargs)
    for done in range(updates):
        factor = rate_schedule.factor(name, done, updates, warm_up)
        assert optimizer.param_groups[0]["lr"] / 0.5 == pytest.approx(factor, abs=0.06), done
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("name", ["one_cycle", "plateau"])
def test_a_schedule_that_it_has_in_another_form_is_listed(name: str) -> None:
    document = Document(config=Config.of({"lr_schedule": name}), updates=400, found={})
    assert exports.artifacts(document, ["transformers"])[0].not_expressed[0].what == f"lr_schedule={name}"
