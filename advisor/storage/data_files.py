"""Location of the data files of `profiles/`, in a checkout and in an installed wheel alike."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def profiles_folder() -> Path:
    """Return the folder with `devices/*.toml` and `search/*.toml`."""
    installed = _PACKAGE / "profiles"
    return installed if installed.is_dir() else _PACKAGE.parent / "profiles"
