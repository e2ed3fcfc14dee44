"""Callbacks after an import, through real imports in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_S = 60
ROOT = str(Path(__file__).parents[2])
BEGIN = """\
import importlib, importlib.util, json, sys
from advisor.agent.base import imports
from advisor.agent.base.imports import when_imported
said, reported = [], []
imports.report_to(reported.append)
def note(module): said.append([module.__name__, getattr(module, "value", None)])
"""
END = "\nprint(json.dumps([said, reported]))\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plain_module.py").write_text("value = 1\n", encoding="utf-8")
    (tmp_path / "importer.py").write_text("import plain_module\nvalue = plain_module.value\n", encoding="utf-8")
    (tmp_path / "flaky.py").write_text(
        "import builtins\nbuiltins.tries = getattr(builtins, 'tries', 0) + 1\n"
        "if builtins.tries == 1: raise ValueError('first')\nvalue = builtins.tries\n",
        encoding="utf-8",
    )
    (tmp_path / "replaced.py").write_text(
        "import sys, types\nnew = types.ModuleType('replaced'); new.value = 'new'\nsys.modules[__name__] = new\n",
        encoding="utf-8",
    )
    (tmp_path / "package" / "inner").mkdir(parents=True)
    (tmp_path / "package" / "__init__.py").write_text("value = 'package'\n", encoding="utf-8")
    (tmp_path / "package" / "inner" / "__init__.py").write_text("value = 'inner'\n", encoding="utf-8")
    (tmp_path / "spread").mkdir()
    (tmp_path / "spread" / "part.py").write_text("value = 'part'\n", encoding="utf-8")
    return tmp_path


def ran(folder: Path, body: str) -> tuple[list[object], list[str]]:
    """What the callbacks noted, and what was reported as failed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{BEGIN}{body}{END}"],
        cwd=folder,
        env={"PYTHONPATH": ROOT, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said, reported = json.loads(done.stdout.splitlines()[-1])
    return said, reported


def test_the_callback_comes_after_the_module_has_run(folder: Path) -> None:
    body = "when_imported('plain_module', note)\nsaid.append('before')\nimport plain_module\nsaid.append('after')"
    assert ran(folder, body)[0] == ["before", ["plain_module", 1], "after"]


def test_a_module_that_is_there_already_is_called_back_at_once(folder: Path) -> None:
    assert ran(folder, "import plain_module\nwhen_imported('plain_module', note)")[0] == [["plain_module", 1]]


def test_an_import_by_another_module_counts(folder: Path) -> None:
    assert ran(folder, "when_imported('plain_module', note)\nimport importer")[0] == [["plain_module", 1]]


def test_what_the_callback_changes_is_seen_by_the_importer(folder: Path) -> None:
    body = "when_imported('plain_module', lambda m: setattr(m, 'value', 7))\nimport importer; note(importer)"
    assert ran(folder, body)[0] == [["importer", 7]]


def test_a_module_that_is_never_imported_is_not(folder: Path) -> None:
    assert ran(folder, "when_imported('plain_module', note)\nsaid.append('plain_module' in sys.modules)")[0] == [False]


def test_a_submodule(folder: Path) -> None:
    assert ran(folder, "when_imported('package.inner', note)\nimport package.inner")[0] == [["package.inner", "inner"]]


def test_several_callbacks_come_in_order(folder: Path) -> None:
    body = "for n in (1, 2, 3): when_imported('plain_module', lambda m, n=n: said.append(n))\nimport plain_module"
    assert ran(folder, body)[0] == [1, 2, 3]


def test_a_callback_may_wait_for_another_module(folder: Path) -> None:
    body = "when_imported('package', lambda m: when_imported('package.inner', note))\nimport package.inner"
    assert ran(folder, body)[0] == [["package.inner", "inner"]]


def test_a_failing_callback_does_not_break_the_import(folder: Path) -> None:
    said, reported = ran(
        folder, "when_imported('plain_module', lambda m: 1 / 0)\nimport plain_module; note(plain_module)"
    )
    assert said == [["plain_module", 1]]
    assert "ZeroDivisionError" in reported[0]


def test_a_failed_import_is_waited_for_again(folder: Path) -> None:
    body = "when_imported('flaky', note)\ntry: import flaky\nexcept ValueError: said.append('failed')\nimport flaky"
    assert ran(folder, body)[0] == ["failed", ["flaky", 2]]


def test_a_module_that_replaces_itself(folder: Path) -> None:
    assert ran(folder, "when_imported('replaced', note)\nimport replaced")[0] == [["replaced", "new"]]


def test_a_reload_works_and_does_not_call_again(folder: Path) -> None:
    body = "when_imported('plain_module', note)\nimport plain_module\nplain_module.value = 5\n"
    body += "importlib.reload(plain_module); note(plain_module)"
    assert ran(folder, body)[0] == [["plain_module", 1], ["plain_module", 1]]


def test_find_spec_sees_an_ordinary_spec(folder: Path) -> None:
    body = (
        "plain = importlib.util.find_spec('plain_module')\n"
        "when_imported('plain_module', note)\n"
        "seen = importlib.util.find_spec('plain_module')\n"
        "said.append([seen.origin == plain.origin, type(seen.loader) is type(plain.loader), seen.name == plain.name])"
    )
    assert ran(folder, body)[0] == [[True, True, True]]


def test_looking_for_a_module_that_is_missing(folder: Path) -> None:
    body = "when_imported('missing', note)\nsaid.append(importlib.util.find_spec('missing'))\n"
    body += "try: import missing\nexcept ModuleNotFoundError as e: said.append(e.name)"
    assert ran(folder, body)[0] == [None, "missing"]


def test_the_loader_keeps_no_mark(folder: Path) -> None:
    body = (
        "when_imported('plain_module', note)\nimport plain_module\nsaid.append(sorted(vars(plain_module.__loader__)))"
    )
    assert ran(folder, body)[0] == [["plain_module", 1], ["name", "path"]]


def test_a_lazy_module_is_called_back_when_it_runs(folder: Path) -> None:
    body = (
        "when_imported('plain_module', note)\n"
        "spec = importlib.util.find_spec('plain_module')\n"
        "spec.loader = importlib.util.LazyLoader(spec.loader)\n"
        "module = importlib.util.module_from_spec(spec); sys.modules['plain_module'] = module\n"
        "spec.loader.exec_module(module); said.append('not yet'); said.append(module.value)"
    )
    assert ran(folder, body)[0] == ["not yet", ["plain_module", 1], 1]


def test_a_part_of_a_namespace_package(folder: Path) -> None:
    assert ran(folder, "when_imported('spread.part', note)\nimport spread.part")[0] == [["spread.part", "part"]]


def test_a_namespace_package_is_called_back_for_nothing_but_can_be_imported(folder: Path) -> None:
    said, reported = ran(folder, "when_imported('spread', note)\nimport spread.part\nsaid.append(spread.part.value)")
    assert (said[-1], reported) == ("part", [])


@pytest.mark.skipif("xxsubtype" not in sys.builtin_module_names, reason="this Python has it in a file")
def test_a_builtin_module(folder: Path) -> None:
    body = "sys.modules.pop('_sha1', None); sys.modules.pop('xxsubtype', None)\n"
    body += "when_imported('xxsubtype', note)\nimport xxsubtype\nsaid.append(type(xxsubtype.__loader__).__name__)"
    assert ran(folder, body)[0] == [["xxsubtype", None], "type"]


def test_a_module_in_a_zip_file(folder: Path) -> None:
    import zipfile

    with zipfile.ZipFile(folder / "modules.zip", "w") as file:
        file.writestr("zipped.py", "import zipped_too\nvalue = 'zipped'\n")
        file.writestr("zipped_too.py", "value = 'too'\n")
    body = "sys.path.append('modules.zip')\nfor n in ('zipped', 'zipped_too'): when_imported(n, note)\nimport zipped"
    assert ran(folder, body)[0] == [["zipped_too", "too"], ["zipped", "zipped"]]


def test_pkgutil_goes_on_working(folder: Path) -> None:
    body = "import pkgutil\nwhen_imported('plain_module', note)\n"
    body += "said.append('plain_module' in [m.name for m in pkgutil.iter_modules()])\n"
    body += "said.append(pkgutil.resolve_name('plain_module:value'))"
    assert ran(folder, body)[0] == [True, ["plain_module", 1], 1]


def test_source_and_resources_of_a_watched_package(folder: Path) -> None:
    body = "when_imported('package', note)\nimport package, inspect, importlib.resources\n"
    body += "said.append([inspect.getsource(package), (importlib.resources.files('package') / 'inner').is_dir()])"
    assert ran(folder, body)[0][1] == ["value = 'package'\n", True]
