"""Compiled code is noticed, also where torch's compiler is imported in the middle of what is watched."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from advisor.agent.observe import compiled_calls
from advisor.agent.observe.compiled_calls import CompiledCalls

COMPILER = "compiler_that_is_imported_later"


@pytest.fixture
def _imported_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The module is found, and is not imported yet."""
    monkeypatch.setattr(compiled_calls, "MODULE", COMPILER)
    monkeypatch.syspath_prepend(tmp_path)
    finders = list(sys.meta_path)
    (tmp_path / f"{COMPILER}.py").write_text(
        f"def {compiled_calls.SETTER}(callback):\n    return None\n\n"
        f"def compiled_call():\n    prior = {compiled_calls.SETTER}(True)\n    {compiled_calls.SETTER}(prior)\n"
    )
    yield
    sys.modules.pop(COMPILER, None)
    sys.meta_path[:] = finders


class Watched:
    def __init__(self) -> None:
        self.steps: list[str] = []
        self.calls = CompiledCalls(lambda: True, lambda: self.steps.append("aside"), lambda: self.steps.append("back"))


@pytest.mark.usefixtures("_imported_later")
def test_a_compiler_that_is_imported_meanwhile_is_watched() -> None:
    watched = Watched()
    assert watched.calls.watch()
    module: Any = importlib.import_module(COMPILER)
    assert not watched.calls.entered
    module.compiled_call()
    assert watched.calls.entered
    assert watched.steps == ["aside", "back"]
    watched.calls.stop()
    module.compiled_call()
    assert watched.steps == ["aside", "back"]


@pytest.mark.usefixtures("_imported_later")
def test_a_compiler_whose_calls_cannot_be_seen_makes_room_as_soon_as_it_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched()
    assert watched.calls.watch()
    monkeypatch.setattr(compiled_calls, "SETTER", "_renamed")
    importlib.import_module(COMPILER)
    assert watched.calls.entered
    assert watched.steps == ["aside"]


@pytest.mark.usefixtures("_imported_later")
def test_an_import_after_the_window_is_left_alone() -> None:
    watched = Watched()
    watched.calls.watch()
    watched.calls.stop()
    module: Any = importlib.import_module(COMPILER)
    before = vars(module)[compiled_calls.SETTER]
    module.compiled_call()
    assert vars(module)[compiled_calls.SETTER] is before
    assert watched.steps == []


@pytest.mark.usefixtures("_imported_later")
def test_what_fails_in_making_way_does_not_reach_the_scripts_call() -> None:
    def fails() -> None:
        raise RuntimeError("hooks are disabled")

    calls = CompiledCalls(lambda: True, fails, fails)
    assert calls.watch()
    importlib.import_module(COMPILER).compiled_call()
    assert calls.fault is not None
    assert "hooks are disabled" in calls.fault
    calls.stop()


@pytest.mark.usefixtures("_imported_later")
def test_a_region_that_another_function_has_opened_is_left_all_the_same() -> None:
    """As a context manager: its `__enter__` has returned when its `__exit__` is called."""
    watched = Watched()
    assert watched.calls.watch()
    module: Any = importlib.import_module(COMPILER)

    def opened() -> None:
        module.__dict__[compiled_calls.SETTER](True)

    def closed() -> None:
        module.__dict__[compiled_calls.SETTER](None)

    opened()
    closed()
    assert (watched.steps, watched.calls.inside) == (["aside", "back"], False)
    watched.calls.stop()
