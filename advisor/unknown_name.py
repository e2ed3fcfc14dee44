"""The error for a name that nothing has: the nearest known names, then the others."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from .errors import UsageError

MOST_NEAR = 3
"""Names that are taken for the one that was meant: more of them no longer answer."""
MOST_IN_A_LINE = 100
"""Characters of known names that still read well within a sentence."""


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that may have been meant: similar ones, else those that hold the name as a part."""
    folded = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), folded, n=MOST_NEAR)
    parts = [one for one in folded if name and name.lower() in one]
    return [folded[one] for one in dict.fromkeys([*near, *parts])][:MOST_NEAR]


def meant(name: str, known: Iterable[str]) -> str:
    """Return the question "did you mean …?" for the nearest names; "" if none is near."""
    near = nearest(name, known)
    return f"did you mean {_either(near)}?" if near else ""


class UnknownNameError(UsageError):
    """A name that is not among the known ones.

    Its text is one line. Of a list too long for a line, it holds the nearest names, or all if none is near; `summary`
    and `listed` are for a reader with columns to spare.
    """

    def __init__(self, what: str, known: Iterable[str], *, name: str, otherwise: str = "") -> None:
        """`what` is unknown, such as "unknown knob 'wings'"; `otherwise` says what to do if none of them will do."""
        names = list(known)
        self.near = nearest(name, names)
        others = [one for one in names if one not in self.near]
        short = len(", ".join(names)) <= MOST_IN_A_LINE
        self.listed: tuple[str, ...] = () if short else tuple(others)
        """Names that `summary` leaves out, in their order; empty if all of them fit in a line."""
        rest = f"; {otherwise}" if otherwise else ""
        expected = f"expected one of {', '.join([*self.near, *others])}"
        question = meant(name, names)
        if short:
            self.summary = text = f"{what}: {expected}{rest}"
        elif question:
            self.summary = text = f"{what}: {question}{f' If not, {otherwise}' if otherwise else ''}"
        else:
            self.summary = f"{what}: expected one of those below{rest}"
            text = f"{what}: {expected}{rest}"
        super().__init__(text)


def _either(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
