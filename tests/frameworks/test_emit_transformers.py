"""What is written for transformers is what `TrainingArguments` takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from settings_file.documents import EVERYTHING, document

from advisor.settings_file import exports

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
