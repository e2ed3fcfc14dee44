"""Sparse matrices in coordinate form are found with both passes; compressed ones and those that are trained are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from .test_operators import operators, update_by

NODES, WIDTH = 400, 8
DENSE = (torch.rand(NODES, NODES, generator=torch.Generator().manual_seed(0)) < 0.05).float()
GRAPH = DENSE.to_sparse()
FEATURES = torch.randn(NODES, WIDTH, generator=torch.Generator().manual_seed(1)).requires_grad_()


def convolved() -> Tensor:
    return torch.sparse.mm(GRAPH, torch.sparse.mm(GRAPH, FEATURES))


def by_operator() -> Tensor:
    return GRAPH @ FEATURES


@pytest.mark.parametrize("forward", [convolved, by_operator])
def test_a_graph_in_coordinates_is_found(forward: Callable[[], Tensor]) -> None:
    whole = operators(update_by(forward), updates=2)
    found = whole["sparse"]
    assert (found["file"], found["function"], found["stored"]) == (__file__, forward.__name__, int(DENSE.sum()))
    assert 0 < found["backward_fraction"] < 1
    assert 0.3 * whole["seconds"] < found["seconds_per_update"] <= whole["seconds"]


def test_without_gradients_nothing_is_spent_in_the_backward() -> None:
    features = FEATURES.detach()
    found = operators(update_by(lambda: (GRAPH @ features) * FEATURES))["sparse"]
    assert found["backward_fraction"] == 0


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_others_are_not() -> None:
    compressed = DENSE.to_sparse_csr()
    for matrix in (compressed, DENSE):
        assert operators(update_by(lambda matrix=matrix: matrix @ FEATURES), updates=2)["sparse"] is None
