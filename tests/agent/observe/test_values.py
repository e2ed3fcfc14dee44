"""A fault of a watch over values ends these watches, and never reaches the script."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from advisor.agent.observe.values import Values

from .test_operators import operators, update_by

WEIGHT = torch.randn(8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
FIELDS = ("rebuilt", "repeated", "parallel", "sparse", "filters", "ignored", "enlarged")


def test_each_field_is_reported() -> None:
    found = operators(update_by(lambda: WEIGHT @ WEIGHT), updates=2)
    assert {name: found[name] for name in FIELDS} == {
        name: [] if name in ("rebuilt", "repeated", "parallel") else None for name in FIELDS
    }


def test_a_fault_ends_them_and_the_script_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_args: Any, **_options: Any) -> None:
        raise RuntimeError("no shape")

    monkeypatch.setattr(Values, "_saw", refuses)
    found = operators(update_by(lambda: WEIGHT @ WEIGHT), updates=2)
    assert found["seconds"] > 0
    assert not set(FIELDS) & set(found)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_are_borne() -> None:
    def forward() -> torch.Tensor:
        rows = torch.nested.nested_tensor([torch.ones(2, 8), torch.ones(3, 8)])
        return WEIGHT * torch.nested.to_padded_tensor(rows, 0.0).sum()

    assert operators(update_by(forward), updates=2)["seconds"] > 0
