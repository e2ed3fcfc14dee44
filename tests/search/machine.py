"""A machine whose speeds are known: a search's windows go in, made-up measurements come out, time is counted."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from advisor import knobs, wire
from advisor.rules._examples import evolve, healthy_cpu, train_loader
from advisor.runtime.script_run_record import ScriptRunRecord
from advisor.runtime.session import BASELINE_SETUP, InScriptRun
from advisor.runtime.session_result import SessionResult
from advisor.search import Knowledge, ProfileSummary, SearchRequest, SearchSettings, Study, read, recommend
from advisor.search.time_plan import UNPLANNED_S
from advisor.search.trial_log import TRIALS_FILE
from advisor.types import PHASES, Command, Diagnosis, Finding, Recommendation
from advisor.wire import WindowRole

EVIDENCE = evolve(
    healthy_cpu(),
    {
        "workload": {"loaders": (train_loader(num_workers=0, batch_size=32, length_samples=100_000),)},
        "hardware": {"cpu": {"usable_cpus": 4.0, "instruction_sets": ("amx_bf16",)}},
    },
)
UPDATE_S = 0.01
START_S = 5.0
TAKEN_AWAY = {"no_data_wait": "data_wait", "no_optimizer": "optimizer"}
"""What-if → phase that it takes away."""
COMMAND = Command(target="train.py", is_module=False, args=(), cwd="/", interpreter="/py")
Answer = float | wire.WindowRefused | None
"""Speed of a configuration, or what happened instead; None ends the session, as its deadline does."""


def finding(rule: str, *knobs: str) -> Finding:
    return Finding(rule=rule, severity="warning", share=0.5, evidence="", advice="", knobs=knobs)


INPUT_BOUND = finding("input_bound", "num_workers", "prefetch_factor")
FULL_PRECISION = finding("precision_unused", "precision")
SMALL_STEPS = finding("overhead_bound", "micro_batch", "global_batch")


class Machine:
    """Carries a search out: every window costs its time, and gives the speed that its settings have.

    Only the knobs named are there, as the findings open them: others are left out by the user, so that a knob more in
    the program is none more here. `request` leaves in what it likes.
    """

    knobs: tuple[str, ...] = ("num_workers", "precision", "global_batch")

    def __init__(self, folder: Path, speed: Callable[[dict[str, Any]], Answer], *found: Finding, **options: Any):
        self.speed = speed
        self.noise = options.pop("noise", 0.0)
        """Standard deviation of a window's speed, in parts of it: what other programs and the clock do to a machine."""
        self.random = random.Random(options.pop("seed", 0))
        self.now_s = self.reserved_s = 0.0
        self.result = SessionResult(script_runs=[ScriptRunRecord(number=0, started="")])
        self.order: list[wire.Window] = []
        self.script_runs = [BASELINE_SETUP]
        self.log = folder / TRIALS_FILE
        self.settings: SearchSettings = options.pop("settings", read("quick"))
        budget_s: float | None = options.pop("budget_s", 120.0)
        self.left_s = UNPLANNED_S if budget_s is None else budget_s
        self.trials_s: float | None = None
        """Seconds that the search asked for, if it has no budget."""
        reserved_s = options.pop("reserved_s", 0.0)
        evidence = options.pop("evidence", EVIDENCE)
        diagnosis = Diagnosis(findings=found, abstained=options.pop("abstained", ()))
        memory = options.pop("activations_bytes", None)
        computing_fraction = options.pop("computing_fraction", None)
        request = options.pop("request", None) or SearchRequest(selection=selection(self._knobs(found)))
        restart_fraction = options.pop("restart_fraction", 0.0)
        length = options.pop("length", None)
        past = options.pop("past", None)
        known = Knowledge(
            result=self.result,
            settings=self.settings,
            goal=request.goal,
            folder=folder,
            command=request.command,
            past=past or (),
            **options,
        )
        self.study = Study(
            known=known,
            budget_s=budget_s,
            left_s=lambda: self.left_s - self.now_s,
            reserve=lambda: self._reserve(reserved_s),
            release=self._release,
            allow=self._allow,
            read_profile=lambda: ProfileSummary(
                hardware=evidence.hardware,
                workload=evidence.workload,
                diagnosis=diagnosis,
                update_s=UPDATE_S,
                start_up_s=START_S,
                activations_bytes=memory,
                restart_fraction=restart_fraction,
                length=length,
                computing_fraction=computing_fraction,
            ),
            request=request,
            resumes=past is not None,
        )
        self._carry_out()
        self.study.conclude()

    def _knobs(self, found: Sequence[Finding]) -> tuple[str, ...]:
        """Return the knobs without those that are open though no finding names them."""
        named = {name for finding in found for name in finding.knobs}
        return tuple(name for name in self.knobs if name in named or not knobs.get(name).tried_unprompted)

    def _reserve(self, seconds: float) -> float:
        self.left_s -= seconds
        self.reserved_s = seconds
        return seconds

    def _release(self) -> float:
        freed_s, self.reserved_s = self.reserved_s / 2, self.reserved_s / 2
        self.left_s += freed_s
        return freed_s

    def _allow(self, seconds: float) -> None:
        self.trials_s = seconds
        self.left_s = self.now_s + seconds

    def _carry_out(self) -> None:
        planner = self.study.plan(lambda: EVIDENCE.workload)
        step = next(planner)
        while True:
            if isinstance(step, InScriptRun):
                if step.anew or step.setup != self.script_runs[-1]:
                    self.script_runs.append(step.setup)
                    self.result.script_runs.append(ScriptRunRecord(number=len(self.script_runs) - 1, started=""))
                    self.now_s += START_S
                windows = step.windows
            else:
                windows = step
            for window in windows:
                self.order.append(window)
                self.result.windows[window.id] = window
                outcome = self._outcome(window)
                if outcome is None:
                    planner.close()
                    return
                self.result.outcomes[window.id] = outcome
                self.result.script_run_of[window.id] = len(self.script_runs) - 1
                self.result.arrived_s[window.id] = self.now_s
            try:
                step = planner.send(self.result.outcomes)
            except StopIteration:
                return

    def _outcome(self, window: wire.Window) -> Any:
        config = dict(window.config)
        answer = self.speed(config)
        if isinstance(answer, float) and window.what_if in TAKEN_AWAY:
            answer /= 1 - self.phases(config).get(TAKEN_AWAY[window.what_if], 0.0)
        self.now_s += max(window.min_s, 0.1)
        if answer is None:
            return None
        if isinstance(answer, wire.WindowRefused):
            return wire.WindowRefused(0, window.id, answer.kind, answer.message)
        count, batch = max(20, window.min_updates), window.config.get("global_batch") or 32
        luck = math.exp(self.random.gauss(0.0, self.noise)) if self.noise else 1.0
        update_s = UPDATE_S * float(batch) / 32 / answer / luck
        # A little scatter, the same everywhere: intervals need something to stand on.
        wall_s = [update_s * (1.01 if index % 2 else 0.99) for index in range(count)]
        return wire.WindowDone(
            rank=0,
            id=window.id,
            start_s=self.now_s,
            wall_s=wall_s,
            phases_s={name: [self.phases(config).get(name, 0.0) * wall for wall in wall_s] for name in PHASES},
            off_step_s={"evaluation": [0.0] * count},
            micro_steps=[1] * count,
            samples=[int(batch)] * count,
            samples_from="indices",
            losses=[1.0] * count,
            dropped_updates=3,
            host_peak_bytes=self.peak(dict(window.config)),
        )

    def phases(self, config: dict[str, Any]) -> dict[str, float]:
        """Shares of an update with these settings."""
        return {"forward": 1.0}

    def peak(self, config: dict[str, Any]) -> int | None:
        return None

    @property
    def trials(self) -> list[Any]:
        return self.study.trials

    @property
    def tried(self) -> list[dict[str, Any]]:
        return [trial.config.as_dict() for trial in self.study.trials]

    def windows(self, role: WindowRole) -> list[wire.Window]:
        return [window for window in self.order if window.role is role]

    def recommended(self, **options: Any) -> Recommendation:
        return recommend(
            self.study.known,
            self.settings,
            command=COMMAND,
            hardware=EVIDENCE.hardware,
            workload=EVIDENCE.workload,
            findings=(),
            **options,
        )


def selection(knobs: tuple[str, ...]) -> Any:
    from advisor import knobs as every
    from advisor.search import KnobSelection

    return KnobSelection(without=tuple(knob.id for knob in every.all_knobs() if knob.id not in knobs))


def workers_help(config: dict[str, Any]) -> float:
    return 2.0 if config.get("num_workers") == 4 else 1.2 if config.get("num_workers") else 1.0


def nothing_helps(_config: dict[str, Any]) -> float:
    return 1.0
