"""Lines of a script's text that ask for float64."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from advisor.agent.observe import float64_lines as module
from advisor.agent.observe.float64_lines import float64_lines

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module of the user's and import it by name alone."""
    # Where this clone lies in the folder of temporary files, its own tests are taken for the user's, too.
    monkeypatch.setattr(module, "MOST_LINES", 10_000)
    float64_lines.cache_clear()

    def written(text: str) -> Path:
        path = tmp_path / "net.py"
        path.write_text(text)
        sys.modules["users_net"] = types.ModuleType("users_net")
        sys.modules["users_net"].__file__ = str(path)
        return path

    yield written
    sys.modules.pop("users_net", None)
    float64_lines.cache_clear()


@pytest.mark.parametrize(
    "line",
    [
        "model = Net().double()",
        "torch.set_default_dtype(torch.float64)",
        "model.to(device, torch.double)",
        "self.net = nn.Linear(4, 4, dtype=torch.float64)",
        "x = x.type(torch.DoubleTensor)",
        "torch.set_default_tensor_type(torch.DoubleTensor)",
        "trainer = L.Trainer(precision='64-true', max_epochs=3)",
    ],
)
def test_the_line_is_found(write: Write, line: str) -> None:
    path = write(f"import torch\n{line}\n")
    assert f"{path}:2" in float64_lines()


@pytest.mark.parametrize(
    "line",
    ["# model = Net().double()", "x = double(x)", "torch.set_default_dtype(torch.float32)", "model.to(torch.float16)"],
)
def test_other_lines_are_not(write: Write, line: str) -> None:
    path = write(f"{line}\n")
    assert not [found for found in float64_lines() if found.startswith(str(path))]


def test_the_default_dtype_comes_before_single_tensors(write: Write) -> None:
    path = write("a = b.double()\ntorch.set_default_dtype(torch.float64)\n")
    own = [found for found in float64_lines() if found.startswith(str(path))]
    assert own[0] == f"{path}:2"
