"""What a test leaves behind in its process is seen and put back; the order of the tests can be shuffled."""

from __future__ import annotations

import builtins
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from process_state import ProcessState, forget_compiled
from torch.optim import optimizer

from advisor.agent.base import modes
from advisor.agent.base.imports import when_imported
from advisor.agent.loop.clock import StepClock
from advisor.agent.observe.garbage import GarbageTimer


def _replace_print() -> None:
    builtins.print = lambda *_args, **_kwargs: None


def _add_method() -> None:
    torch.nn.Module.left_behind = lambda self: None


def _add_hook() -> None:
    optimizer.register_optimizer_step_post_hook(lambda *_args: None)


@pytest.mark.parametrize(
    ("leave", "named"),
    [
        (lambda: os.environ.update(LEFT_BEHIND="1"), "LEFT_BEHIND='1'"),
        (lambda: os.chdir("/"), "the working directory"),
        (lambda: sys.path.append("/left/behind"), "sys.path"),
        (gc.disable, "gc.isenabled()"),
        (lambda: GarbageTimer(StepClock()).install(), "gc.callbacks"),
        (lambda: torch.set_num_threads(torch.get_num_threads() + 1), "torch.get_num_threads()"),
        (lambda: torch.set_default_dtype(torch.float64), "torch.get_default_dtype()"),
        (lambda: torch.set_grad_enabled(False), "torch.is_grad_enabled()"),
        (_replace_print, "builtins.print was replaced"),
        (_add_method, "Module.left_behind was replaced"),
        (_add_hook, "hooks after all steps"),
    ],
)
def test_what_is_left_is_named_and_put_back(leave: Callable[[], Any], named: str) -> None:
    before = ProcessState()
    leave()
    changes = before.changes()
    before.restore()
    assert len(changes) == 1
    assert named in changes[0]
    assert before.changes() == []


def test_a_callback_that_waits_for_an_import_is_taken_back_without_a_word() -> None:
    before = ProcessState()
    when_imported("left_behind", lambda _module: None)
    assert before.changes() == []
    before.restore()
    from advisor.agent.base import imports

    assert "left_behind" not in imports._waiting


def test_compiled_code_is_forgotten() -> None:
    torch.compile(lambda tensor: tensor.sin(), backend="eager")(torch.ones(2))
    assert modes.compile_used()
    forget_compiled()
    assert not modes.compile_used()


def order(seed: int) -> list[str]:
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--order-seed", str(seed), "-p", "no:cacheprovider"]
    files = ["tests/test_stats.py", "tests/target/test_notebook.py", "tests/test_layers.py"]
    done = subprocess.run(
        [*argv, *files], cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=100, check=True
    )
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.slow
def test_a_seed_shuffles_files_and_the_tests_in_each_and_is_the_same_every_time() -> None:
    first, other = order(1), order(2)
    assert first == order(1)
    assert first != other
    assert sorted(first) == sorted(other)
    files = [test.split("::")[0] for test in first]
    assert len([file for file, before in zip(files, [None, *files], strict=False) if file != before]) == 3
