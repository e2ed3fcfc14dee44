"""Compiled code runs eagerly for a while, and compiled again after that without a new compilation."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from advisor.agent.settings.compiler_stance import CompilerStance
from advisor.refused import Refused


def test_compiled_code_runs_eagerly_while_on_and_is_not_compiled_again() -> None:
    compiled: list[int] = []

    def backend(module: Any, _inputs: object) -> Any:
        compiled.append(1)
        return module.forward

    @torch.compile(backend=backend)
    def twice(x: torch.Tensor) -> torch.Tensor:
        return x + x if torch.compiler.is_compiling() else x * 3

    ones, stance = torch.ones(2), CompilerStance()
    first = twice(ones)
    stance.force_eager(True)
    eager = twice(ones)
    stance.force_eager(False)
    last = twice(ones)
    assert [value[0].item() for value in (first, eager, last)] == [2.0, 3.0, 2.0]
    assert compiled == [1]


def test_the_scripts_own_stance_comes_back() -> None:
    frames: Any = sys.modules["torch._dynamo.eval_frame"]
    before, stance = frames._stance, CompilerStance()
    stance.force_eager(True)
    stance.force_eager(True)
    stance.force_eager(False)
    assert frames._stance is before


def test_a_torch_without_stances_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys.modules["torch._dynamo.eval_frame"], "_set_stance")
    with pytest.raises(Refused, match="cannot run compiled code eagerly"):
        CompilerStance().force_eager(True)
