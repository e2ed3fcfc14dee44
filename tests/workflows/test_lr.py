"""`advisor lr`: range tests of whole scripts, through the command and from Python."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import forked
import pytest

pytestmark = pytest.mark.slow

LIMIT_S = 180
SCRIPT = """
import sys
import torch
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
torch.set_num_threads(1)
inputs = torch.randn(512, 16)
targets = (inputs[:, :4].sum(1) > 0).long() + 2 * (inputs[:, 4:8].sum(1) > 0).long()
model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=float(sys.argv[1]), momentum=0.9)
updates = 0
for epoch in range(int(sys.argv[2]) if len(sys.argv) > 2 else 1000):
    for batch, target in DataLoader(TensorDataset(inputs, targets), batch_size=32, shuffle=True):
        loss = torch.nn.functional.cross_entropy(model(batch), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        updates += 1
        if updates == 1:
            print("first rate", optimizer.param_groups[0]["lr"], flush=True)
print("last loss", loss.item())
"""


def advisor(folder: Path, *words: str, text: str = SCRIPT) -> subprocess.CompletedProcess[str]:
    (folder / "train.py").write_text(textwrap.dedent(text))
    return forked.advisor(folder, *words, limit_s=LIMIT_S, forks=True)


def range_test_of(folder: Path, *args: str, text: str = SCRIPT) -> dict[str, Any]:
    done = advisor(folder, "lr", "--json", "--runs", "runs", "train.py", *args, text=text)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Range test of a script with a rate a hundred times too small."""
    return range_test_of(tmp_path_factory.mktemp("small"), "0.0005")


def test_a_rate_that_is_far_too_small_is_found(small: dict[str, Any]) -> None:
    assert small["script_rate"] == 0.0005
    assert 0.01 < small["suggestion"]["rate"] < 0.5
    assert small["suggestion"]["low"] < small["suggestion"]["rate"] < small["suggestion"]["high"]
    assert small["bracket"]["falls_from"] < small["bracket"]["valley"] < small["bracket"]["diverges_from"]
    assert small["abstained"] == ""


def test_it_takes_at_most_two_hundred_updates(small: dict[str, Any]) -> None:
    assert small["updates"] <= 200
    assert sum(len(sweep["losses"]) for sweep in small["sweeps"]) + len(small["reference"]) < small["updates"]


def test_the_result_is_kept_with_the_run(small: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = Path(small["run_folder"])
    again = advisor(folder, "report", str(folder), "--json")
    assert json.loads(again.stdout) == small
    assert "range test suggests" in " ".join(advisor(folder, "report", str(folder)).stdout.split())


def test_its_page_has_the_curve_and_a_settings_file_is_refused_with_the_reason(small: dict[str, Any]) -> None:
    folder = Path(small["run_folder"])
    page = advisor(folder, "report", str(folder), "--html")
    assert page.returncode == 0, page.stderr
    assert (folder / "report.html").read_text().count("<svg") == 1
    settings = advisor(folder, "export", str(folder))
    assert settings.returncode == 2
    assert f"it suggests advisor run --set learning_rate={small['suggestion']['rate']:.3g}" in settings.stderr


def test_a_damaged_file_of_it_is_refused(small: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "range_test.json").write_bytes((Path(small["run_folder"]) / "range_test.json").read_bytes()[:-40])
    done = advisor(tmp_path, "report", str(tmp_path))
    assert done.returncode != 0
    assert "range_test.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_report_says_the_rate_and_the_command_to_run_with_it(tmp_path: Path) -> None:
    done = advisor(tmp_path, "lr", "--runs", "runs", "-o", "page.html", "train.py", "0.0005")
    assert "the range test suggests" in (tmp_path / "page.html").read_text()
    words = " ".join(done.stdout.split())
    assert words.startswith("The script's learning rate is 0.0005; the range test suggests ")
    (command,) = [line for line in done.stdout.splitlines() if line.startswith("next  advisor ")]
    line = command.removeprefix("next  advisor ").split()
    assert line[:2] == ["run", "--set"]
    run = advisor(tmp_path, *line, "2")
    assert run.returncode == 0
    assert f"first rate {line[2].partition('=')[2]}\n" in run.stdout
    assert run.stderr == f"advisor: settings {line[2]}\n"


def test_a_rate_that_fits_is_called_so(tmp_path: Path) -> None:
    found = range_test_of(tmp_path, "0.0005")
    again = advisor(tmp_path, "lr", "--runs", "runs", "train.py", str(found["suggestion"]["rate"]))
    assert " and fits: " in " ".join(again.stdout.split())
    assert "next  " not in again.stdout


def test_a_script_that_ends_too_soon_is_told(tmp_path: Path) -> None:
    text = SCRIPT.replace("updates == 1:", "updates == 3:\n            sys.exit()\n        if updates == 1:")
    done = advisor(tmp_path, "lr", "--json", "--runs", "runs", "train.py", "0.01", text=text)
    found = json.loads(done.stdout)
    assert found["suggestion"] is None
    assert found["abstained"]


def test_a_script_that_checks_its_loss_ends_the_test_and_not_its_result(tmp_path: Path) -> None:
    check = "        if loss > 2:\n            raise ValueError('it explodes')\n"
    text = SCRIPT.replace("        optimizer.zero_grad()\n", f"{check}        optimizer.zero_grad()\n")
    found = range_test_of(tmp_path, "0.0005", text=text)
    assert 0.01 < found["suggestion"]["rate"] < 0.5
    assert len(found["sweeps"]) == 1
    assert "it explodes" in found["notes"][-1]
    assert found["failure"] is None


def test_a_loss_of_several_numbers_is_refused_with_the_reason(tmp_path: Path) -> None:
    text = SCRIPT.replace("(model(batch), target)", "(model(batch), target, reduction='none')").replace(
        "loss.backward()", "loss.backward(torch.ones_like(loss))"
    )
    found = range_test_of(tmp_path, "0.01", "30", text=text.replace("loss.item()", "0"))
    assert found["suggestion"] is None
    assert found["abstained"] == "the loss is not a single number"


def test_from_python(tmp_path: Path) -> None:
    code = "import advisor\nfound = advisor.lr('train.py', ['0.0005'], runs='runs')\nprint(repr(found))\nprint(found)\n"
    (tmp_path / "train.py").write_text(textwrap.dedent(SCRIPT))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S, check=True
    )
    first, second, *_rest = done.stdout.splitlines()
    assert first.startswith("<ShownRangeTest 3 sweeps, script 0.0005, suggestion 0.")
    assert second.startswith("The script's learning rate is 0.0005; ")
