"""The tasks of the benchmarks on learning: each learns in a few seconds at its good rate, and not at a poor one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import forked
import pytest
from time_to_loss import POOR, TASKS, Task, refusal

import advisor

LIMIT_S = 120
SHORT = {
    "digits_transformer": (("--epochs", "10"), 0.35),
    "tabular": (("--epochs", "10"), 0.35),
    "char_gpt": (("--updates", "300"), 0.7),
    "matrix_factorisation": (("--epochs", "8"), 0.5),
}
"""Script → arguments of a short training, and the part of its first loss that is left at the end."""


def losses(task: Task, folder: Path, rate: float, *args: str) -> list[float]:
    """What the script prints behind its colons."""
    script = shutil.copy(task.script, folder)
    ended = forked.run(folder, Path(script).name, "--lr", f"{rate:g}", *args, limit_s=LIMIT_S)
    assert ended.code == 0, ended.err
    return [float(found) for found in re.findall(r": (\S+)$", ended.out, re.MULTILINE)]


@pytest.mark.parametrize(
    "task", [task for task in TASKS if task.script.stem in SHORT], ids=lambda task: task.script.stem
)
def test_it_learns_at_its_good_rate_and_hardly_at_a_poor_one(task: Task, tmp_path: Path) -> None:
    args, left = SHORT[task.script.stem]
    good, poor = losses(task, tmp_path, task.good, *args), losses(task, tmp_path, task.good / POOR, *args)
    assert good[-1] < left * good[0]
    assert good[-1] < 0.85 * poor[-1]


@pytest.mark.slow
def test_the_gan_is_refused_with_the_reason(tmp_path: Path) -> None:
    (gan,) = [task for task in TASKS if task.refused]
    found = advisor.tune_learning(str(gan.script), horizon="60", runs=tmp_path / "runs")
    assert refusal(found).startswith("refused: 2 optimizers step alternately")
