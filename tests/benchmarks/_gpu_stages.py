"""The three parts of the GPU benchmark: as written, searches, side by side."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _common import complaints, say
from _gated import last_line
from _gpu_plan import Costs, Plan, beside_s, groups, tune_budget
from _gpu_table import BASELINE, COLUMNS, HAND, PICK, UNKNOWN, Board, HooksRow, Row
from _gpu_tune import Decision, tune
from _gpu_workloads import FOLDER, HOOKS_GIB, UPDATE_S, WORKLOADS, Scale, Workload, environment
from _side_by_side import TRACE, Candidate, SideBySide

MOST_ROUNDS = 3
LATE_S = 3.0
"""Before the end, for what is left to be ended and written."""
LATEST = 2.5
"""Times what tune takes beside its budget, after which it is stopped."""
ADVISED = ("-m", "advisor", "run", "--config")
HOOKS_SETTINGS = "version: 1\nsettings: {precision: bf16}\n"
COLUMN_OF = {BASELINE: "as_written", PICK: "pick", HAND: "hand"}


@dataclass(kw_only=True)
class Stages:
    """What is measured, in order; each figure goes to the board at once."""

    folder: Path
    plan: Plan
    costs: Costs
    board: Board
    scale: Scale
    memory_gib: float | None
    until_s: float
    """The end, by `time.monotonic`."""
    verify: bool
    kept: Path | None = None
    """Where the runs of tune are left, for whoever asks why it chose so."""
    decisions: dict[str, Decision] = field(default_factory=dict)
    sizes: list[dict[str, int]] = field(default_factory=list)
    _line_up: SideBySide | None = None

    def baseline(self) -> None:
        """Count the scripts as they are, and trace how busy the device is."""
        planned = [*self.plan.workloads, *self.plan.only_as_written]
        for workload in WORKLOADS:
            if workload.lacks and workload.name in self.board.rows:
                self._fill(workload, f"SKIPPED: {workload.lacks} is not installed")
        wanted = self._with_images([workload for workload in WORKLOADS if workload.name in planned])
        candidates = [self._candidate(workload, BASELINE) for workload in wanted]
        traced = list(zip(candidates, wanted, strict=True))
        if self.plan.hooks:
            candidates.append(self._sizes())
        for line_up in self._line_ups(candidates, self.costs.start_limit_s):
            present = line_up.candidates
            for candidate in present:
                self._turn(line_up, candidate)
            for candidate, workload in traced:
                if candidate in present:
                    self._trace(line_up, candidate, self._row(workload))

    def searches(self) -> None:
        """Ask tune for each script that ran, in equal parts of what time the last part leaves."""
        waiting = [workload for workload in self._planned() if self._row(workload).speeds.get(BASELINE)]
        reserved_s = beside_s(len(self.plan.workloads), self.costs, hooks=self.plan.hooks) + self.costs.slack_s
        for number, workload in enumerate(waiting):
            budget_s = tune_budget(self._left_s() - reserved_s, len(waiting) - number, self.costs)
            if budget_s is None:
                say(f"{workload.name}: no time for tune")
                continue
            say(f"{workload.name}: tune with a budget of {budget_s:.0f} s")
            decision = tune(
                self.scale.words(workload, self._images),
                budget_s=budget_s,
                limit_s=min(budget_s + LATEST * self.costs.tune_besides_s, self._left_s() - LATE_S),
                folder=self.folder / f"tune-{workload.name}",
                env=self._env(f"tune-{workload.name}"),
                verify=self.verify,
            )
            if self.kept is not None:
                ignored = shutil.ignore_patterns("*.sock", "scratch-*")
                with contextlib.suppress(OSError):  # no figure is lost for it
                    shutil.copytree(self.folder / f"tune-{workload.name}", self.kept / workload.name, ignore=ignored)
            self.decisions[workload.name] = decision
            describe(decision, self._row(workload))
            self.board.write()

    def side_by_side(self) -> None:
        """Count what an expert wrote and what tune chose, in turns, and what the hooks of `advisor run` add."""
        candidates = list(itertools.chain.from_iterable(self._ways(workload) for workload in self._planned()))
        hooks = self._hooks() if self.sizes else []
        candidates, hooks = self._fitting(candidates, hooks)
        for line_up in self._line_ups([*candidates, *hooks], None):
            for number in range(MOST_ROUNDS):
                present = line_up.candidates
                stacks = [each for each in present if each in hooks]
                order = [each for each in present if each not in hooks][:: -1 if number % 2 else 1]
                if number and self._left_s() < sum(each.turn_s for each in (*order, *stacks)) + LATE_S:
                    break
                for candidate in (*order, *stacks, *(reversed(stacks) if not number else ())):
                    self._turn(line_up, candidate)

    def end(self) -> None:
        """End what still runs."""
        if self._line_up is not None:
            self._line_up.end()

    @property
    def _images(self) -> Path:
        return self.folder / "images"

    def _left_s(self) -> float:
        return self.until_s - time.monotonic()

    def _planned(self) -> list[Workload]:
        return [workload for workload in WORKLOADS if workload.name in self.plan.workloads]

    def _row(self, workload: Workload) -> Row:
        return self.board.rows[workload.name]

    def _env(self, name: str, beside: int = 1) -> dict[str, str]:
        return environment(self.scale.small, self.folder / "caches" / name, beside)

    def _fill(self, workload: Workload, why: str) -> None:
        row = self._row(workload)
        row.cells = {**dict.fromkeys(COLUMNS, UNKNOWN), "as_written": why}
        self.board.write()

    def _with_images(self, wanted: list[Workload]) -> list[Workload]:
        """Make the images that some need; without them those fall away."""
        if not any(workload.needs_images for workload in wanted):
            return wanted
        words = [sys.executable, str(FOLDER / "make_images.py"), str(self._images), *self.scale.images]
        limit_s = min(5 * self.costs.images_s, max(1.0, self._left_s() - LATE_S))
        try:
            subprocess.run(words, check=True, capture_output=True, text=True, timeout=limit_s)
            return wanted
        except subprocess.TimeoutExpired:
            why = f"FAILED: no images within {limit_s:.0f} s"
        except subprocess.CalledProcessError as error:
            why = f"FAILED: no images: {last_line(error.stderr)}"
        for workload in wanted:
            if workload.needs_images:
                self._fill(workload, why)
        return [workload for workload in wanted if not workload.needs_images]

    def _line_ups(self, candidates: Sequence[Candidate], start_limit_s: float | None) -> Iterator[SideBySide]:
        """Those that fit into the device's memory together, prepared; the turns of all have their time reserved."""
        for positions in groups([each.memory_gib for each in candidates], self.memory_gib):
            chosen = [candidates[position] for position in positions]
            self._line_up = SideBySide(chosen, folder=self.folder, env=self._env("side", len(chosen)))
            reserved_s = sum(each.turn_s for each in candidates[positions[0] :]) + LATE_S
            limit_s = max(0.0, self._left_s() - reserved_s)
            self._line_up.await_ready(time.monotonic() + min(limit_s, start_limit_s or limit_s))
            yield self._line_up
            self._line_up.end()
            self._line_up = None

    def _turn(self, line_up: SideBySide, candidate: Candidate) -> None:
        found = line_up.turn(candidate, self.until_s - LATE_S)
        if found is not None:
            candidate.note({**found, "said": complaints(line_up.stderr(candidate))})
        self.board.write()

    def _trace(self, line_up: SideBySide, candidate: Candidate, row: Row) -> None:
        if self._left_s() < self.costs.trace_s + LATE_S:
            return
        found = line_up.turn(candidate, self.until_s - LATE_S, TRACE)
        if found is not None:
            row.traced_busy_s, row.was_traced = found["busy_s"], True
        elif candidate not in line_up.candidates:
            row.cells["busy_traced"] = "FAILED"
        self.board.write()

    def _candidate(self, workload: Workload, way: str, config: Path | None = None) -> Candidate:
        row, (written_gib, hand_gib) = self._row(workload), workload.memory_gib
        words = [*self.scale.words(workload, self._images), *self.scale.timed(workload)]
        advised = [*ADVISED, str(config)] if config is not None else []

        def note(found: dict[str, Any]) -> None:
            row.speeds.setdefault(way, []).append(found["samples_per_s"])
            if way == BASELINE:
                row.update_s.append(found["update_s"])
            say(f"{workload.name}, {way}: {found['samples_per_s']:.1f} samples/s")
            for line in found["said"] if len(row.speeds[way]) == 1 else ():
                self.board.note(f"{workload.name}, {way}: {last_line(line)}")

        def failed(why: str) -> None:
            if way == BASELINE and not row.speeds:
                self._fill(workload, why)
            elif not row.speeds.get(way):
                row.cells[COLUMN_OF[way]] = why

        return Candidate(
            title=f"{workload.name}, {way}",
            words=[sys.executable, *advised, *words, *(["--hand"] if way == HAND else [])],
            turn_s=self.costs.turn_s,
            memory_gib=hand_gib if way == HAND else written_gib,
            note=note,
            failed=failed,
        )

    def _ways(self, workload: Workload) -> list[Candidate]:
        """By hand, and with the settings where there are some; as written once more where there is much time."""
        decision = self.decisions.get(workload.name)
        if not self._row(workload).speeds.get(BASELINE):
            return []
        picked = [self._candidate(workload, PICK, decision.file)] if decision and decision.file else []
        return [*picked, self._candidate(workload, HAND), self._candidate(workload, BASELINE)]

    def _fitting(self, candidates: list[Candidate], hooks: list[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
        """What there is time and memory for: as written goes first, then the hooks, then the last workloads."""
        again = [each for each in candidates if "--hand" not in each.words and ADVISED[1] not in each.words]
        both = self._seconds(candidates, hooks)
        if both > self._left_s() or not self._fits_memory([*candidates, *hooks]):
            candidates = [each for each in candidates if each not in again]
        if self._seconds(candidates, hooks) > self._left_s():
            hooks = []
        while candidates and self._seconds(candidates, hooks) > self._left_s():
            candidates.pop()
        return candidates, hooks

    def _fits_memory(self, candidates: Sequence[Candidate]) -> bool:
        return len(groups([each.memory_gib for each in candidates], self.memory_gib)) <= 1

    def _seconds(self, candidates: Sequence[Candidate], hooks: Sequence[Candidate]) -> float:
        start_s = self.costs.compile_s if candidates else self.costs.start_s
        starts = groups([each.memory_gib for each in (*candidates, *hooks)], self.memory_gib)
        turns_s = sum(each.turn_s for each in candidates) + 2 * sum(each.turn_s for each in hooks)
        return len(starts) * start_s + turns_s + LATE_S

    def _sizes(self) -> Candidate:
        def note(found: dict[str, Any]) -> None:
            self.sizes = found["sizes"]
            say(f"sizes of the stack: {self.sizes}")

        return Candidate(
            title="sizes of the stack",
            words=[sys.executable, str(FOLDER / "stack_sizes.py"), "--wait", *map(str, UPDATE_S)],
            turn_s=self.costs.sizes_s,
            memory_gib=HOOKS_GIB,
            note=note,
            failed=self._no_hooks,
        )

    def _no_hooks(self, why: str) -> None:
        for row in self.board.hooks:
            row.failure = why

    def _hooks(self) -> list[Candidate]:
        config = self.folder / "hooks.yaml"
        config.write_text(HOOKS_SETTINGS)
        found = []
        for size, row in zip(self.sizes, self.board.hooks, strict=True):
            shape = [str(FOLDER / "stack.py"), f"--layers={size['layers']}", f"--passes={size['passes']}"]
            timed = [*shape, *self.scale.hooks_timed()]
            found.append(self._stack(row, row.by_hand_s, [*timed, "--bf16"]))
            found.append(self._stack(row, row.run_s, [*ADVISED, str(config), *timed]))
        return found

    def _stack(self, row: HooksRow, seconds: list[float], words: list[str]) -> Candidate:
        def note(found: dict[str, Any]) -> None:
            if found["said"]:
                row.failure = f"FAILED: {last_line(found['said'][-1])}"
            else:
                seconds.append(1 / found["samples_per_s"])

        def failed(why: str) -> None:
            row.failure = why

        return Candidate(
            title=f"stack of {row.title}", words=[sys.executable, *words], turn_s=self.costs.hooks_turn_s,
            memory_gib=HOOKS_GIB, note=note, failed=failed,
        )  # fmt: skip


def describe(decision: Decision, row: Row) -> None:
    """What tune decided, into the cells of its row."""
    profile = decision.profile
    row.cells["isolation"] = profile.isolation.name if profile is not None else UNKNOWN
    use = profile.device_use if profile is not None else None
    if use is not None:
        row.busy_ours = use.busy_fraction
    else:
        why = profile.why_no_device_use if profile is not None else ""
        row.cells["busy_ours"] = f"not traced: {last_line(why)}" if why else UNKNOWN
    row.cells["took"] = f"{decision.took_s:.0f}"
    row.cells["status"] = f"FAILED: {decision.failure}" if decision.failure else decision.status
    settings = ", ".join(f"{name}={value}" for name, value in sorted(decision.settings.items()))
    row.cells["settings"] = settings or "none"
    row.picked_nothing = decision.file is None
