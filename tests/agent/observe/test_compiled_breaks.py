"""Places at which compiled code goes back to Python, by the user's own lines."""

from __future__ import annotations

import os
from pathlib import Path

import forked

LIMIT_S = 120
SCRIPT = """
import torch
from advisor.agent.base import modes
from advisor.agent.observe.compiled_breaks import breaks_seen

def scaled(x):
    top = x.abs().max().item()
    return x / top

@torch.compile(backend="eager")
def step(x):
    return scaled(x).sum() + scaled(x + 1).sum()

assert breaks_seen() == []
for _ in range(3):
    step(torch.randn(4))
found = breaks_seen()
print([(each["line"], each["function"], ".item()" in each["reason"]) for each in found])
modes.compiled_by_us()
print(breaks_seen())
"""


def test_a_value_that_is_read_is_named_once_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "case.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = forked.run(tmp_path, "case.py", limit_s=LIMIT_S, environment=environment)
    assert done.out.splitlines() == ["[(7, 'scaled', True)]", "[]"], done.err
