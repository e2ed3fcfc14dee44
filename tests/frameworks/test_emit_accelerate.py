"""What is written for accelerate is what accelerate itself reads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from settings_file.documents import EVERYTHING, document

from advisor.settings_file import exports

pytest.importorskip("accelerate")
pytestmark = pytest.mark.frameworks
LIMIT_S = 180


def written(folder: Path, settings: dict[str, Any], training: dict[str, Any] | None = None) -> Path:
    artifact = exports.artifacts(document(settings, training), ["accelerate"])[0]
    path = folder / artifact.file_name
    path.write_text(artifact.content)
    return path


def read(path: Path) -> Any:
    from accelerate.commands.config.config_args import load_config_from_file

    return load_config_from_file(str(path))


@pytest.mark.parametrize(("precision", "mixed"), [("tf32", "no"), ("bf16", "bf16"), ("fp16", "fp16"), (None, None)])
def test_its_loader_takes_the_file(tmp_path: Path, precision: str | None, mixed: str | None) -> None:
    settings = {**EVERYTHING, "precision": precision} if precision else {}
    assert read(written(tmp_path, settings)).mixed_precision == mixed


def test_several_processes_are_those_that_there_were(tmp_path: Path) -> None:
    config = read(written(tmp_path, {}, {"device": "cuda", "processes": 4}))
    assert (config.num_processes, config.distributed_type.value, config.use_cpu) == (4, "MULTI_GPU", False)


PRINTS = """
from accelerate import Accelerator
accelerator = Accelerator()
plugin = accelerator.state.dynamo_plugin
print(accelerator.mixed_precision, accelerator.device, plugin.backend.value, plugin.mode)
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["default", "max-autotune-no-cudagraphs"])
def test_the_launcher_hands_the_settings_to_the_script(tmp_path: Path, mode: str) -> None:
    config = written(tmp_path, {"precision": "bf16", "compile": mode})
    (tmp_path / "train.py").write_text(PRINTS)
    argv = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config), "train.py"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.stdout.split() == ["bf16", "cpu", "INDUCTOR", mode], done.stderr
