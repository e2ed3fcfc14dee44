"""The labels of the training scripts in this folder and of those rebuilt from public reports and public scripts."""

import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OWN, REPORTS, PUBLIC = HERE, HERE / "reports", HERE / "public"


def labels_of(*folders: Path) -> dict[str, dict[str, Any]]:
    """The tables of each folder's labels.toml, by name; `path` is the script's, and `needs` lists its packages."""
    found: dict[str, dict[str, Any]] = {}
    for folder in folders:
        for name, label in tomllib.loads((folder / "labels.toml").read_text(encoding="utf-8")).items():
            if name in found:
                raise ValueError(f"{folder / 'labels.toml'}: {name} is labelled in another folder, too")
            path = folder / f"{label.get('script', name)}.py"
            found[name] = {"args": [], "needs": [], **label, "path": path}
    return found


def missing_packages(label: dict[str, Any]) -> list[str]:
    """The packages that a script imports and that are not installed."""
    return [package for package in label["needs"] if find_spec(package) is None]
