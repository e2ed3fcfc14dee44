"""Settings that were found for a line of torchrun: no launcher starts another one."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.settings_file import exports
from advisor.settings_file.exports import Document
from advisor.types import Config

LINE = "torchrun --nproc-per-node 2 --standalone"


def exported(target: str, **found: Any) -> Any:
    document = Document(config=Config.of({"threads": 2}), found={"command": f"{LINE} train.py --lr 1", **found})
    return exports.artifacts(document, [target])[0]


def test_torchrun_gets_its_own_line_again() -> None:
    content = exported("torchrun", launcher=LINE, training={"processes": 2}).content
    assert f'exec {LINE} train.py --lr 1 "$@"' in content
    assert "export OMP_NUM_THREADS=2" in content


@pytest.mark.parametrize("target", ["accelerate", "python"])
def test_other_formats_name_the_script_alone(target: str) -> None:
    made = exported(target, launcher=LINE)
    assert "torchrun" not in made.content + made.usage
    assert "train.py --lr 1" in made.content + made.usage
