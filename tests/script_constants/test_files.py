"""Constants of the script and of the modules beside it, under the names by which users know them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advisor.refused import Refused
from advisor.script_constants import Constant, by_module, constants_by_name, source_files


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def names(folder: Path, target: str = "train.py", *, is_module: bool = False) -> dict[str, Any]:
    files = source_files(target, is_module=is_module, cwd=str(folder))
    return {
        name: one.value if isinstance(one, Constant) else one.why
        for name, (_file, one) in constants_by_name(files).items()
    }


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("from config import BATCH, LR as rate", {"config.BATCH": 64, "config.LR": 0.1}),
        ("import config\nprint(config.BATCH)", {"config.BATCH": 64}),
        ("import config as c\nprint(c.BATCH)", {"config.BATCH": 64}),
        ("from config import *\n", {"config.BATCH": 64, "config.LR": 0.1, "config.Rest.size": 3}),
        ("from config import Rest", {"config.Rest.size": 3}),
        ("import config", {}),
        ("import json, os.path", {}),
        ("def f():\n    from config import BATCH", {}),
    ],
)
def test_constants_that_the_script_takes_from_a_module_beside_it(
    tmp_path: Path, script: str, found: dict[str, Any]
) -> None:
    write(tmp_path, {"config": "BATCH = 64\nLR = 0.1\nclass Rest:\n    size = 3\n", "train": script})
    assert names(tmp_path) == found


def test_modules_of_packages_have_their_full_names(tmp_path: Path) -> None:
    files = {
        "package/__init__": "",
        "package/config": "BATCH = 64\n",
        "package/train": "from .config import BATCH\nfrom . import config\n",
        "train": "from package.config import BATCH\n",
    }
    write(tmp_path, files)
    assert names(tmp_path) == {"package.config.BATCH": 64}
    assert names(tmp_path, "package.train", is_module=True) == {"package.config.BATCH": 64}


def test_a_package_is_run_by_its_main(tmp_path: Path) -> None:
    files = {
        "package/__init__": "B = 1",
        "package/__main__": "B = 2\nprint(B)\nfrom .config import C",
        "package/config": "C = 3",
    }
    write(tmp_path, files)
    assert names(tmp_path, "package", is_module=True) == {"B": 2, "package.config.C": 3}
    assert names(tmp_path, "package") == {"B": 2}


def test_a_constant_that_the_script_replaces_in_the_module_cannot_be_set(tmp_path: Path) -> None:
    write(tmp_path, {"config": "BATCH = 64\n", "train": "import config\nconfig.BATCH = 3\nprint(config.BATCH)"})
    assert "gets another value in line 2 of the script that imports config.py" in names(tmp_path)["config.BATCH"]


def test_a_constant_that_nothing_reads_is_none(tmp_path: Path) -> None:
    write(tmp_path, {"train": "BATCH = 64\nLR = 0.1\nprint(LR)"})
    assert names(tmp_path) == {"LR": 0.1}


def sorted_by_module(folder: Path, values: dict[str, Any]) -> Any:
    return by_module(values, "train.py", is_module=False, cwd=str(folder))


def test_values_are_sorted_by_module(tmp_path: Path) -> None:
    write(tmp_path, {"config": "BATCH = 64\n", "train": "from config import BATCH\nLR = 0.1\nprint(LR)"})
    assert sorted_by_module(tmp_path, {"config.BATCH": 2, "LR": 1.0}) == {"config": {"BATCH": 2}, "": {"LR": 1.0}}
    assert by_module({}, "gone.py", is_module=False, cwd=str(tmp_path)) == {}


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("RATE = 0.1\nprint(RATE)", r"train\.py has no constant LR"),
        ("LR = 0.1", r"train\.py has no constant LR that it uses"),
        ("LR = 0.1\nLR = 0.2\nprint(LR)", r"LR of train\.py is assigned more than once, in lines 1, 2"),
        ("LR = 'low'\nprint(LR)", r"LR is 'low' in line 1 of train\.py; 1.0 is of another type"),
        ("LR = (", "the constant LR cannot be set: it cannot be parsed"),
        (None, "the constant LR cannot be set: there is no file"),
    ],
)
def test_a_value_that_no_longer_fits_the_script_is_refused(tmp_path: Path, script: str | None, why: str) -> None:
    if script is not None:
        write(tmp_path, {"train": script})
    with pytest.raises(Refused, match=why):
        sorted_by_module(tmp_path, {"LR": 1.0})
