"""Outputs of evaluations that the script keeps whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from advisor.agent.observe import kept_outputs
from advisor.agent.observe.kept_outputs import KeptOutputs, trainer_metrics

ROWS = 64
CLASSES = 1024


def watched(keep: Any, count: int = 20, classes: int = CLASSES) -> bool:
    """Evaluate batches as a script does that keeps `keep(output)` of each."""
    watch = KeptOutputs()
    for evaluation in range(3):
        kept = []
        for _ in range(count):
            output = torch.randn(ROWS, classes)
            watch.saw(output, evaluation)
            kept.append(keep(output))
        assert len(kept) == count
    return watch.keeps


@pytest.mark.parametrize(
    "keep", [lambda output: output, lambda output: output.detach().cpu(), lambda output: output.numpy()]
)
def test_outputs_in_a_list_are_kept(keep: Any) -> None:
    assert watched(keep)


@pytest.mark.parametrize("keep", [lambda output: output.argmax(1), lambda output: output.sum().item()])
def test_what_is_computed_of_them_is_not(keep: Any) -> None:
    assert not watched(keep)


def test_small_outputs_do_not_matter() -> None:
    assert not watched(lambda output: output, classes=10)


def test_few_batches_say_nothing() -> None:
    assert not watched(lambda output: output, count=kept_outputs.LATER_CALLS + 1)


def test_the_largest_of_several_outputs_counts() -> None:
    watch, kept = KeptOutputs(), []
    for _ in range(30):
        output = {"loss": torch.ones(()), "logits": torch.randn(ROWS, CLASSES)}
        watch.saw(output, 0)
        kept.append(output["logits"])
    assert watch.keeps


def test_an_output_that_cannot_be_looked_at_harms_nothing() -> None:
    class Odd(dict[str, object]):
        def values(self) -> Any:
            raise RuntimeError

    KeptOutputs().saw(Odd(), 0)


def test_without_transformers_no_trainer_is_sought(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(kept_outputs.sys.modules, "transformers.trainer", raising=False)
    assert trainer_metrics() is None
