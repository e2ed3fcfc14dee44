"""A checked request for a search, and its options as a user types them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from ..durations import seconds_of
from ..errors import UsageError
from ..number_range import check_positive
from ..redaction import Redactor
from ..spelling import option_words, parameter
from ..types import Command

if TYPE_CHECKING:
    from ..search import SearchRequest, SearchSettings

USUAL_PRESET = "quick"


@dataclass(frozen=True, kw_only=True)
class TuneRequest:
    """A checked request for a search, before anything is run."""

    command: Command
    budget_s: float | None
    """Seconds from the first update on; None for as many as a decision takes."""
    preset: str
    settings: SearchSettings
    search: SearchRequest
    updates: int | None = None
    """Updates of the training that the user will run, if the user said so."""
    allow_training: bool = False
    verify: bool = True
    storage: str | None = None
    study: str | None = None
    """Name under which workers find it."""
    follows: bool = False
    """It is a worker's: it ends as soon as another process finds that nothing is left to try."""
    most_trials: int | None = None
    """Most trials of its own, if it follows."""

    def typed(self) -> tuple[str, ...]:
        """Return the words of a command line that ask for this search, but for its budget and usual values."""
        goal, usual, selection = self.search.goal, type(self.search.goal)(), self.search.selection
        return option_words(
            [
                ("preset", self.preset if self.preset != USUAL_PRESET else None),
                ("knobs", ",".join(selection.only) if selection.only is not None else None),
                *(("no-knob", name) for name in selection.without),
                *(("set", _mapping(role, *found)) for role, found in self.search.mapped.items()),
                ("objective", goal.name if goal.name != usual.name else None),
                ("price", goal.price_per_hour),
                ("tolerance", goal.tolerance if goal.tolerance != usual.tolerance else None),
                ("updates", self.updates),
                ("storage", self.storage),
                ("study", self.study),
                ("allow", "training" if self.allow_training else None),
                ("no-verify", not self.verify and not self.search.dry_run),
            ]
        )

    def as_kept(self) -> dict[str, Any]:
        """Return the options that a resumed search must share with the original one; its budget may differ."""
        goal, selection, command = self.search.goal, self.search.selection, self.command
        return {
            "script": command.target,
            "module": command.is_module,
            "arguments": list(Redactor().words(command.args)),
            "folder": command.cwd,
            "interpreter": command.interpreter,
            "profile": self.preset,  # the name of 0.1, by which a resumed run is compared
            "objective": goal.name,
            "price": goal.price_per_hour,
            "tolerance": goal.tolerance,
            "knobs": None if selection.only is None else list(selection.only),
            "no_knobs": list(selection.without),
            "updates": self.updates,
            "mapped": {role: list(found) for role, found in self.search.mapped.items()},
        }


class Asked(TypedDict):
    """Options of a search as given: the keywords of `advisor.tune` that a study stores for its workers."""

    budget: str | float | None
    preset: str
    knobs: Sequence[str] | None
    no_knobs: Sequence[str]
    mapped: Mapping[str, tuple[str, float | None]]
    objective: str
    price: float | None
    tolerance: str | float | None
    updates: int | None
    allow_training: bool


def checked(
    command: Command,
    asked: Asked,
    *,
    verify: bool,
    dry_run: bool = False,
    storage: str | None = None,
    study: str | None = None,
) -> TuneRequest:
    """Return the request; raise UsageError for anything that cannot be searched for."""
    from .. import search
    from ..search import database, studies
    from ..target.option_roles import check_mapped

    check_positive(updates=asked["updates"])
    check_mapped(asked["mapped"], command)
    settings = search.read(asked["preset"])
    if storage is not None:
        database.check_url(storage)
    if study is not None:
        studies.check_name(study)
        if storage is None:
            raise UsageError(f"{parameter('study', study)} needs {parameter('storage')}: the database that holds it")
    return TuneRequest(
        command=command,
        budget_s=seconds_of(asked["budget"]) if asked["budget"] is not None else None,
        preset=asked["preset"],
        settings=settings,
        search=search.SearchRequest(
            goal=search.Goal.of(asked["objective"], price=asked["price"], tolerance=asked["tolerance"]),
            selection=search.KnobSelection.of(asked["knobs"], asked["no_knobs"], settings.open),
            command=command,
            mapped=asked["mapped"],
            dry_run=dry_run,
            noise_scale=asked["allow_training"],
        ),
        updates=asked["updates"],
        allow_training=asked["allow_training"],
        verify=verify,
        storage=storage,
        study=study,
    )


def _mapping(role: str, name: str, value: float | None) -> str:
    return f"{role}={name}" if value is None else f"{role}={name}:{value:g}"
