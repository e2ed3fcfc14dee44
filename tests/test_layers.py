"""What may import what: the layers point down, torch stays where it belongs, and what starts often is light."""

from __future__ import annotations

import ast
import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import advisor

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "advisor"

LAYERS = (
    # "" is the package itself, which is imported with anything
    (
        "",
        "contention",
        "discovery",
        "durations",
        "enough",
        "errors",
        "number_range",
        "progress",
        "rate_curve",
        "rate_schedule",
        "redaction",
        "refused",
        "patience",
        "plural",
        "plural",
        "repeated_draws",
        "safe_path",
        "script_constants",
        "severity",
        "spelling",
        "standard_error",
        "stats",
        "types",
        "unknown_name",
        "version",
        "window_role",
        "wire",
        "worker_seeds",
        "worker_threads",
    ),
    ("knobs", "storage", "whatif"),
    ("agent", "hardware", "report", "rules"),
    ("runtime", "settings_file"),
    ("analysis", "planning", "target"),
    ("verification",),
    ("search",),
    ("workflows",),
    ("api",),
    ("cli",),
    ("__main__",),
)
"""Imports point to what stands above here, and never between two of one line but the first."""
ROOMS = {
    "agent": ("base", "loop", "loader", "settings", "observe", "probe", "real_run"),
    "report": ("", "pictures", "profile", "search", "comparison"),
}
"""The same inside a package; "" is its own modules. Those of `agent` are its entry, above all rooms."""
OUTSIDE = {"demo", "profiles"}
"""Not part of the program: a script of a user, and data."""
IN_THE_USERS_PROCESS = {
    "agent",
    "discovery",
    "knobs",
    "rate_schedule",
    "refused",
    "patience",
    "plural",
    "repeated_draws",
    "safe_path",
    "script_constants",
    "standard_error",
    "whatif",
    "window_role",
    "wire",
    "worker_seeds",
    "worker_threads",
}
LONGEST_MODULE_LINES = 400
HEAVY = ("torch", "numpy", "optuna", "sklearn", "scipy", "pydantic", "rich", "jinja2", "yaml", "psutil", "pynvml")


@dataclass(frozen=True, kw_only=True)
class Import:
    module: str
    """Absolute and dotted; of `from a import b` it is `a.b` where that is a module of ours, else `a`."""
    line: int
    in_function: bool

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]

    @property
    def part(self) -> str:
        """The part of advisor that is meant: `advisor.types.hardware` → `types`."""
        return f"{self.module}.".split(".")[1]


def test_every_part_has_its_layer() -> None:
    placed = {part for layer in LAYERS for part in layer}
    found = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert found - placed - OUTSIDE - {"__init__"} == set()


def test_imports_point_down_only() -> None:
    wrong = [
        f"{_shown(path)}:{found.line}: {_part(path) or 'advisor'} → {found.module}"
        for path in _program()
        for found in _imports(path)
        if found.top == "advisor" and not _may_import(_part(path), found.part) and not _is_facade(path, found)
    ]
    assert wrong == []


@pytest.mark.parametrize("package", ROOMS)
def test_imports_between_the_rooms_of_a_package_point_one_way(package: str) -> None:
    order = ROOMS[package]
    wrong = []
    for path in _files(package):
        own = _room(".".join(path.relative_to(ROOT).with_suffix("").parts))
        if path.name == "__init__.py" or own not in order:
            continue
        for found in _imports(path):
            other = _room(found.module)
            if found.part == package and other in order and order.index(other) > order.index(own):
                wrong.append(f"{_shown(path)}:{found.line}: {own} → {other}")
    assert wrong == []


def test_no_module_is_imported_in_a_circle() -> None:
    graph = {path: {_path(found.module) for found in _imports(path)} - {path, None} for path in _program()}
    left = {
        path: {other for other in others if other in graph and not _is_facade_of(other, path)}
        for path, others in graph.items()
    }
    while free := [path for path, others in left.items() if not others & left.keys()]:
        for path in free:
            del left[path]
    assert sorted(map(_shown, left)) == []


def test_the_program_imports_nothing_of_the_demo() -> None:
    users = [_shown(path) for path in _program() for found in _imports(path) if found.part in OUTSIDE]
    assert users == []


def test_torch_is_imported_only_beside_the_script_and_in_children() -> None:
    wrong = [
        f"{_shown(path)}:{found.line}"
        for path in _program()
        for found in _imports(path)
        if found.top == "torch" and not _may_import_torch(path, found)
    ]
    assert wrong == []


def test_optuna_is_imported_only_in_search() -> None:
    users = {_part(path) for path in _program() for found in _imports(path) if found.top == "optuna"}
    assert users <= {"search"}


def test_imports_inside_the_package_are_relative() -> None:
    """The agent is loaded under another name, beside a module of the user's that may be called `advisor`."""
    wrong = [
        f"{_shown(path)}:{node.lineno}"
        for path in _program()
        for node in ast.walk(_tree(path))
        if (isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "advisor")
        or (isinstance(node, ast.Import) and any(name.name.split(".")[0] == "advisor" for name in node.names))
    ]
    assert wrong == []


@pytest.mark.parametrize("part", sorted(IN_THE_USERS_PROCESS))
def test_what_runs_in_the_users_process_needs_torch_alone(part: str) -> None:
    allowed = {*sys.stdlib_module_names, "torch"}
    wrong = [
        f"{_shown(path)}:{found.line}: {found.module}"
        for path in _files(part)
        for found in _imports(path)
        if not found.in_function
        and (found.part not in IN_THE_USERS_PROCESS if found.top == "advisor" else found.top not in allowed)
    ]
    assert wrong == []


def test_the_agent_imports_no_package_but_torch_in_functions_either() -> None:
    allowed = {*sys.stdlib_module_names, "torch", "advisor"}
    wrong = [
        f"{_shown(path)}:{found.line}: {found.module}"
        for path in _files("agent")
        for found in _imports(path)
        if found.top not in allowed or (found.top == "advisor" and found.part not in {*IN_THE_USERS_PROCESS, ""})
    ]
    assert wrong == []


@pytest.mark.parametrize("part", sorted(IN_THE_USERS_PROCESS))
def test_what_runs_in_the_users_process_is_python_3_9(part: str) -> None:
    for path in _files(part):
        ast.parse(path.read_text(), filename=str(path), feature_version=(3, 9))


def test_what_runs_in_the_users_process_uses_no_newer_library() -> None:
    wrong = [
        f"{_shown(path)}:{node.lineno}: {what}"
        for part in sorted(IN_THE_USERS_PROCESS)
        for path in _files(part)
        for node, what in _newer_than_3_9(_tree(path))
    ]
    assert wrong == []


def test_the_agent_is_imported_by_a_python_3_9() -> None:
    python = shutil.which("python3.9")
    if python is None or subprocess.run([python, "-c", ""], capture_output=True, timeout=60, check=False).returncode:
        pytest.skip("no python3.9 here")
    without_torch = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for part in sorted(IN_THE_USERS_PROCESS)
        for path in _files(part)
        if path.stem not in ("__init__", "bootstrap")
        and not any(found.top == "torch" and not found.in_function for found in _imports(path))
    ]
    code = f"import importlib\nfor name in {without_torch!r}: importlib.import_module(name)"
    done = subprocess.run([python, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""


def test_no_module_is_longer_than_can_be_read() -> None:
    long = {
        _shown(path): lines
        for path in sorted(PACKAGE.rglob("*.py"))
        if (lines := len(path.read_text().splitlines())) > LONGEST_MODULE_LINES
    }
    assert long == {}


@pytest.mark.parametrize(
    "code",
    [
        "import advisor",
        "import advisor.cli.main",
        "import sys; from advisor.cli import main as cli; sys.argv = ['advisor', '--help']\n"
        "try: cli.main()\nexcept SystemExit: pass",
    ],
    ids=["import advisor", "import advisor.cli.main", "advisor --help"],
)
def test_nothing_heavy_is_loaded_by(code: str) -> None:
    ask = f"\nimport json, sys\nprint(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", code + ask], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_no_function_of_the_facade_is_hidden_by_a_module() -> None:
    """Importing `advisor.hardware` puts the module in the place of a function of that name: it must be one itself.
    `errors` and `types` are promised as the modules that they are."""
    promised = set(advisor.__all__) - {"errors", "types"}
    parts = {path.stem for path in PACKAGE.glob("*.py")} | {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    assert [name for name in promised & parts if not callable(importlib.import_module(f"advisor.{name}"))] == []


def test_no_file_names_the_folder_it_was_written_in() -> None:
    if len(ROOT.parts) < 3:
        pytest.skip(f"{ROOT} is too short to be told from other paths")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, timeout=60, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    named = [_shown(path) for path in paths if path.is_file() and f"{ROOT}/".encode() in path.read_bytes()]
    assert named == []


# --- reading ------------------------------------------------------------------------------------------------------


def _program() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if _part(path) not in OUTSIDE]


def _files(part: str) -> list[Path]:
    return [path for path in _program() if _part(path) == part]


def _part(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _room(module: str) -> str:
    """`advisor.report.profile.html` → `profile`; "" for a module of the package itself."""
    parts = module.split(".")
    return parts[2] if len(parts) > 3 or (PACKAGE.joinpath(*parts[1:]).is_dir() and len(parts) > 2) else ""


def _path(module: str) -> Path | None:
    base = PACKAGE.joinpath(*module.split(".")[1:]) if module.partition(".")[0] == "advisor" else None
    if base is None:
        return None
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _is_facade_of(package: Path, path: Path) -> bool:
    """A package's own `__init__` gathers what is below it."""
    return package.name == "__init__.py" and package.parent in path.parents


def _may_import(part: str, wanted: str) -> bool:
    own, other = _layer(part), _layer(wanted)
    if part == wanted or own > other:
        return True
    return own == other == 0


def _layer(part: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if part in layer)


def _is_facade(path: Path, found: Import) -> bool:
    """`advisor.profile` and kin are looked up in `advisor.api` when they are first used."""
    return path == PACKAGE / "__init__.py" and found.in_function and found.part == "api"


def _may_import_torch(path: Path, found: Import) -> bool:
    if _part(path) == "agent":
        return True
    if _part(path) in ("knobs", "whatif"):
        return found.in_function
    return _part(path) == "hardware" and path.stem.endswith("_child")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


@cache
def _imports(path: Path) -> tuple[Import, ...]:
    return tuple(_found_in(_tree(path), path, in_function=False))


def _found_in(node: ast.AST, path: Path, *, in_function: bool) -> Iterator[Import]:
    """Every import below `node` that is carried out, those for type checkers left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _only_for_types(child.test):
            for other in child.orelse:
                yield from _found_in(ast.Module([other], []), path, in_function=in_function)
        elif isinstance(child, ast.Import):
            for name in child.names:
                yield Import(module=name.name, line=child.lineno, in_function=in_function)
        elif isinstance(child, ast.ImportFrom):
            for module in _modules_of(child, path):
                yield Import(module=module, line=child.lineno, in_function=in_function)
        else:
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _found_in(child, path, in_function=in_function or is_function)


def _only_for_types(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def _modules_of(node: ast.ImportFrom, path: Path) -> Iterator[str]:
    folder = list(path.relative_to(ROOT).parts[:-1])
    base = ".".join([*folder[: len(folder) - node.level + 1], *filter(None, [node.module])]) if node.level else ""
    base = base or node.module or ""
    if base.removeprefix("_").partition(".")[0] != "advisor":
        yield base
        return
    base = base.removeprefix("_")
    for name in node.names:
        below = ROOT.joinpath(*base.split("."), name.name)
        yield f"{base}.{name.name}" if below.is_dir() or below.with_suffix(".py").exists() else base


def _newer_than_3_9(tree: ast.Module) -> Iterator[tuple[ast.Call | ast.Assign, str]]:
    """Uses that parse as 3.9 and fail when they are run there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = {keyword.arg for keyword in node.keywords}
            if called == "dataclass" and given & {"kw_only", "slots"}:
                yield node, "dataclass(kw_only or slots)"
            if called == "field" and "kw_only" in given:
                yield node, "field(kw_only)"
            if called == "zip" and "strict" in given:
                yield node, "zip(strict)"
            if called in ("pairwise", "anext", "aiter", "bit_count"):
                yield node, called
            if called in ("isinstance", "issubclass") and len(node.args) > 1 and isinstance(node.args[1], ast.BinOp):
                yield node, "isinstance(…, X | Y)"
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp) and _is_union_of_types(node.value):
            yield node, "X | Y of types"


def _is_union_of_types(value: ast.BinOp) -> bool:
    types = {"int", "str", "float", "bool", "bytes", "list", "dict", "tuple", "set"}
    sides = [side.id if isinstance(side, ast.Name) else None for side in (value.left, value.right)]
    is_none = isinstance(value.right, ast.Constant) and value.right.value is None
    return isinstance(value.op, ast.BitOr) and (is_none or bool(types & {*sides}))
