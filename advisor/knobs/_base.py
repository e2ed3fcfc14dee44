"""What a knob is: one setting of a training that can be changed from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from ..types import Hardware, Workload

TIERS = ("exact", "resampled", "numerics", "training")
"""What a knob may do to the training, mildest first; see `advisor explain`."""


@dataclass(frozen=True)
class Values:
    """The values worth trying here, the script's own left out; `why_closed` where there are none."""

    values: tuple[Any, ...] = ()
    why: str = ""
    """Why these values."""
    why_closed: str | None = None
    needs: str | None = None
    """Another knob without which they mean nothing."""
    needed_is_on: bool = False
    """The script as written has that one on."""
    shares_cpus_with: tuple[str, Any] | None = None
    """Another knob, with a value that leaves room for the first one here: neither may gain alone, and both together."""


def _nothing_wrong(_value: Any) -> str | None:
    return None


def whole_number(least: int, most: int) -> Callable[[Any], str | None]:
    """A check for `Knob.wrong`."""

    def wrong(value: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return None
        return f"{value!r} is no whole number from {least} to {most}"

    return wrong


def truth(value: Any) -> str | None:
    """A check for `Knob.wrong`: only true and false."""
    return None if isinstance(value, bool) else f"{value!r} is neither true nor false"


@dataclass(frozen=True)
class Knob:
    """`apply` and `restore` run in the script's process, between two updates; `values` and `tier` in the controller."""

    id: str
    title: str
    scope: str
    """`live`, or `launch` when a new process is needed."""
    values: Callable[[Hardware, Workload], Values]
    tier: Callable[[Hardware, Workload], str]
    apply: Callable[[Any, Any], None]
    """(bench, value); raises Refused with a reason where this script cannot take it."""
    restore: Callable[[Any], None]
    """(bench): the script as written again; harmless where nothing, or only a part, was applied."""
    wrong: Callable[[Any], str | None] = _nothing_wrong
    """(value): why it can be none of this knob's, wherever it comes from; None where it can."""
    hooks: tuple[str, ...] = ("loader", "model", "steps")
    """Of the agent's, those that a real training needs as long as it is set."""
    set_on: tuple[str, ...] = ()
    """`model`, `optimizer`: it is set on each such object, so on a later one anew; `forward`: at its call."""
    grows_with: tuple[str, ...] = ()
    """Other knobs, which shorten what stands beside its part of the update: it is tried where they are."""
    shortens_computing: bool = False
    """On an accelerator it is tried wherever forward and backward take a share worth having, whatever the findings
    say: what limits a script hides what would limit it next."""
    usual_on_accelerator: bool = False
    """An expert sets it on an accelerator without thinking; all such that are open are first tried together."""
    set_up_s: float = 0.0
    """What it takes at least before its first update, where that is long: it is then tried with what is best by then,
    if there is the time, and waited for."""
    after_first_update: bool = False
    """It needs to know what an update is made of: in a real training it is applied after the first one."""
    changes: str = ""
    """What the user will notice of it, in plain words: results, memory, start-up."""
