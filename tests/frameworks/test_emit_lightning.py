"""What is written for Lightning is what its Trainer and torch's loader take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from settings_file.documents import EVERYTHING, document

from advisor.settings_file import exports

pytest.importorskip("lightning")
pytestmark = [pytest.mark.frameworks, pytest.mark.filterwarnings("ignore")]  # what it and its parts import warns


def written(settings: dict[str, Any], training: dict[str, Any] | None = None) -> dict[str, Any]:
    return dict(yaml.safe_load(exports.artifacts(document(settings, training), ["lightning"])[0].content))


def trainer(tmp_path: Path, settings: dict[str, Any]) -> Any:
    from lightning.pytorch import Trainer

    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "default_root_dir": tmp_path}
    return Trainer(**written(settings)["trainer"], **quiet)


def test_its_trainer_takes_all_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    made = trainer(tmp_path, EVERYTHING)
    assert (made.precision, made.accumulate_grad_batches, torch.backends.cudnn.benchmark) == ("bf16-mixed", 4, True)


def test_its_trainer_takes_no_settings(tmp_path: Path) -> None:
    assert trainer(tmp_path, {}).precision == "32-true"


@pytest.mark.parametrize(("precision", "name"), [("bf16", "bf16-mixed"), ("fp16", "16-mixed"), ("tf32", None)])
def test_a_precision_has_its_name(precision: str, name: str | None) -> None:
    from typing import get_args

    from lightning.fabric.connector import _PRECISION_INPUT_STR

    assert written({"precision": precision})["trainer"].get("precision") == name
    assert name is None or name in get_args(_PRECISION_INPUT_STR)


def test_a_loader_takes_its_part() -> None:
    loader = torch.utils.data.DataLoader(torch.arange(32), **written(EVERYTHING)["dataloader"])  # type: ignore[arg-type]
    assert (loader.batch_size, loader.num_workers, loader.prefetch_factor) == (16, 2, 4)
