"""The page of the GPU benchmark, written again whenever something more is known."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from _common import document, spread, table

BASELINE = "as written"
PICK = "tune's settings"
HAND = "by hand"
NO_TIME = "not measured (no time left)"
UNKNOWN = "–"
COLUMNS = {
    "as_written": "as written, samples/s",
    "busy_traced": "busy, torch.profiler",
    "busy_ours": "busy, advisor",
    "isolation": "isolation",
    "status": "tune says",
    "settings": "tune's settings",
    "took": "tune took, s",
    "pick": "with them, samples/s",
    "hand": "by hand, samples/s",
    "over_written": "settings ÷ as written",
    "over_hand": "settings ÷ by hand",
}
SPEEDS = {"as_written": BASELINE, "pick": PICK, "hand": HAND}
LEGEND = (
    "Speeds are the scripts' own, between two synchronised ends, after their warm-up: median (lowest … highest) where"
    " they were counted more than once. The scripts as written were started side by side, and so were, after the"
    " searches, those by hand and with tune's settings; each then counted alone, while the others waited. Where tune"
    " found no settings, the script as written is its pick. Busy: the union of what the device did, over the time, of"
    " the script as written."
)
HOOKS = (
    "What `advisor run` adds to an update of a stack of linear layers, with a setting that leaves all its hooks in"
    " place (`precision: bf16`), compared with the same setting written by hand in the same round. The first is bound"
    " by launches, the others by the device."
)


@dataclass(kw_only=True)
class Row:
    """A workload; a cell that is not known yet is one that there was no time for."""

    title: str
    cells: dict[str, str] = field(default_factory=dict)
    speeds: dict[str, list[float]] = field(default_factory=dict)
    picked_nothing: bool = False

    def cell(self, column: str) -> str:
        if column in self.cells:
            return self.cells[column]
        if column == "pick" and self.picked_nothing:
            return BASELINE
        if column in SPEEDS and self.speeds.get(SPEEDS[column]):
            return spread(self.speeds[SPEEDS[column]], "{:.1f}")
        if column == "over_written":
            return UNKNOWN if "pick" in self.cells else self._ratio(BASELINE)
        if column == "over_hand":
            return UNKNOWN if {"pick", "hand"} & set(self.cells) else self._ratio(HAND)
        return NO_TIME

    def _ratio(self, way: str) -> str:
        pick = self.speeds.get(BASELINE if self.picked_nothing else PICK)
        other = self.speeds.get(way)
        return f"{statistics.median(pick) / statistics.median(other):.2f}" if pick and other else NO_TIME


@dataclass(kw_only=True)
class HooksRow:
    """One length of an update: seconds of each round, by hand and under `advisor run`."""

    title: str
    by_hand_s: list[float] = field(default_factory=list)
    run_s: list[float] = field(default_factory=list)
    failure: str = ""

    def cells(self) -> list[str]:
        rounds = list(zip(self.by_hand_s, self.run_s, strict=False))
        if not rounds:
            return [self.title, self.failure or NO_TIME, UNKNOWN, UNKNOWN]
        return [
            self.title,
            spread([hand for hand, _run in rounds], "{:.3f}", scale=1e3),
            spread([run / hand - 1 for hand, run in rounds], "{:+.2f}", scale=100),
            spread([run - hand for hand, run in rounds], "{:+.1f}", scale=1e6),
        ]


@dataclass(kw_only=True)
class Board:
    """All that is known; each `write` replaces the file whole, so that a kill leaves the last one."""

    about: Mapping[str, str]
    rows: Mapping[str, Row]
    hooks: Sequence[HooksRow]
    file: Path | None
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        header = ("workload", *COLUMNS.values())
        rows = [[row.title, *(row.cell(column) for column in COLUMNS)] for row in self.rows.values()]
        parts = [LEGEND, table(header, rows)] if rows else []
        if self.hooks:
            header = ("update", "by hand, ms", "advisor run, %", "advisor run, µs")
            parts += [HOOKS, table(header, [row.cells() for row in self.hooks])]
        parts += ["\n".join(f"- {note}" for note in self.notes)] if self.notes else []
        return document("gpu", "One GPU: as written, tune's settings, and by hand", self.about, parts)

    def _has_figures(self) -> bool:
        """Without any, an earlier result is left alone."""
        return any(row.speeds for row in self.rows.values()) or any(row.by_hand_s for row in self.hooks)

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.write()

    def write(self) -> None:
        if self.file is None or (self.file.exists() and not self._has_figures()):
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_name(f".{self.file.name}.new")
        temporary.write_text(self.text())
        temporary.replace(self.file)
