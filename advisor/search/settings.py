"""How thorough a search is; read from `profiles/search/*.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Any

from ..data import profiles_folder
from ..errors import UsageError


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    profile_fraction: float
    """Of the budget, for the profile that the search begins with."""
    window_s: float
    """The first look at a configuration: seconds of counted updates, where the budget has room for it."""
    long_window_s: float
    """The second, for those that may still win."""
    least_updates: int
    most_trials: int
    most_lives: int
    """Starts of the script: a setting that it cannot take costs one, one that needs a start of its own two."""
    final_rounds: int
    """Fresh windows for each finalist."""
    most_final_rounds: int
    """Where those decide nothing, and time is left."""
    finalists: int
    """That keep the training as it is."""
    floor: float
    """A gain below this fraction is none."""
    verify_rounds: int
    """Pairs of fresh processes that the budget leaves room for."""
    open: tuple[str, ...] = ()
    """Knobs that are tried although no finding points to them, in this order: what is known to matter in a domain."""


def read(name: str) -> SearchSettings:
    """The settings of that name; UsageError, naming the known ones, where there is no such file."""
    folder = profiles_folder() / "search"
    known = sorted(path.stem for path in folder.glob("*.toml"))
    if name not in known:
        raise UsageError(f"no search profile is called {name!r}: there are {', '.join(known)}")
    path = folder / f"{name}.toml"
    with path.open("rb") as file:
        values: dict[str, Any] = tomllib.load(file)["search"]
    values["open"] = tuple(values.get("open", ()))
    try:
        return SearchSettings(**values)
    except TypeError as error:
        raise TypeError(f"{path}: {error}") from error
