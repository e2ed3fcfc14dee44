"""Where the data files of `profiles/` are, in a checkout and in an installed wheel alike."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def profiles_folder() -> Path:
    """The folder with `devices/*.toml` and `search/*.toml`."""
    installed = _HERE / "profiles"
    return installed if installed.is_dir() else _HERE.parent / "profiles"
