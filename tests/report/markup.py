"""Pages taken apart, and numbers that no measurement gives."""

from __future__ import annotations

import html.parser
import math
import re
from collections.abc import Callable

VOID = {"meta", "link", "br", "hr", "img", "input"}
SVG = {"path", "line", "rect", "circle", "text"}
"""Elements whose attributes are places on a drawing."""


class Page(html.parser.HTMLParser):
    """Tags with their attributes, the text, and a complaint for every tag that is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    @property
    def lines(self) -> str:
        """The text, one element a line."""
        return "\n".join(line for piece in self.text if (line := " ".join(piece.split())))

    @property
    def wild_places(self) -> list[str]:
        """Attributes of drawings that are no places."""
        places = [
            value or ""
            for tag, attributes in self.tags
            for name, value in attributes.items()
            if tag in SVG and name != "class"
        ]
        return [value for value in places if re.search(r"nan|inf|e\+", value)]


NUMBERS: dict[str, Callable[[float], float]] = {
    "nan": lambda _: math.nan,
    "infinite": lambda _: math.inf,
    "huge": lambda _: 1.7e308,
    "tiny": lambda _: 5e-324,
    "negative": lambda value: -value,
    "zero": lambda _: 0.0,
}


# Colours are read out of the style sheet, so that a new one is checked, too.


def colours_of(page: str) -> list[dict[str, str]]:
    blocks = re.findall(r"\.advisor-report \{([^}]*--ground[^}]*)\}", page)
    light = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[0]))
    dark = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", blocks[1]))
    return [light, dark]


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, two: str) -> float:
    high, low = sorted((_luminance(one), _luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)
