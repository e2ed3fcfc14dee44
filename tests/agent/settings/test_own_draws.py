"""Random numbers of a rank's own between common ones."""

from __future__ import annotations

import torch

from advisor.agent.settings.own_draws import drawing_apart, drop_apart


def drawn(rank: int) -> tuple[list[float], list[float]]:
    """What a rank draws inside and afterwards, from one common state."""
    torch.manual_seed(5)
    with drawing_apart(rank, torch.device("cpu")):
        inside = torch.rand(4).tolist()
    return inside, torch.rand(4).tolist()


def test_each_rank_draws_its_own_inside_and_the_same_afterwards() -> None:
    (first, after), (second, after_too) = drawn(0), drawn(1)
    assert after == after_too
    assert first != second
    assert drawn(1) == (second, after)


def test_the_next_ones_inside_are_others() -> None:
    torch.manual_seed(5)
    rows = []
    for _ in range(2):
        with drawing_apart(0, torch.device("cpu")):
            rows.append(torch.rand(4).tolist())
    assert rows[0] != rows[1]


def test_a_module_drops_other_features_on_each_rank() -> None:
    kept = []
    for rank in range(2):
        drop = torch.nn.Dropout(0.5)
        drop_apart(drop, rank)
        torch.manual_seed(5)
        kept.append(drop(torch.ones(64)).tolist())
        assert drop.eval()(torch.ones(64)).tolist() == [1.0] * 64
    assert kept[0] != kept[1]
