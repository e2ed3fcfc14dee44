"""Texts of training loops, and whether they survive an epoch without batches; each is run without any to compare."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from advisor.agent.loop.empty_epochs import why_it_fails
from advisor.agent.loop.enclosing import Loop, enclosing_loops

DIVIDES_BY_A_COUNTER = """
def main():
    for epoch in range(2):
        total, n = 0.0, 0
        for batch in batches():
            total += batch
            n += 1
        print(total / n)
main()
"""
DIVIDES_BY_A_LENGTH = """
def train():
    losses = []
    for batch in batches():
        losses.append(batch)
    return sum(losses) / len(losses)
for epoch in range(2):
    train()
"""
USES_THE_LAST_LOSS = """
def train():
    for batch in batches():
        loss = batch + 1
    return loss
for epoch in range(2):
    train()
"""
USES_THE_INDEX = """
def train(total=0):
    for i, batch in enumerate(batches()):
        total += batch
    return total / (i + 1)
for epoch in range(2):
    train()
"""
GLOBAL_STEP = """
def main():
    step = 0
    for epoch in range(2):
        total = 0.0
        for batch in batches():
            step += 1
            total += batch
        print(total / step)
main()
"""
LAST_LOSS_OF_BEFORE = """
def main():
    for epoch in range(2):
        for batch in batches():
            loss = batch + 1
        print(loss)
main()
"""
CAREFUL = """
def train():
    total, n, loss = 0.0, 0, None
    for batch in batches():
        loss, total, n = batch, total + batch, n + 1
    print(loss)
    return total / max(1, n)
for epoch in range(2):
    train()
"""
AT_MODULE_LEVEL = """
for epoch in range(2):
    seen = 0
    for batch in batches():
        seen += 1
    print(f"{epoch}: {100 * 1 / seen}")
"""


def run(folder: Path, text: str) -> tuple[str | None, str]:
    """Return what the text shows in its first epoch, and the error that its second, empty epoch raises."""
    found: list[str | None] = []
    epochs = 0

    def batches() -> list[int]:
        nonlocal epochs
        epochs += 1
        return [1, 2] if epochs == 1 else []

    class Batch(int):
        def __add__(self, other: int) -> Batch:
            return Batch(int(self) + int(other))

    def looking() -> object:
        for batch in batches():
            if not found:
                import sys

                loops: list[Loop] = enclosing_loops(sys._getframe(1))
                found.append(why_it_fails(loops))
            yield Batch(batch)

    path = folder / "train.py"
    path.write_text(textwrap.dedent(text))
    error = ""
    try:
        exec(compile(path.read_text(), str(path), "exec"), {"batches": looking, "__name__": "__main__"})
    except Exception as raised:
        error = type(raised).__name__
    return found[0], error


@pytest.mark.parametrize(
    ("text", "error", "why"),
    [
        (DIVIDES_BY_A_COUNTER, "ZeroDivisionError", "divides by `n`"),
        (DIVIDES_BY_A_LENGTH, "ZeroDivisionError", "divides by `losses`"),
        (USES_THE_LAST_LOSS, "UnboundLocalError", "uses `loss`"),
        (USES_THE_INDEX, "UnboundLocalError", "uses `i`"),
        (AT_MODULE_LEVEL, "ZeroDivisionError", "divides by `seen`"),
    ],
    ids=["counter", "length", "last loss", "index", "module"],
)
def test_a_text_that_fails_is_seen(tmp_path: Path, text: str, error: str, why: str) -> None:
    found, raised = run(tmp_path, text)
    assert raised == error
    assert why in (found or "")


@pytest.mark.parametrize(
    "text",
    [GLOBAL_STEP, LAST_LOSS_OF_BEFORE, CAREFUL],
    ids=["steps of all epochs", "loss of the epoch before", "careful"],
)
def test_a_text_that_survives_is_let_be(tmp_path: Path, text: str) -> None:
    assert run(tmp_path, text) == (None, "")
