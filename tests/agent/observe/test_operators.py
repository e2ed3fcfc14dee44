"""What the order of traced operators shows: dtypes, attention written out, derivatives of derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from advisor.agent.loop.clock import BACKWARD, StepClock
from advisor.agent.observe.trace import Tracer

TOKENS = 6


def operators(update: Callable[[StepClock], Any], updates: int = 1) -> dict[str, Any]:
    """Return the operators' figures of traced updates."""
    clock = StepClock()
    tracer = Tracer(clock)
    tracer.start()
    kept = []
    for _ in range(updates):
        kept.append(update(clock))
        clock.end_update()
    tracer.stop()
    found: dict[str, Any] = tracer.report()["operators"]
    del kept
    return found


def backward(clock: StepClock, loss: Tensor) -> None:
    clock.push(BACKWARD)
    loss.backward()
    clock.pop()


def tensor(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).requires_grad_()


def update_by(forward: Callable[[], Tensor]) -> Callable[[StepClock], Tensor]:
    """Return an update whose loss is the sum of what the forward gives."""

    def update(clock: StepClock) -> Tensor:
        result = forward()
        backward(clock, result.sum())
        return result

    return update


QUERY, KEY, VALUE = (tensor(2, 3, TOKENS, 4) for _ in range(3))


def by_hand(dropout: float = 0.0) -> tuple[Tensor, Tensor]:
    scores = QUERY @ KEY.transpose(-2, -1) / math.sqrt(4)
    scores = scores.masked_fill(torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1), -math.inf)
    weights = functional.dropout(scores.softmax(-1), dropout)
    return weights @ VALUE, weights


def attention(forward: Callable[[], tuple[Tensor, Any]], updates: int = 1) -> list[dict[str, Any]]:
    def update(clock: StepClock) -> Any:
        result, rest = forward()
        backward(clock, result.sum())
        return rest

    found: list[dict[str, Any]] = operators(update, updates)["attention"]
    return found


def test_attention_written_out_is_one_site_with_the_line_of_its_softmax() -> None:
    (site,) = attention(lambda: (by_hand()[0], None), updates=2)
    assert (site["function"], site["line"]) == ("by_hand", by_hand.__code__.co_firstlineno + 3)
    assert (site["rows"], site["columns"], site["calls_per_update"]) == (TOKENS, TOKENS, 1.0)
    assert site["score_bytes"] == 2 * 3 * TOKENS * TOKENS * 4
    assert site["seconds_per_update"] > 0
    assert not site["dropout"]
    assert not site["weights_used"]


def test_dropout_on_the_weights_is_seen() -> None:
    (site,) = attention(lambda: (by_hand(0.5)[0], None))
    assert site["dropout"]


def test_weights_that_the_script_keeps_are_used() -> None:
    (site,) = attention(by_hand)
    assert site["weights_used"]


def test_weights_that_something_else_reads_are_used() -> None:
    def forward() -> tuple[Tensor, None]:
        result, weights = by_hand()
        return result.sum() + weights.mean(1).sum(), None

    (site,) = attention(forward)
    assert site["weights_used"]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_torchs_fused_attention_is_no_attention_written_out(dropout: float) -> None:
    assert (
        attention(lambda: (functional.scaled_dot_product_attention(QUERY, KEY, VALUE, dropout_p=dropout), None)) == []
    )


def test_a_product_of_probabilities_without_scores_is_no_attention() -> None:
    assert attention(lambda: (QUERY.softmax(-1) @ KEY.transpose(-2, -1), None)) == []


def test_multihead_attention_whose_weights_are_asked_for_is_named() -> None:
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    tokens = tensor(2, TOKENS, 8)

    def forward() -> tuple[Tensor, None]:
        return layer(tokens, tokens, tokens)[0], None

    (site,) = attention(forward)
    assert site["asked_for_weights"]
    assert site["function"] == "forward"
    assert not site["weights_used"]
    layer.zero_grad()
    (read,) = attention(lambda: (layer(tokens, tokens, tokens)[1].sum(), None))
    assert read["weights_used"]
    layer.zero_grad()
    assert attention(lambda: (layer(tokens, tokens, tokens, need_weights=False)[0], None)) == []


def test_time_and_bytes_are_told_by_dtype() -> None:
    found = operators(lambda _clock: (torch.ones(100, dtype=torch.float64).mul(2), torch.ones(10).mul(2)))
    assert found["bytes_by_dtype"] == {"float64": 2 * 800, "float32": 2 * 40}
    assert set(found["seconds_by_dtype"]) == {"float64", "float32"}
    assert sum(found["seconds_by_dtype"].values()) == pytest.approx(found["seconds"])


@pytest.mark.parametrize("create_graph", [False, True])
def test_derivatives_of_derivatives_are_seen(create_graph: bool) -> None:
    def update(clock: StepClock) -> None:
        point = torch.ones(3, requires_grad=True)
        loss = (point**3).sum()
        clock.push(BACKWARD)
        torch.autograd.grad(loss, point, create_graph=create_graph)
        clock.pop()

    assert operators(update)["differentiates_twice"] is create_graph


@pytest.mark.parametrize(
    ("update", "decomposes"),
    [
        (lambda _clock: torch.linalg.cholesky(torch.eye(3)), True),
        (lambda _clock: torch.linalg.solve(torch.eye(3), torch.ones(3)), True),
        (lambda _clock: torch.linalg.vector_norm(torch.ones(3)), False),
    ],
)
def test_decompositions_are_seen(update: Callable[[StepClock], Any], decomposes: bool) -> None:
    assert operators(update)["decomposes"] is decomposes


def test_a_sparse_tensor_ends_nothing() -> None:
    matrix = torch.eye(3).to_sparse()
    assert operators(lambda _clock: (torch.sparse.mm(matrix, torch.ones(3, 3)), torch.ones(3)))["seconds"] > 0
