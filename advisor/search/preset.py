"""Thoroughness of a search, read from `profiles/search/*.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Any

from ..storage.data_files import profiles_folder
from ..unknown_name import UnknownNameError


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    profile_fraction: float
    """Fraction of the budget for the profile that the search begins with."""
    window_s: float
    """Short trial of a configuration: seconds of counted updates, if the budget has room for it."""
    long_window_s: float
    """Long trial, for configurations that may still win."""
    least_updates: int
    most_trials: int
    max_script_runs: int
    """Most starts of the script: a setting that it cannot take costs one, one that needs its own start two."""
    final_rounds: int
    """Fresh windows for each finalist; 0 leaves the finals to another process of the same search."""
    most_final_rounds: int
    """Fresh windows at most, if the first decide nothing and time is left."""
    finalists: int
    """Number of finalists that keep the training as it is."""
    floor: float
    """Smallest gain that counts, as a fraction."""
    verify_rounds: int
    """Pairs of fresh processes that the budget reserves time for."""
    open: tuple[str, ...] = ()
    """Knobs to try although no finding points to them, in this order: those known to matter in a domain."""


def read(name: str) -> SearchSettings:
    """Return the settings of that name; raise UnknownNameError if there is no such file."""
    folder = profiles_folder() / "search"
    known = sorted(path.stem for path in folder.glob("*.toml"))
    if name not in known:
        raise UnknownNameError(f"unknown preset {name!r}", known, name=name)
    path = folder / f"{name}.toml"
    with path.open("rb") as file:
        values: dict[str, Any] = tomllib.load(file)["search"]
    values["open"] = tuple(values.get("open", ()))
    try:
        return SearchSettings(**values)
    except TypeError as error:
        raise TypeError(f"{path}: {error}") from error
