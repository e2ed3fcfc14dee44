"""The page of the GPU benchmark, written again whenever something more is known."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
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
    "busy_apart": "apart, points",
    "isolation": "isolation",
    "status": "tune says",
    "settings": "tune's settings",
    "took": "tune took, s",
    "pick": "with them, samples/s",
    "hand": "by hand, samples/s",
    "over_written": "settings ÷ as written",
    "over_hand": "settings ÷ by hand",
}
LEGEND = (
    "Speeds are the scripts' own, between two synchronised ends, after their warm-up: median (lowest … highest) where"
    " they were counted more than once. The scripts as written were started side by side, and so were, after the"
    " searches, those by hand and with tune's settings; each then counted alone, while the others waited. Where tune"
    " found no settings, the script as written is its pick. Busy: the union of what the device did in traced"
    " updates of the script as written, over the length of its updates without a trace, which makes launches slower."
)
LEAST_OVER_HAND = 0.95
MOST_APART_POINTS = 3.0
LONG_UPDATE_S = 0.01
"""From here on the hooks may cost a fraction of the update, below so many seconds."""
MOST_HOOKS_FRACTION = 0.01
MOST_HOOKS_S = 25e-6
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
    update_s: list[float] = field(default_factory=list)
    """Seconds of an update of the script as written, each time it was counted."""
    was_traced: bool = False
    traced_busy_s: float | None = None
    """Busy time of the device in an update, by torch.profiler; None where there is no device."""
    busy_ours: float | None = None
    """Fraction of an update, by advisor's own trace."""

    @property
    def busy_traced(self) -> float | None:
        """Fraction of an update, by torch.profiler."""
        if self.traced_busy_s is None or not self.update_s:
            return None
        return min(1.0, self.traced_busy_s / statistics.median(self.update_s))

    @property
    def busy_apart(self) -> float | None:
        """Difference of advisor's fraction from that of torch.profiler, in points."""
        return 100 * (self.busy_ours - self.busy_traced) if self.busy_ours and self.busy_traced else None

    @property
    def over_hand(self) -> float | None:
        """Speed with tune's settings over that by hand."""
        return None if {"pick", "hand"} & set(self.cells) else self._ratio(HAND)

    def cell(self, column: str) -> str:
        known = {
            "as_written": self._speed(BASELINE),
            "busy_traced": percent(self.busy_traced) if self.was_traced else None,
            "busy_ours": percent(self.busy_ours) if self.busy_ours is not None else None,
            "busy_apart": UNKNOWN if self.busy_apart is None else f"{self.busy_apart:+.1f}",
            "pick": BASELINE if self.picked_nothing else self._speed(PICK),
            "hand": self._speed(HAND),
            "over_written": UNKNOWN if "pick" in self.cells else times(self._ratio(BASELINE)),
            "over_hand": UNKNOWN if {"pick", "hand"} & set(self.cells) else times(self.over_hand),
        }
        return self.cells.get(column) or known.get(column) or NO_TIME

    def _speed(self, way: str) -> str | None:
        return spread(self.speeds[way], "{:.1f}") if self.speeds.get(way) else None

    def _ratio(self, way: str) -> float | None:
        pick = self.speeds.get(BASELINE if self.picked_nothing else PICK)
        other = self.speeds.get(way)
        return statistics.median(pick) / statistics.median(other) if pick and other else None


def times(ratio: float | None) -> str | None:
    return None if ratio is None else f"{ratio:.2f}"


def percent(fraction: float | None) -> str:
    return UNKNOWN if fraction is None else f"{fraction:.1%}"


@dataclass(kw_only=True)
class HooksRow:
    """One length of an update: seconds of each round, by hand and under `advisor run`."""

    aimed_s: float
    by_hand_s: list[float] = field(default_factory=list)
    run_s: list[float] = field(default_factory=list)
    failure: str = ""

    @property
    def title(self) -> str:
        return f"{1e3 * self.aimed_s:g} ms"

    @property
    def within_aim(self) -> bool | None:
        """Whether the hooks cost no more than they may; None where that was not measured."""
        if not self.rounds:
            return None
        if self.aimed_s < LONG_UPDATE_S:
            return statistics.median(run - hand for hand, run in self.rounds) <= MOST_HOOKS_S
        return statistics.median(run / hand - 1 for hand, run in self.rounds) <= MOST_HOOKS_FRACTION

    @property
    def rounds(self) -> list[tuple[float, float]]:
        return list(zip(self.by_hand_s, self.run_s, strict=False))

    def cells(self) -> list[str]:
        rounds = self.rounds
        if not rounds:
            return [self.title, self.failure or NO_TIME, UNKNOWN, UNKNOWN]
        return [
            self.title,
            spread([hand for hand, _run in rounds], "{:.3f}", scale=1e3),
            spread([run / hand - 1 for hand, run in rounds], "{:+.2f}", scale=100),
            spread([run - hand for hand, run in rounds], "{:+.1f}", scale=1e6),
        ]


def aims(rows: Collection[Row], hooks: Sequence[HooksRow]) -> list[str]:
    """Say of each aim which workloads reach it."""
    near = {row.title: None if row.over_hand is None else row.over_hand >= LEAST_OVER_HAND for row in rows}
    told = {row.title: None if row.busy_apart is None else abs(row.busy_apart) <= MOST_APART_POINTS for row in rows}
    light = {row.title: row.within_aim for row in hooks}
    found = {
        f"tune's settings at least {LEAST_OVER_HAND:g} of the speed by hand": near,
        f"busy time within {MOST_APART_POINTS:g} points of torch.profiler's": told,
        f"hooks at most {MOST_HOOKS_S * 1e6:g} µs an update, from {LONG_UPDATE_S * 1e3:g} ms on"
        f" {MOST_HOOKS_FRACTION:.0%}": light,
    }
    return [f"{what}: {_reached(reached)}" for what, reached in found.items() if reached]


def _reached(reached: Mapping[str, bool | None]) -> str:
    missed = [title for title, yes in reached.items() if yes is False]
    unknown = [title for title, yes in reached.items() if yes is None]
    return "; ".join([
        f"{sum(yes is True for yes in reached.values())} of {len(reached)}",
        *([f"missed: {', '.join(missed)}"] if missed else []),
        *([f"not known: {', '.join(unknown)}"] if unknown else []),
    ])  # fmt: skip


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
        parts += ["Aims:\n\n" + "\n".join(f"- {line}" for line in aims(self.rows.values(), self.hooks))]
        parts += ["Notes:\n\n" + "\n".join(f"- {note}" for note in self.notes)] if self.notes else []
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
