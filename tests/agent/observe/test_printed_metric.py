"""Numbers that a script prints or logs under a name, in the forms that scripts use."""

from __future__ import annotations

import io
import logging
import sys
from typing import Any

import pytest

from advisor.agent.loop.clock import StepClock
from advisor.agent.observe.printed_metric import PrintedMetric


def reader(monkeypatch: pytest.MonkeyPatch) -> PrintedMetric:
    """Install a reader on streams of this test's own; pytest sets others before each phase of a test."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), write_through=True))
    found = PrintedMetric(StepClock(), "val_loss")
    found.install()
    return found


def values(metric: PrintedMetric) -> list[float]:
    return [one.loss for one in metric.done()]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("val_loss: 0.42", 0.42),
        ("epoch 3 val_loss=1.5e-3 lr=0.1", 0.0015),
        ("{'eval': 1, 'val_loss': 0.25, 'epoch': 2}", 0.25),
        ("| val_loss | 2.5 |", 2.5),
        ("Val_Loss 3", 3.0),
        ("val_loss (mean): -0.5", -0.5),
        ("val_loss=tensor(0.75, device='cuda:0')", 0.75),
        ("val_loss: 1.0 ... val_loss: 0.9", 0.9),
        ("best_val_loss: 0.1", None),
        ("val_loss.x: 0.1", None),
        ("val_loss_ema: 0.1", None),
        ("val_loss: nan", None),
        ("val_loss: n/a", None),
        ("val_loss: 12abc", None),
    ],
)
def test_forms_of_a_line(monkeypatch: pytest.MonkeyPatch, text: str, value: float | None) -> None:
    metric = reader(monkeypatch)
    print(text)
    assert values(metric) == ([] if value is None else [value])


def test_a_line_in_pieces_a_log_record_and_a_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = reader(monkeypatch)
    clock: Any = metric._clock
    print("val_loss", 0.5, flush=True)
    clock.updates = 10
    handler = logging.StreamHandler()
    logging.getLogger("test_printed_metric").addHandler(handler)
    logging.getLogger("test_printed_metric").warning("done: val_loss=%.1f", 0.4)
    clock.updates = 20
    sys.stderr.write("\r 50% val_loss=0.35")
    sys.stderr.write("\r100% val_loss=0.3\n")
    assert [(one.updates, one.loss) for one in metric.done()] == [(0, 0.5), (10, 0.4), (20, 0.3)]


def test_the_streams_stay_the_scripts_and_say_what_they_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    reader(monkeypatch)
    stream = sys.stdout
    assert sys.stdout.write("val_loss: 1\n") == 12
    assert isinstance(stream, io.TextIOWrapper)
    stream.flush()
    raw = stream.buffer
    assert isinstance(raw, io.BytesIO)
    assert raw.getvalue() == b"val_loss: 1\n"


def test_a_line_that_never_ends_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = reader(monkeypatch)
    for _ in range(100):
        sys.stdout.write("x" * 1000)
    assert max(map(len, metric._lines.values())) <= 4000
    print(" val_loss: 2")
    assert values(metric) == [2.0]
