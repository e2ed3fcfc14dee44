"""What a script sees of itself is what it sees under plain Python: both are run, and compared."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path

import pytest

import advisor

from .launched import Ended, advised, plain

SELF = """\
import json, os, sys
print(json.dumps({
    "argv": sys.argv,
    "orig_argv": sys.orig_argv[1:],
    "name": __name__,
    "file": __file__,
    "spec": __spec__ and [__spec__.name, __spec__.origin],
    "package": __package__,
    "doc": __doc__,
    "cached": __cached__,
    "loader": type(__loader__).__name__,
    "loader_name": getattr(__loader__, "name", None),
    "builtins": type(__builtins__).__name__,
    "globals": sorted(globals()),
    "registered": sys.modules["__main__"].__dict__ is globals(),
    "path": sys.path,
    "cwd": os.getcwd(),
    "flags": list(sys.flags),
    "code_file": sys._getframe().f_code.co_filename,
    "annotations": __annotations__ if sys.version_info < (3, 14) else None,
    "descriptor": os.open(os.devnull, os.O_RDONLY),
}))
"""

ARGUMENTS = [
    [],
    ["--epochs", "3"],
    ["--out", "runs/a"],
    ["--"],
    ["--", "--json"],
    ["-m", "module"],
    ["-m"],
    ["-"],
    ["a b", "c\td", "e\nf"],
    ["", ""],
    ["grüße", "日本", "🙂", "'quoted' \"twice\" \\"],
    ["--json", "--help", "--python", "x", "--isolation=none", "-o", "-f"],
    ["--lr=1e-3", "a=[1,2]", "*.py", "$HOME", "~"],
    ["x" * 100_000],
]


def same(
    folder: Path,
    target: str,
    *args: str,
    is_module: bool = False,
    options: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
) -> Ended:
    expected = plain(folder, target, *args, is_module=is_module, options=options, environment=environment)
    seen = advised(folder, target, *args, is_module=is_module, options=options, environment=environment)
    assert expected.code == 0, expected.err
    assert (seen.out, seen.err, seen.code) == (expected.out, expected.err, expected.code)
    return seen


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "package" / "inner").mkdir(parents=True)
    for name in ("train.py", "package/__main__.py", "package/inner/train.py", "module.py"):
        (folder / name).write_text(SELF, encoding="utf-8")
    for name in ("package/__init__.py", "package/inner/__init__.py"):
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    "args", ARGUMENTS, ids=lambda args: (" ".join(args) or "none")[:30].encode("unicode_escape").decode()
)
def test_a_script_sees_its_own_arguments(project: Path, args: list[str]) -> None:
    seen = same(project, "train.py", *args)
    assert json.loads(seen.out)["argv"] == ["train.py", *args]


def test_arguments_that_are_no_utf8(project: Path) -> None:
    same(project, "train.py", os.fsdecode(b"\xff\xfe"))


@pytest.mark.parametrize(
    "target", ["./train.py", "../project/train.py", "package/../train.py", "package/inner/train.py"]
)
def test_a_script_by_another_path(project: Path, target: str) -> None:
    same(project, target, "a")


def test_a_script_by_its_absolute_path(project: Path) -> None:
    same(project, str(project / "train.py"))


def test_a_script_behind_a_link(project: Path) -> None:
    elsewhere = project.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "link.py").symlink_to(project / "train.py")
    seen = same(project, "../elsewhere/link.py")
    assert json.loads(seen.out)["path"][0] == str(project)


@pytest.mark.parametrize("module", ["module", "package", "package.inner.train", "package.__main__"])
def test_a_module(project: Path, module: str) -> None:
    same(project, module, "--epochs", "3", "--", "", is_module=True)


def test_a_folder_with_main(project: Path) -> None:
    same(project, "package", "a")


def test_a_folder_with_a_slash(project: Path) -> None:
    same(project, "./package/", "a")


def test_a_zip_file_with_main(project: Path) -> None:
    with zipfile.ZipFile(project / "app.zip", "w") as file:
        file.writestr("__main__.py", SELF)
    same(project, "app.zip", "a")


@pytest.mark.parametrize(
    "options", [("-P",), ("-O",), ("-u",), ("-X", "utf8"), ("-W", "error"), ("-s", "-B")], ids="".join
)
def test_options_of_the_interpreter(project: Path, options: tuple[str, ...]) -> None:
    same(project, "train.py", "a", options=options)


def test_a_module_without_the_unsafe_path(project: Path) -> None:
    environment = {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(project)}
    same(project, "module", is_module=True, environment=environment)


def test_a_compiled_script(project: Path) -> None:
    import py_compile

    py_compile.compile(str(project / "train.py"), cfile=str(project / "train.pyc"), doraise=True)
    same(project, "train.pyc", "a")


def test_a_source_encoding(project: Path) -> None:
    text = "# -*- coding: latin-1 -*-\nprint('grüße', len('ü'))\n"
    (project / "latin.py").write_bytes(text.encode("latin-1"))
    assert "1" in same(project, "latin.py").out


def test_the_folder_of_the_script_shadows_installed_modules(project: Path) -> None:
    for name in ("numpy", "evaluate", "imports", "advisor", "runner"):
        (project / f"{name}.py").write_text("here = True\n", encoding="utf-8")
    (project / "shadow.py").write_text(
        "import numpy, evaluate, imports, advisor, runner\n"
        "print([m.here for m in (numpy, evaluate, imports, advisor, runner)])\n",
        encoding="utf-8",
    )
    assert "False" not in same(project, "shadow.py").out


@pytest.mark.parametrize("name", ["json", "dataclasses", "socket", "select", "queue", "fcntl"])
def test_the_folder_of_the_script_shadows_standard_modules(project: Path, name: str) -> None:
    (project / f"{name}.py").write_text("here = True\n", encoding="utf-8")
    (project / "shadow.py").write_text(f"import {name}; print({name}.__dict__.get('here'))\n", encoding="utf-8")
    same(project, "shadow.py")


@pytest.mark.parametrize("name", ["json", "dataclasses", "queue", "typing"])
def test_a_folder_in_pythonpath_shadows_standard_modules_for_the_script_only(project: Path, name: str) -> None:
    beside = project.parent / "beside"
    beside.mkdir()
    (beside / f"{name}.py").write_text("here = True\n", encoding="utf-8")
    (project / "shadow.py").write_text(
        f"import sys, {name}; print({name}.__dict__.get('here'), sys.path)\n", encoding="utf-8"
    )
    assert "True" in same(project, "shadow.py", environment={"PYTHONPATH": str(beside)}).out


DEEP = """\
import sys
def depth(n=1):
    try:
        return depth(n + 1)
    except RecursionError:
        return n
print(sys.getrecursionlimit(), depth())
sys.setrecursionlimit(300)
print(sys.getrecursionlimit(), depth())
for wrong in (0, -1, -3, "x", 1.5, 10**30):
    try:
        sys.setrecursionlimit(wrong)
    except Exception as error:
        print(type(error), error)
print(sys.getrecursionlimit(), sys.setrecursionlimit.__name__, sys.getrecursionlimit.__doc__)
"""


@pytest.mark.parametrize("target", ["deep.py", "deep", "folder"])
def test_the_script_may_recurse_as_deep_as_alone(project: Path, target: str) -> None:
    (project / "deep.py").write_text(DEEP, encoding="utf-8")
    (project / "folder").mkdir()
    (project / "folder" / "__main__.py").write_text(DEEP, encoding="utf-8")
    same(project, target, is_module=target == "deep")


@pytest.mark.slow
def test_an_older_interpreter_recurses_as_deep_as_alone(project: Path) -> None:
    (project / "deep.py").write_text(DEEP, encoding="utf-8")
    for is_module in (False, True):
        target = "deep" if is_module else "deep.py"
        expected = plain(project, target, is_module=is_module, python=older_python())
        assert advised(project, target, is_module=is_module, python=older_python()).out == expected.out


def test_the_installed_advisor_is_not_the_agents_package(project: Path) -> None:
    (project / "ask.py").write_text(
        "import advisor, sys\nprint(advisor.__name__, advisor.__file__, 'advisor.wire' in sys.modules)\n",
        encoding="utf-8",
    )
    same(project, "ask.py", environment={"PYTHONPATH": str(Path(advisor.__file__).parents[1])})


def test_source_and_pickles_of_main(project: Path) -> None:
    (project / "classes.py").write_text(
        "import dataclasses, inspect, pickle\n"
        "@dataclasses.dataclass\n"
        "class Config:\n"
        "    rate: float = 1.0\n"
        "def train(): return 1\n"
        "if __name__ == '__main__':\n"
        "    print(pickle.dumps(Config()), pickle.loads(pickle.dumps(Config())))\n"
        "    print(inspect.getsource(Config), inspect.getsource(train), inspect.getmodule(train))\n",
        encoding="utf-8",
    )
    same(project, "classes.py")


SPAWNING = """\
import multiprocessing, os, sys
if __name__ != "__main__": print("imported as", __name__, __file__, flush=True)
def work(queue): queue.put([sys.argv, sys.path[0], "_advisor" in sys.modules, __name__])
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    queue = context.Queue()
    child = context.Process(target=work, args=(queue,))
    child.start()
    answer = queue.get(timeout=60)
    child.join(60)
    if sys.argv[1] == "fork": answer[2] = "forked"
    print(answer, child.exitcode)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("is_module", [False, True], ids=["script", "module"])
def test_child_processes(project: Path, method: str, is_module: bool) -> None:
    (project / "spawning.py").write_text(SPAWNING, encoding="utf-8")
    seen = same(project, "spawning" if is_module else "spawning.py", method, is_module=is_module)
    assert seen.notes("child_process") == [f"__main__.work ({method})"]


@pytest.mark.slow
def test_an_older_interpreter(project: Path) -> None:
    python = older_python()
    (project / "old.py").write_text("import sys; print(sys.argv, sys.path[0], __file__)\n", encoding="utf-8")
    expected = plain(project, "old.py", "a", python=python)
    seen = advised(project, "old.py", "a", python=python)
    assert (seen.out, seen.err, seen.code) == (expected.out, expected.err, 0)


def older_python() -> str:
    import shutil

    kept = [
        str(path) for version in ("3.9", "3.10") for path in Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    ]
    for name in ("python3.9", "python3.10", *kept):
        found = shutil.which(name)
        if found and plain(Path("/"), "-c", "import ssl", python=found).code == 0:
            return found
    pytest.skip("needs Python 3.9 or 3.10")


def test_the_agent_says_hello_first(project: Path) -> None:
    hello = advised(project, "train.py").messages[0]
    assert (hello["type"], hello["token"], hello["executable"]) == ("Hello", "secret", sys.executable)
