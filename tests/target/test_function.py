"""Functions that train, in the place of a script."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from report import sample, sample_tuning

import advisor
from advisor.errors import UsageError
from advisor.report.profile.headline import verdict_of
from advisor.report.search.verdict import verdict_of_tune
from advisor.target.function import command_for

LIMIT_S = 100
LEARNS = """
import torch
from torch.utils.data import DataLoader, Dataset


class Numbers(Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        return torch.full((8,), float(index)) / 64, index % 4


def train(epochs=1000):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(epochs):
        for inputs, targets in DataLoader(Numbers(), batch_size=4):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
"""


@pytest.fixture
def learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module of the user's that trains."""
    (tmp_path / "learns_numbers.py").write_text(LEARNS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("learns_numbers")
    del sys.modules["learns_numbers"]


def module_of(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    (folder / "of_a_user.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "of_a_user", raising=False)
    return importlib.import_module("of_a_user")


def python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


# --- of a module ------------------------------------------------------------------------------------------------------


def test_a_function_of_a_module_is_called_in_a_fresh_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "import sys\nprint(__name__)\ndef train(): print('trains', sys.argv[1:])"
    command = command_for(module_of(tmp_path, text, monkeypatch).train, root=tmp_path / "runs")
    assert python(Path("/"), command.target).stdout.split("\n")[:2] == ["of_a_user", "trains []"]
    assert command.display == command.title == "train() of of_a_user"


def test_its_script_is_the_same_each_time_so_that_a_search_can_go_on(learns: ModuleType, tmp_path: Path) -> None:
    first, second = (command_for(learns.train, root=tmp_path / "runs") for _ in range(2))
    assert first == second


def test_another_interpreter_takes_the_folders_of_the_user_only(learns: ModuleType, tmp_path: Path) -> None:
    command = command_for(learns.train, interpreter=sys.executable, root=tmp_path / "runs")
    (tmp_path / "learns_numbers.py").write_text("import sys\ndef train(): print(sys.path)")
    listed = Path(command.target).read_text().splitlines()[0]
    assert "site-packages" not in listed
    found = python(tmp_path, command.target).stdout
    assert found.startswith(f"['{tmp_path}'")
    assert "site-packages" in found


def test_a_static_method_is_found_by_its_whole_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "class Job:\n    @staticmethod\n    def train(): print('trains')"
    command = command_for(module_of(tmp_path, text, monkeypatch).Job.train, root=tmp_path / "runs")
    assert python(tmp_path, command.target).stdout == "trains\n"


# --- of a script ------------------------------------------------------------------------------------------------------

SCRIPT = """
import sys
from pathlib import Path
import advisor
from advisor.target.function import command_for

class Batch:
    pass

def train():
    import pickle
    print(__name__, pickle.loads(pickle.dumps(Batch())).__class__.__module__, sys.argv[1:])

if __name__ == "__main__":
    command = command_for(train, root=Path("runs"))
    print(command.target, *command.args)
"""
UNGUARDED = """
import advisor

def train():
    pass

advisor.profile(train, runs="runs")
"""


def test_a_function_of_the_script_that_asks_is_called_below_its_guard(tmp_path: Path) -> None:
    (tmp_path / "learn-it.py").write_text(SCRIPT)
    words = python(tmp_path, "learn-it.py", "--fast").stdout.split()
    assert python(tmp_path, *words).stdout == "learn-it learn-it ['--fast']\n"


@pytest.mark.slow
def test_it_is_found_in_a_package_begun_with_m(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "learn.py").write_text(SCRIPT)
    target = python(tmp_path, "-m", "package.learn").stdout.strip()
    assert python(tmp_path, target).stdout == "package.learn package.learn []\n"


@pytest.mark.slow
@pytest.mark.parametrize("words", [["learn.py"], ["-m", "learn"]], ids=["script", "module"])
def test_without_a_guard_it_is_refused_before_anything_is_started(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "learn.py").write_text(UNGUARDED)
    done = python(tmp_path, *words)
    assert "learn.py, line 7: every process started for train() would repeat this call" in done.stderr
    assert 'put it below if __name__ == "__main__":' in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("call", ["train", "'other.py'"])
def test_a_script_that_advisor_runs_begins_no_search_of_its_own(tmp_path: Path, call: str) -> None:
    text = f"import advisor\ndef train(): pass\nadvisor.profile({call})"
    (tmp_path / "learn.py").write_text(text)
    (tmp_path / "other.py").write_text("")
    done = python(tmp_path, "-m", "advisor", "profile", "--runs", "runs", "learn.py")
    assert done.returncode == 3
    assert "UsageError: advisor is called by a script that advisor itself runs" in " ".join(done.stdout.split())


# --- of a notebook ----------------------------------------------------------------------------------------------------

NOTEBOOK = """
import json, sys

class Shell:
    user_ns = globals()

def get_ipython():
    return Shell

In = [""]
for number, cell in enumerate(json.loads(sys.argv.pop()), 1):
    In.append(cell)
    exec(compile(cell, f"<ipython-input-{number}>", "exec"), globals())
"""


def notebook(folder: Path, *cells: str) -> subprocess.CompletedProcess[str]:
    """A process that keeps its cells as IPython does."""
    return python(folder, "-c", NOTEBOOK, json.dumps(cells))


ASK = "from advisor.target.function import command_for\nfrom pathlib import Path\n"


def test_a_function_of_a_cell_is_called_with_what_it_needs_of_the_others(tmp_path: Path) -> None:
    asking = f"{ASK}print(command_for(train, root=Path('runs')).target)\nrate = 3"
    function = "from __future__ import annotations\ndef train() -> NotMade:\n    display(__name__, rate)"
    target = notebook(tmp_path, "rate = 1", function, "rate = 2", asking).stdout.strip()
    assert python(tmp_path, target).stdout == "__main__ 2\n"


IPYTHON = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(colors="NoColor")
for cell in json.loads(sys.argv.pop()):
    shell.run_cell(cell, store_history=True).raise_error()
"""


def test_ipythons_own_cells_are_read_as_it_keeps_them(tmp_path: Path) -> None:
    pytest.importorskip("IPython", reason="IPython is not installed")
    asking = f"{ASK}print(command_for(train, root=Path('runs')).target); rate = 3"
    cells = ("%%capture\nrate = 2", "%env SIZE=1\ndef train():\n    display(rate)", asking)
    told = python(tmp_path, "-c", IPYTHON, json.dumps(cells)).stdout.splitlines()
    assert python(tmp_path, told[-1]).stdout == "2\n"


def test_a_cell_that_was_changed_and_not_run_does_not_count(tmp_path: Path) -> None:
    cells = (
        "def train(): pass",
        "first = train",
        "def train(): print(2)",
        f"{ASK}command_for(first, root=Path('runs'))",
    )
    assert "train of the notebook is no longer the object that was given" in notebook(tmp_path, *cells).stderr


@pytest.mark.slow
def test_a_notebooks_function_is_profiled(tmp_path: Path) -> None:
    asking = "import advisor\nprint(repr(advisor.profile(train, budget=2, runs='runs')))"
    done = notebook(tmp_path, LEARNS, asking)
    assert done.stdout.startswith("<Profile of train() of the notebook: ")
    assert "samples/s" in done.stdout
    assert "FAILED" not in done.stdout


def test_a_prompt_without_a_notebook_is_refused(tmp_path: Path) -> None:
    done = python(tmp_path, "-c", f"{ASK}def train(): pass\ncommand_for(train, root=Path('runs'))")
    assert "train() is not in a file that can be run again" in done.stderr


# --- what is refused --------------------------------------------------------------------------------------------------


def closure() -> Callable[[], None]:
    def train() -> None:
        pass

    return train


async def later() -> None:
    pass


def with_rate(rate: float) -> None:
    pass


class Trainer:
    def fit(self) -> None:
        pass


REFUSED = {
    "a lambda": lambda: None,
    "inside another function": closure(),
    r"needs arguments \(rate\)": with_rate,
    "a functools.partial": functools.partial(with_rate, 0.1),
    "bound to an object": Trainer().fit,
    "a class": Trainer,
    r"later\(\) trains nothing when it is called": later,
}


@pytest.mark.parametrize("said", REFUSED)
@pytest.mark.parametrize("call", [advisor.profile, advisor.tune, functools.partial(advisor.verify, "advisor.yaml")])
def test_what_no_fresh_process_could_call_is_refused(
    call: Callable[..., Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "advisor.yaml").write_text("version: 1\nsettings: {threads: 1}\n")
    with pytest.raises(UsageError, match=said):
        call(REFUSED[said], runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("given", [{"args": ["--epochs", "3"]}, {"module": True}])
def test_arguments_belong_to_scripts(learns: ModuleType, tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="cannot be combined with a function"):
        advisor.profile(learns.train, runs=tmp_path / "runs", **given)


def test_a_function_that_was_replaced_is_refused(learns: ModuleType, tmp_path: Path) -> None:
    before, learns.train = learns.train, len
    with pytest.raises(UsageError, match="is no longer the object"):
        command_for(before, root=tmp_path / "runs")


# --- to the end -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("thin")
def test_a_function_is_tuned_and_its_settings_say_how_they_are_used(learns: ModuleType, tmp_path: Path) -> None:
    found = advisor.tune(learns.train, budget=20, knobs=["precision"], verify=False, runs=tmp_path / "runs")
    assert found.failure is None
    assert found.trials[0].outcome.kind == "measured"
    assert dict(found.trials[1].config.settings).keys() == {"precision"}
    assert "# Settings for train() of learns_numbers" in found.config.text
    assert "advisor run" not in found.config.text
    assert 'advisor.apply("advisor.yaml")' in found.config.text
    (script,) = found.config.export("torchrun")
    assert script.content.splitlines()[-1].endswith(' train.py "$@"')
    assert any("does not name its script" in told.why for told in script.to_fill)


@pytest.mark.parametrize(
    ("shape", "steps"),
    [
        ("faster", ['result.config.save("advisor.yaml")', 'advisor.apply("advisor.yaml")']),
        (
            "unproven",
            [
                'result.config.save("advisor.yaml")',
                'advisor.verify("advisor.yaml", train)',
                'advisor.apply("advisor.yaml")',
            ],
        ),
        ("no_gain", ["train()"]),
        ("crashed", ["advisor.tune(train)"]),
    ],
)
def test_what_comes_next_is_said_in_python(shape: str, steps: list[str]) -> None:
    found = dataclasses.replace(sample_tuning.ALL[shape](), files=())
    command = dataclasses.replace(found.recommendation.command, function="train() of the notebook")
    recommendation = dataclasses.replace(found.recommendation, command=command)
    shown = verdict_of_tune(dataclasses.replace(found, recommendation=recommendation))
    assert [step.command for step in shown.next] == steps


def test_after_a_profile_too() -> None:
    found = sample.input_bound()
    command = dataclasses.replace(found.command, function="train() of the notebook")
    assert verdict_of(dataclasses.replace(found, command=command)).next_command == "advisor.tune(train)"


@pytest.mark.slow
def test_a_function_trains_with_its_settings_although_torch_and_optimizers_are_there(tmp_path: Path) -> None:
    (tmp_path / "advisor.yaml").write_text("version: 1\nsettings: {precision: bf16, num_workers: 1}\n")
    text = LEARNS.replace("index % 4", "torch.utils.data.get_worker_info() is not None")
    text += "            print(model(inputs).dtype, targets.tolist())\n"
    text = text.replace("targets)", "targets.long())")
    early = "import torch\nkept = torch.optim.SGD(torch.nn.Linear(2, 2).parameters())\nkept.step()"
    done = notebook(tmp_path, early, text, "import advisor\nadvisor.apply('advisor.yaml')\ntrain(2)")
    assert (done.returncode, done.stderr) == (0, "")
    assert "torch.bfloat16 [True, True, True, True]" in done.stdout.splitlines()
