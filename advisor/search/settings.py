"""How thorough a search is; read from `profiles/search/*.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

from ..data import profiles_folder
from ..errors import UsageError


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    profile_fraction: float
    """Of the budget, for the profile that the search begins with."""
    window_s: float
    least_updates: int
    most_trials: int
    final_rounds: int
    """Fresh windows for each finalist."""
    most_final_rounds: int
    """Where those decide nothing, and time is left."""
    finalists: int
    """That keep the training as it is."""
    floor: float
    """A gain below this fraction is none."""


def read(name: str) -> SearchSettings:
    """The settings of that name; UsageError, naming the known ones, where there is no such file."""
    folder = profiles_folder() / "search"
    known = sorted(path.stem for path in folder.glob("*.toml"))
    if name not in known:
        raise UsageError(f"no search profile is called {name!r}: there are {', '.join(known)}")
    with (folder / f"{name}.toml").open("rb") as file:
        return SearchSettings(**tomllib.load(file)["search"])
