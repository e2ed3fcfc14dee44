"""Whose work a stack is at: the script's, that of a library which it calls, or advisor's own."""

from __future__ import annotations

import ast
import functools
import sys
import threading
import timeit
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch

from advisor.agent.base.pass_through import passes_on, passes_on_to_c
from advisor.agent.loop.frames import Frames, Work

from .. import own_code
from ..own_code import AGENT

MARKS = {"passes_on", "passes_on_to_c", "stands_for"}
DOES_NOTHING = "def work(call): return call()"
LIBRARY = """
def work(call):
    return call()

def each(call):
    yield call()
"""
Call = Callable[[], Any]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    return own_code.library(tmp_path, monkeypatch, "shelf", LIBRARY)


def hook() -> Any:
    """A function of advisor's that works on its own account: it calls what it is given."""
    return own_code.of_advisor(DOES_NOTHING)["work"]


def wrapper(mark: Any = passes_on) -> Any:
    """One that hands on what the script calls."""
    return mark(hook())


class Seen:
    """What the readers of a stack say of the frame that calls this; a function of C to them, with no frame below."""

    def __init__(self) -> None:
        self.own: bool | None = None
        self.work: Work | None = None
        self.loader_work: Work | None = None
        self.line = 0

    def __call__(self, *_arguments: Any) -> None:
        frames, frame = Frames(), sys._getframe(1)
        self.own, self.line = frames.is_own(frame), frames.line(frame)[1]
        self.work, self.loader_work = frames.work(frame), frames.loader_work(frame)


@pytest.fixture
def seen() -> Seen:
    return Seen()


def here(work: Work | None) -> str:
    return work.frame.f_code.co_name if work is not None and work.frame.f_code.co_filename == __file__ else ""


def test_a_call_of_the_script_is_its_own_line(seen: Seen) -> None:
    seen()
    assert (seen.own, here(seen.work)) == (False, "test_a_call_of_the_script_is_its_own_line")


def test_a_call_of_a_hook_of_ours_is_nobodys_line(seen: Seen) -> None:
    hook()(seen)
    assert (seen.own, seen.work) == (True, None)


def test_what_a_library_does_for_a_hook_of_ours_is_ours_too(seen: Seen, library: Any) -> None:
    hook()(calling(library, seen))
    assert (seen.own, seen.work) == (True, None)


def calling(library: Any, call: Call) -> Call:
    """A call of the library that has no line of this file in it."""
    return functools.partial(library.work, call)


def test_what_a_library_does_for_the_script_stays_the_scripts(seen: Seen, library: Any) -> None:
    library.work(seen)
    assert seen.own is False
    assert (here(seen.work), seen.work and seen.work.library) == (sys._getframe().f_code.co_name, "shelf")


def test_a_wrapper_of_ours_swallows_nothing_that_a_library_does(seen: Seen, library: Any) -> None:
    wrapper()(calling(library, seen))
    assert seen.own is False
    assert (here(seen.work), seen.work and seen.work.library) == (sys._getframe().f_code.co_name, "shelf")


def test_a_hook_inside_a_wrapper_is_ours(seen: Seen) -> None:
    wrapper()(functools.partial(hook(), seen))
    assert (seen.own, seen.work) == (True, None)


def test_a_wrappers_own_bookkeeping_is_no_work_of_the_script(seen: Seen) -> None:
    wrapper()(seen)
    assert seen.work is None


def test_a_wrapper_around_c_code_may_be_inside_it(seen: Seen) -> None:
    wrapper(passes_on_to_c)(seen)
    assert here(seen.work) == sys._getframe().f_code.co_name


def test_the_comprehensions_of_a_wrapper_are_wrappers_too(seen: Seen, library: Any) -> None:
    each = own_code.of_advisor("def work(calls): return [call() for call in calls]")["work"]
    passes_on(each)([calling(library, seen)])
    assert seen.own is False


def test_a_generator_around_the_work_is_not_the_library_that_does_it(seen: Seen, library: Any) -> None:
    list(library.each(seen))
    assert seen.work is not None
    assert seen.work.library == ""


# --- a loader that we read ourselves --------------------------------------------------------------------------------


def read_by_us(call: Call) -> Any:
    """Our reading of a loader, with the wrapper of torch's fetcher inside it."""
    return hook()(functools.partial(wrapper(), call))


def test_a_librarys_dataset_is_named_and_not_the_line_where_the_script_stands(seen: Seen, library: Any) -> None:
    read_by_us(calling(library, calling(library, seen)))
    work = seen.loader_work
    assert work is not None
    assert (work.frame.f_code.co_filename, work.library) == (library.__file__, "shelf")


def test_the_outermost_frame_of_a_library_is_named(seen: Seen, library: Any) -> None:
    deep: Call = calling(library, calling(library, seen))
    read_by_us(deep)
    assert seen.loader_work is not None
    assert depth(seen.loader_work.frame, library.__file__) == 1


def depth(frame: FrameType | None, file: str) -> int:
    """Frames of this file from here outward."""
    count = 0
    while frame is not None:
        count += frame.f_code.co_filename == file
        frame = frame.f_back
    return count


def test_the_users_dataset_is_named_by_its_line(seen: Seen) -> None:
    def __getitem__() -> None:  # noqa: N807
        seen()

    read_by_us(__getitem__)
    assert here(seen.loader_work) == "__getitem__"


def test_torchs_own_dataset_is_named_where_there_is_no_other(seen: Seen) -> None:
    data = torch.utils.data.TensorDataset(torch.ones(3))
    data.tensors = (type("Rows", (), {"__getitem__": seen})(),)  # type: ignore[assignment]
    read_by_us(functools.partial(data.__getitem__, 0))
    work = seen.loader_work
    assert work is not None
    assert (Path(work.frame.f_code.co_filename).name, work.library) == ("dataset.py", "torch")


def test_our_own_part_of_reading_a_loader_is_none_of_its_work(seen: Seen, library: Any) -> None:
    hook()(calling(library, seen))
    assert seen.loader_work is None


# --- the marks ------------------------------------------------------------------------------------------------------


def functions(file: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef))


def own_calls(function: ast.FunctionDef) -> Iterator[ast.Call]:
    """Calls in its own body, those of functions inside it left out."""
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef):
            continue
        if isinstance(node, ast.Call):
            yield node
        pending.extend(ast.iter_child_nodes(node))


def marks(function: ast.FunctionDef) -> Iterator[str]:
    """The names of its decorators, called or not."""
    for mark in function.decorator_list:
        name = mark.func if isinstance(mark, ast.Call) else mark
        if isinstance(name, ast.Name):
            yield name.id


def test_whatever_calls_an_original_is_marked_as_a_wrapper() -> None:
    """What a library does inside would else be taken for ours, and lost."""
    unmarked = [
        f"{file.stem}.{function.name}:{function.lineno}"
        for file in AGENT.rglob("*.py")
        for function in functions(file)
        if any(isinstance(call.func, ast.Name) and call.func.id == "original" for call in own_calls(function))
        and not MARKS & set(marks(function))
    ]
    assert unmarked == []


# --- Python's own modules -------------------------------------------------------------------------------------------


def test_a_line_of_python_itself_is_never_the_users(seen: Seen) -> None:
    """Without a line of the user's in the stack, the module is named as what does the work."""
    read_by_us(functools.partial(timeit.timeit, seen, number=1))
    for work in (seen.loader_work, seen.work):
        assert work is None or (work.frame.f_code.co_filename, work.library) == (timeit.__file__, "timeit")
    assert seen.loader_work is not None


def test_a_package_is_named_before_the_module_of_python_that_calls_it(seen: Seen, library: Any) -> None:
    # In a thread, whose stack has no line of this file.
    thread = threading.Thread(target=functools.partial(timeit.timeit, calling(library, seen), number=1))
    thread.start()
    thread.join()
    assert seen.work is not None
    assert (seen.work.frame.f_code.co_filename, seen.work.library) == (library.__file__, "shelf")


def test_python_itself_is_no_library_of_the_users_line(seen: Seen) -> None:
    timeit.timeit(seen, number=1)
    assert (here(seen.work), seen.work and seen.work.library) == (sys._getframe().f_code.co_name, "")
