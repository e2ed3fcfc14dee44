"""`advisor run`: the real training with settings, through real processes."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import forked
import pytest
from announced import without_announcement

pytestmark = pytest.mark.slow

LIMIT_S = 120
"""Nothing here takes a tenth of it; the machine may be busy."""
ANNOUNCED = "advisor: advisor.yaml: "
TRAIN = """
import sys
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

class Numbers(Dataset):
    def __len__(self):
        return 32
    def __getitem__(self, index):
        info = get_worker_info()
        return torch.full((8,), float(index)) / 32, index % 4, -1 if info is None else info.id

def main():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loader = DataLoader(Numbers(), batch_size=4, shuffle=True)
    for epoch in range(2):
        for batch, target, worker in loader:
            with CONTEXT:
                scores = model(batch)
                loss = torch.nn.functional.cross_entropy(scores, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            print(epoch, len(target), scores.dtype, loss.item(), sorted(set(worker.tolist())))
    print(sum(parameter.double().sum().item() for parameter in model.parameters()))
    torch.save(model, "model.pt")

if __name__ == "__main__":
    main()
"""
NOTHING = "torch.enable_grad()"
BY_HAND = "torch.autocast('cpu', dtype=torch.bfloat16)"


def train(context: str = NOTHING) -> str:
    return TRAIN.replace("CONTEXT", context)


def laid_out(folder: Path, text: str, settings: str) -> None:
    (folder / "train.py").write_text(textwrap.dedent(text))
    (folder / "advisor.yaml").write_text(f"version: 1\nsettings: {{{settings}}}\n")


def run(
    folder: Path, text: str, settings: str, *args: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    laid_out(folder, text, settings)
    words = ("run", "--config", "advisor.yaml", "train.py", *args)
    done = forked.advisor(folder, *words, limit_s=LIMIT_S, environment=env)
    done.stderr = without_announcement(done.stderr)
    return done


def started(folder: Path, text: str, settings: str, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """As a shell starts it: where the process itself is what is looked at."""
    laid_out(folder, text, settings)
    argv = [sys.executable, "-m", "advisor", "run", "--config", "advisor.yaml", "train.py", *args]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False, **options)
    done.stderr = without_announcement(done.stderr)
    return done


def test_one_line_on_stderr_says_what_is_applied(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("B = 1\nprint(B)\n")
    said = {}
    for text in ("settings: {threads: 2}\narguments: {--a: 3}\nconstants: {B: 4}", "settings: {}"):
        (tmp_path / "advisor.yaml").write_text(f"version: 1\n{text}\n")
        done = forked.advisor(tmp_path, "run", "--config", "advisor.yaml", "train.py", limit_s=LIMIT_S)
        said[done.stdout] = done.stderr.splitlines()[0]
    assert said == {
        "4\n": f"{ANNOUNCED}settings threads=2; arguments --a=3; constants B=4",
        "1\n": f"{ANNOUNCED}no settings, the script runs unmodified",
    }


def plain(folder: Path, text: str) -> str:
    (folder / "train.py").write_text(text)
    done = forked.run(folder, "train.py", limit_s=LIMIT_S)
    assert done.code == 0, done.err
    return done.out


def without_advisor(folder: Path, code: str) -> str:
    """What code prints in a process in which there is no advisor."""
    begin = "import sys, torch\nsys.modules['advisor'] = sys.modules['_advisor'] = None\n"
    (folder / "reads.py").write_text(begin + code)
    done = forked.run(folder, "reads.py", limit_s=LIMIT_S)
    assert done.code == 0, done.err
    return done.out


@functools.cache
def printed(text: str) -> str:
    """What a script prints that is run alone: the same every time."""
    with tempfile.TemporaryDirectory() as folder:
        return plain(Path(folder), text)


@functools.cache
def lines_with(settings: str) -> tuple[str, ...]:
    """What the training prints that is run with these settings."""
    with tempfile.TemporaryDirectory() as folder:
        done = run(Path(folder), train(), settings)
    assert (done.returncode, done.stderr) == (0, "")
    return tuple(done.stdout.splitlines())


def test_bf16_is_what_autocast_written_by_hand_is_bit_for_bit_from_the_first_forward_on(tmp_path: Path) -> None:
    assert run(tmp_path, train(), "precision: bf16").stdout == printed(train(BY_HAND))


def test_no_settings_are_the_script_as_written(tmp_path: Path) -> None:
    assert run(tmp_path, train(), "").stdout == printed(train())


def test_workers_fetch_from_the_second_batch_on() -> None:
    workers = [line.rsplit("[", 1)[1] for line in lines_with("num_workers: 2") if "[" in line]
    assert (workers[0], set(workers[1:])) == ("-1]", {"0]", "1]"})


def test_workers_leave_the_training_as_it_is_where_the_dataset_draws_nothing() -> None:
    with_workers = lines_with("num_workers: 2")
    untouched = printed(train()).splitlines()
    assert [line.rsplit("[")[0] for line in with_workers] == [line.rsplit("[")[0] for line in untouched]


def test_a_larger_batch_is_read_from_the_second_update_on(tmp_path: Path) -> None:
    done = run(tmp_path, train(), "global_batch: 8")
    sizes = [line.split()[1] for line in done.stdout.splitlines() if "[" in line]
    assert sizes == ["4", "8", "8", "8", "4", "8", "8", "8", "8"]


def test_what_is_saved_loads_without_advisor(tmp_path: Path) -> None:
    run(tmp_path, train(), "precision: bf16, num_workers: 1")
    code = "print(type(torch.load('model.pt', weights_only=False)).__name__)\n"
    assert without_advisor(tmp_path, code) == "Sequential\n"


def test_a_setting_that_is_refused_is_said_and_the_training_goes_on(tmp_path: Path) -> None:
    text = (
        train()
        .replace("class Numbers(Dataset):", "class Numbers(Dataset):\n    file = None")
        .replace(
            "    loader = DataLoader(Numbers()",
            "    data = Numbers(); data.file = open(__file__)\n    loader = DataLoader(data",
        )
    )
    done = run(tmp_path, text, "num_workers: 2, precision: bf16")
    assert done.returncode == 0
    assert "advisor: num_workers keeps the script's value" in done.stderr
    assert "bfloat16" in done.stdout


def test_a_forward_that_cannot_take_the_precision_runs_without_it(tmp_path: Path) -> None:
    text = (
        train()
        .replace("torch.nn.ReLU()", "Picky()")
        .replace(
            "def main():",
            "class Picky(torch.nn.Module):\n"
            "    def forward(self, x):\n"
            "        if x.dtype != torch.float32: raise RuntimeError('float32 only')\n"
            "        return torch.relu(x)\n\n"
            "def main():",
        )
    )
    done = run(tmp_path, text, "precision: bf16")
    assert "advisor: precision keeps the script's value: RuntimeError: float32 only" in done.stderr
    assert done.stdout == plain(tmp_path, text)


def test_settings_that_met_no_training_are_named(tmp_path: Path) -> None:
    assert "not applied, as no training was seen" in run(tmp_path, "import torch", "num_workers: 2").stderr


def test_a_script_without_torch_is_none_of_its_business(tmp_path: Path) -> None:
    assert run(tmp_path, "print('hello')", "").stdout == "hello\n"


@pytest.mark.parametrize("ending", ["sys.exit(7)", "raise ValueError('mine')", "os._exit(3)", "sys.exit('words')"])
def test_the_exit_code_is_the_scripts_own(tmp_path: Path, ending: str) -> None:
    text = f"import os, sys\n{ending}\n"
    (tmp_path / "train.py").write_text(text)
    alone = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, capture_output=True, timeout=LIMIT_S, check=False
    )
    assert started(tmp_path, text, "precision: bf16").returncode == alone.returncode


def test_a_signal_ends_it_as_it_ends_the_script_alone(tmp_path: Path) -> None:
    done = started(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n", "precision: bf16")
    assert done.returncode == -signal.SIGTERM


def test_standard_input_is_the_scripts(tmp_path: Path) -> None:
    assert started(tmp_path, "print(input() + '!')", "precision: bf16", input="typed\n").stdout == "typed!\n"


def test_the_arguments_are_the_scripts(tmp_path: Path) -> None:
    done = run(tmp_path, "import sys; print(sys.argv[1:])", "", "--config", "own.yaml", "--", "-f")
    assert done.stdout == "['--config', 'own.yaml', '--', '-f']\n"


def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    started(tmp_path, "print('done')", "precision: bf16", env={**os.environ, "TMPDIR": str(temporary)})
    assert list(temporary.iterdir()) == []


def test_an_unknown_knob_is_told_before_anything_runs(tmp_path: Path) -> None:
    done = run(tmp_path, "print('ran')", "warp_drive: 9")
    assert (done.returncode, done.stdout) == (2, "")
    assert "warp_drive" in done.stderr


# --- what stays and what goes -----------------------------------------------------------------------------------------

HOOKS = """
    import torch.optim.optimizer as of_torch
    from torch.utils.data import dataloader
    places = {
        "backward": torch.autograd.backward, "grad": torch.autograd.grad,
        "zero_grad": torch.optim.Optimizer.zero_grad, "optimizer": torch.optim.Optimizer.__init__,
        "loader": dataloader.DataLoader.__init__, "iterator": dataloader._BaseDataLoaderIter.__next__,
    }
    left = [name for name, function in places.items() if "advisor" in function.__code__.co_filename]
    left += ["step"] * len(of_torch._global_optimizer_post_hooks) + ["model"] * ("_compiled_call_impl" in vars(model))
    print("left:", left)
    torch.save(model"""


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ("threads: 1", []),
        ("fused_optimizer: foreach", ["optimizer"]),
        ("num_workers: 1", ["loader", "iterator", "model"]),
        (
            "precision: bf16",
            ["backward", "grad", "zero_grad", "optimizer", "loader", "iterator", "step", "model"],
        ),
    ],
)
def test_after_the_first_updates_only_those_hooks_stay_that_a_setting_needs(
    tmp_path: Path, settings: str, left: list[str]
) -> None:
    done = run(tmp_path, train().replace("\n    torch.save(model", HOOKS), settings)
    assert [line for line in done.stdout.splitlines() if line.startswith("left:")] == [f"left: {left}"], done.stderr


def test_without_settings_nothing_of_advisor_is_in_the_process(tmp_path: Path) -> None:
    text = "import sys\nprint({'advisor', '_advisor'} & set(sys.modules), sys.argv, sys.orig_argv[1:])\n"
    assert (
        started(tmp_path, text, "", "--lr", "1").stdout == "set() ['train.py', '--lr', '1'] ['train.py', '--lr', '1']\n"
    )


def test_a_second_model_in_the_same_process_trains_with_the_settings_too_and_is_hooked_once(tmp_path: Path) -> None:
    text = train().replace("\n    torch.save(model", HOOKS).replace("    main()\n", "    main()\n    main()\n")
    by_hand = train(BY_HAND).replace("    main()\n", "    main()\n    main()\n")
    lines = run(tmp_path, text, "precision: bf16").stdout.splitlines()
    first, second = (line for line in lines if line.startswith("left:"))
    assert first == second
    assert [line for line in lines if not line.startswith("left:")] == plain(tmp_path, by_hand).splitlines()


def test_a_second_optimizer_takes_its_form_too(tmp_path: Path) -> None:
    text = (
        train()
        .replace("    main()\n", "    main()\n    main()\n")
        .replace("    torch.save", "    print('fused', optimizer.param_groups[0]['fused'])\n    torch.save")
    )
    done = run(tmp_path, text, "fused_optimizer: fused")
    assert [line for line in done.stdout.splitlines() if line.startswith("fused")] == ["fused True"] * 2, done.stderr


# --- what is saved ----------------------------------------------------------------------------------------------------

SAVED = """
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "whole": model, "steps": optimizer},
               "all.pt")
    torch.save(model"""
CONVOLUTIONS = "torch.nn.Sequential(torch.nn.Unflatten(1, (2, 2, 2)), torch.nn.Conv2d(2, 4, 2), torch.nn.Flatten())"
TOLD = """
def told(value):
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape), str(value.device)
    if isinstance(value, dict):
        return {key: told(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [told(item) for item in value]
    if isinstance(value, (torch.nn.Module, torch.optim.Optimizer)):
        return type(value).__name__, told(value.state_dict()), sorted(vars(value))
    return value
print(told(torch.load("all.pt", weights_only=False)))
"""


def told_of(folder: Path) -> str:
    """What was saved there, read where there is no advisor."""
    return without_advisor(folder, TOLD)


@pytest.fixture(scope="module")
def convolving() -> str:
    model = "torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))"
    return train().replace(model, CONVOLUTIONS).replace("\n    torch.save(model", SAVED)


@pytest.fixture(scope="module")
def saved_alone(convolving: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("alone")
    plain(folder, convolving)
    return told_of(folder)


@pytest.mark.parametrize(
    "settings",
    [
        "precision: bf16, num_workers: 1",
        "memory_format: channels_last",
        "fused_optimizer: fused",
        "micro_batch: 2",
        "threads: 1, prefetch_factor: 4, num_workers: 2, persistent_workers: true",
    ],
)
def test_what_is_saved_is_what_the_script_alone_would_save(
    tmp_path: Path, settings: str, convolving: str, saved_alone: str
) -> None:
    run(tmp_path, convolving, settings)
    assert told_of(tmp_path) == saved_alone


# --- the script's own options -----------------------------------------------------------------------------------------


def test_options_of_the_script_go_on_its_command_line(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import sys; print(sys.argv[1:])")
    (tmp_path / "advisor.yaml").write_text("version: 1\narguments: {--bs: 64, --lr: 0.2}\n")
    done = forked.advisor(
        tmp_path, "run", "--config", "advisor.yaml", "train.py", "--bs", "32", "data", limit_s=LIMIT_S
    )
    assert done.stdout == "['--bs', '64', 'data', '--lr=0.2']\n"


# --- from inside a script ---------------------------------------------------------------------------------------------


def inside(settings: str, before: str) -> str:
    """The script sets it itself, at the line given."""
    line = f"    from advisor.agent.real_run import launch; launch.install({settings})\n"
    return train().replace(before, line + before)


@pytest.mark.parametrize("before", ["    torch.manual_seed(0)", "    for epoch in range(2)"], ids=["first", "late"])
def test_settings_can_be_installed_from_inside_whatever_is_there_already(tmp_path: Path, before: str) -> None:
    assert plain(tmp_path, inside("{'precision': 'bf16'}", before)) == printed(train(BY_HAND))


def test_they_are_installed_once(tmp_path: Path) -> None:
    text = inside("{'precision': 'bf16'}", "    torch.manual_seed(0)") + "    main()\n"
    (tmp_path / "train.py").write_text(text)
    done = forked.run(tmp_path, "train.py", limit_s=LIMIT_S)
    assert "Refused: settings have already been applied in this process" in done.err
