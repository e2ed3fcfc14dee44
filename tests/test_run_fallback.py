"""`advisor run` where a setting fails in the first updates: it goes, the training stays, and that is said and kept."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
from test_run import plain, run, train

pytestmark = pytest.mark.slow

MODEL = "torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))"
LAYERS = """
class OnlyFloat32(torch.nn.Module):
    def forward(self, x):
        if x.dtype != torch.float32: raise RuntimeError('float32 only')
        return x

class Viewed(torch.nn.Module):
    def forward(self, x):
        return x.view(len(x), -1)

class NoNumber(torch.nn.Module):
    def forward(self, x):
        return x * (float('nan') if x.dtype == torch.bfloat16 else 1.0)

class Stuck(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.dtype = x.dtype
        return x.clone()
    @staticmethod
    def backward(ctx, gradient):
        if ctx.dtype == torch.bfloat16: raise RuntimeError('no backward for bfloat16')
        return gradient

class StuckBackward(torch.nn.Module):
    def forward(self, x):
        return Stuck.apply(x)

def main():
"""


def with_model(*layers: str) -> str:
    return train().replace(MODEL, f"torch.nn.Sequential({', '.join(layers)})").replace("\ndef main():\n", LAYERS)


def with_workers_that(do: str, when: str) -> str:
    """A dataset of which worker processes cannot make a sample."""
    return train().replace(
        "        info = get_worker_info()\n",
        f"        info = get_worker_info()\n        if info is not None and {when}: {do}\n",
    )


# --- a forward --------------------------------------------------------------------------------------------------------


def test_what_a_failed_forward_has_left_behind_is_as_if_it_had_not_run(tmp_path: Path) -> None:
    text = with_model(
        "torch.nn.Linear(8, 16)", "torch.nn.BatchNorm1d(16)", "torch.nn.Dropout()", "torch.nn.Linear(16, 4)",
        "OnlyFloat32()",
    )  # fmt: skip
    text = text.replace("    torch.save", "    print(model[1].running_mean.tolist())\n    torch.save")
    done = run(tmp_path, text, "precision: bf16")
    assert done.stdout == plain(tmp_path, text)
    assert "precision keeps the script's value: RuntimeError: float32 only" in done.stderr


def test_what_was_not_at_fault_stays(tmp_path: Path) -> None:
    text = with_model("torch.nn.Linear(8, 16)", "OnlyFloat32()", "torch.nn.Linear(16, 4)")
    done = run(tmp_path, text, "precision: bf16, num_workers: 2")
    workers = [line.rsplit("[", 1)[1] for line in done.stdout.splitlines() if "[" in line]
    assert set(workers[1:]) == {"0]", "1]"}


def test_of_two_suspects_the_innocent_one_stays(tmp_path: Path) -> None:
    text = with_model(
        "torch.nn.Unflatten(1, (2, 2, 2))", "torch.nn.Conv2d(2, 4, (2, 1))", "Viewed()", "torch.nn.Linear(8, 4)"
    )
    done = run(tmp_path, text, "precision: bf16, memory_format: channels_last")
    assert {line.split()[2] for line in done.stdout.splitlines() if "[" in line} == {"torch.bfloat16"}
    assert "memory_format keeps the script's value: RuntimeError: view size is not compatible" in done.stderr
    assert done.stderr.count("advisor:") == 1


def test_an_error_of_the_scripts_own_comes_through_as_it_is(tmp_path: Path) -> None:
    text = with_model("torch.nn.Linear(8, 16)", "torch.nn.Linear(15, 4)")
    done = run(tmp_path, text, "precision: bf16")
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert "RuntimeError: mat1 and mat2 shapes cannot be multiplied" in done.stderr
    assert "advisor/agent" not in done.stderr


def test_a_forward_without_memory_is_not_tried_again(tmp_path: Path) -> None:
    text = with_model("torch.nn.Linear(8, 16)", "OnlyFloat32()", "torch.nn.Linear(16, 4)").replace(
        "raise RuntimeError('float32 only')", "print('asked'); raise torch.OutOfMemoryError('out of memory')"
    )
    done = run(tmp_path, text, "precision: bf16")
    assert (done.returncode, done.stdout.count("asked")) == (1, 1)
    assert "the script ran out of memory 0 updates after precision=bf16 took effect" in done.stderr


# --- a loss -----------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_does_not_reach_the_weights(tmp_path: Path) -> None:
    text = with_model("torch.nn.Linear(8, 16)", "NoNumber()", "torch.nn.Linear(16, 4)")
    done = run(tmp_path, text, "precision: bf16")
    losses = [float(line.split()[3]) for line in done.stdout.splitlines() if "[" in line]
    assert [math.isnan(loss) for loss in losses] == [True] + [False] * 15
    assert done.stderr.count("advisor: precision keeps the script's value: the loss was not a finite number") == 1


def test_a_loss_that_is_no_number_in_the_script_itself_is_left_to_it(tmp_path: Path) -> None:
    text = with_model("torch.nn.Linear(8, 16)", "torch.nn.Linear(16, 4)").replace(
        "            optimizer.zero_grad()", "            loss = loss * float('nan')\n            optimizer.zero_grad()"
    )
    done = run(tmp_path, text, "threads: 1")
    assert (done.stdout, done.stderr) == (plain(tmp_path, text), "")


# --- a batch ----------------------------------------------------------------------------------------------------------


def test_a_batch_that_workers_cannot_make_is_made_without(tmp_path: Path) -> None:
    text = with_workers_that("raise OSError('no file handle left')", "index % 4 == 1")
    done = run(tmp_path, text, "num_workers: 2")
    assert done.stdout == plain(tmp_path, text)
    assert done.stderr.count("num_workers keeps the script's value: a batch could not be fetched") == 1


def test_workers_that_die_are_charged_to_their_number(tmp_path: Path) -> None:
    # torch raises for a dead worker wherever the script is just then: it may be where nothing can be repeated.
    done = run(tmp_path, with_workers_that("import os; os._exit(3)", "True"), "num_workers: 2")
    assert (done.returncode == 0) == ("num_workers keeps the script's value" in done.stderr)
    assert (done.returncode == 1) == ("after num_workers=2 took effect" in done.stderr)


def test_a_sample_that_cannot_be_made_at_all_is_the_scripts_error(tmp_path: Path) -> None:
    text = train().replace(
        "        info = get", "        if index == 30: raise OSError('broken image')\n        info = get"
    )
    done = run(tmp_path, text, "num_workers: 2")
    assert (done.returncode, done.stderr.count("OSError: broken image\n")) == (1, 1)


# --- what cannot be repeated ------------------------------------------------------------------------------------------


def test_a_failing_backward_ends_the_script_with_a_line_that_says_what_was_set(tmp_path: Path) -> None:
    text = with_model("torch.nn.Linear(8, 16)", "StuckBackward()", "torch.nn.Linear(16, 4)")
    done = run(tmp_path, text, "precision: bf16")
    assert done.returncode == 1
    assert "RuntimeError: no backward for bfloat16" in done.stderr
    assert "failed with RuntimeError 0 updates after precision=bf16 took effect" in done.stderr


def test_an_error_long_after_is_not_charged_to_the_settings(tmp_path: Path) -> None:
    text = train().replace("            print(epoch", "            assert epoch == 0, 'mine'\n            print(epoch")
    done = run(tmp_path, text, "precision: bf16")
    assert "AssertionError: mine" in done.stderr
    assert "advisor:" not in done.stderr


# --- recorded ---------------------------------------------------------------------------------------------------------


def test_what_is_given_up_is_recorded_and_the_place_is_told(tmp_path: Path) -> None:
    state = tmp_path / "state"
    text = with_model("torch.nn.Linear(8, 16)", "OnlyFloat32()", "torch.nn.Linear(16, 4)")
    done = run(tmp_path, text, "precision: bf16", env={**os.environ, "XDG_STATE_HOME": str(state)})
    (log,) = [path for path in state.rglob("*") if path.is_file()]
    entry = json.loads(log.read_text())
    assert (entry["setting"], entry["value"], entry["folder"]) == ("precision", "bf16", str(tmp_path))
    assert f"(kept in {log})" in done.stderr


def test_where_nothing_is_given_up_nothing_is_recorded(tmp_path: Path) -> None:
    state = tmp_path / "state"
    done = run(tmp_path, train(), "precision: bf16", env={**os.environ, "XDG_STATE_HOME": str(state)})
    assert (done.stderr, state.exists()) == ("", False)


def test_a_state_folder_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    text = with_model("torch.nn.Linear(8, 16)", "OnlyFloat32()", "torch.nn.Linear(16, 4)")
    done = run(tmp_path, text, "precision: bf16", env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")})
    assert (done.returncode, "precision keeps" in done.stderr, "kept in" in done.stderr) == (0, True, False)
