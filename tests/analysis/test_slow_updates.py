"""However long an update takes, a profile counts enough of them, or asks for a budget in which it does.

The real plan and the real conductor, on a clock that only the updates move.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report import sample

from advisor import enough, wire
from advisor.agent.loop.clock import BACKWARD, DATA_WAIT, FORWARD, StepClock
from advisor.agent.loop.roots import Roots
from advisor.agent.loop.steps import Steps
from advisor.agent.probe import conductor as conducting
from advisor.agent.probe.recorder import Recorder
from advisor.agent.settings.controls import Controls
from advisor.agent.settings.precision import Precision
from advisor.analysis import profile_plan, summary
from advisor.analysis.counted import Counted
from advisor.report.profile.headline import verdict_of
from advisor.rules import diagnose
from advisor.rules._base import WARNING_SHARE
from advisor.rules._examples import evolve, healthy_cpu, train_loader, what_if

from .windows import done

WAITING = 0.9
"""Of every update, for data."""


class Left(BaseException):
    """What `os._exit` is in a process of its own."""


@dataclass
class Script:
    """Updates of given lengths, profiled within a budget: as far as the windows that everything is read from."""

    updates_s: Iterable[float]
    budget_s: float
    patch: pytest.MonkeyPatch
    waiting: float = WAITING
    now_ns: int = 0
    outcomes: dict[str, Any] = field(default_factory=dict)
    first_update_ns: int | None = None

    def __post_init__(self) -> None:
        self.patch.setattr(conducting, "time", SimpleNamespace(perf_counter=lambda: self.now_ns / 1e9))
        self.planner = profile_plan.profile_plan(lambda: healthy_cpu().workload, self.left_s)
        self.plan = next(self.planner)
        clock = StepClock(lambda: self.now_ns)
        loaders = SimpleNamespace(
            deliveries=SimpleNamespace(hold_ends=False),
            in_flight_batches=lambda: 0,
            fetching_workers=lambda: 0,
            busy_workers=lambda _pace: None,
            switches=0,
            take_read_anew=lambda: 0,
            is_caching=False,
            together=contextlib.nullcontext,
            end_epoch_now=lambda: None,
        )
        roots = Roots(clock)
        controls = Controls(clock, roots, Steps(clock), loaders, Precision(roots))
        conductor = conducting.Conductor(controls, self, Instruments(), 0, self.leave, 0.0)
        clock.on_update = conductor.on_update
        self.outcomes = {}
        with contextlib.suppress(Left):
            self.train(clock)

    def left_s(self) -> float:
        first = self.now_ns if self.first_update_ns is None else self.first_update_ns
        return self.budget_s - (self.now_ns - first) / 1e9

    @property
    def took_s(self) -> float:
        """From the first update's end on."""
        return self.budget_s - self.left_s()

    def train(self, clock: StepClock) -> None:
        for update_s in self.updates_s:
            self.spend(clock, DATA_WAIT, self.waiting * update_s)
            self.spend(clock, FORWARD, (1 - self.waiting) / 2 * update_s)
            self.spend(clock, BACKWARD, (1 - self.waiting) / 2 * update_s)
            self.first_update_ns = self.first_update_ns or self.now_ns
            clock.end_update()

    def spend(self, clock: StepClock, phase: int, seconds: float) -> None:
        clock.push(phase)
        self.now_ns += round(seconds * 1e9)
        clock.pop()

    def leave(self, _reason: str) -> None:
        raise Left

    # --- the channel, with the controller behind it ---

    def send(self, message: Any) -> None:
        if isinstance(message, wire.WindowDone | wire.WindowRefused):
            self.outcomes[message.id] = message

    def poll(self) -> list[wire.Plan]:
        if self.plan and all(window.id in self.outcomes for window in self.plan):
            self.plan = self.planner.send(self.outcomes)
            if any(window.id not in (profile_plan.FIRST, profile_plan.AGAIN) for window in self.plan):
                raise Left  # what is read from them is known
        elif self.outcomes:
            return []
        plan = [window for window in self.plan if window.id not in self.outcomes]
        return [wire.Plan(plan, final=False)] if self.take(plan) else []

    wait = poll

    def take(self, plan: list[wire.Window]) -> bool:
        sent, self.sent = getattr(self, "sent", None), [window.id for window in plan]
        return sent != self.sent


class Instruments:
    def enter(self, _window: wire.Window) -> None: ...

    def begin(self, _window: wire.Window) -> None: ...

    def leave(self, _window: wire.Window) -> None: ...

    def on_report(self, _window: wire.Window) -> None: ...

    def recorder(self) -> Recorder:
        return Recorder(lambda: 1, None)

    def finish(self, _window: wire.Window) -> dict[str, Any]:
        return {"extra": {}}

    def samples_from(self) -> str:
        return "not known"


def profiled(
    updates_s: Iterable[float], budget_s: float, patch: pytest.MonkeyPatch, waiting: float = WAITING
) -> tuple[Script, Any]:
    script = Script(updates_s, budget_s, patch, waiting)
    window = profile_plan.first_baseline(script.outcomes)
    assert window is not None
    counted = Counted(window)
    evidence = evolve(
        healthy_cpu(),
        {
            "workload": {"loaders": (train_loader(num_workers=0),)},
            "steps": {"updates": counted.updates, "mean_s": sum(counted.wall_s) / counted.updates,
                      "steady": counted.steady, "share_error": counted.share_error},
            "phases": summary.phases(counted),
            "what_ifs": {"no_data_wait": None},
            "loader": None,
        },
    )  # fmt: skip
    return script, evidence


def constant(update_s: float) -> Iterator[float]:
    return itertools.repeat(update_s)


def scattered(update_s: float) -> Iterator[float]:
    numbers = random.Random(1)
    return (update_s * numbers.choice([0.2, 0.6, 1.0, 2.2]) for _ in itertools.count())


def spread(update_s: float, deviation: float, seed: int) -> Iterator[float]:
    """Lengths whose logarithms are normal: long updates are further off than short ones."""
    numbers = random.Random(seed)
    return (update_s * math.exp(numbers.gauss(0.0, deviation)) for _ in itertools.count())


def rules_that_spoke(evidence: Any) -> list[str]:
    return [finding.rule for finding in diagnose(evidence).findings]


@pytest.mark.parametrize("update_s", [0.01, 0.2, 0.4, 0.5, 0.75, 0.95, 1.0, 2.0, 3.0])
def test_constant_updates_are_judged_within_the_usual_budget(update_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    script, evidence = profiled(constant(update_s), enough.USUAL_BUDGET_S, monkeypatch)
    assert "input_bound" in rules_that_spoke(evidence)
    assert script.took_s <= enough.USUAL_BUDGET_S


@pytest.mark.parametrize("update_s", [0.35, 0.4, 0.45])
def test_updates_that_settle_late_are_counted_again(update_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten updates the first half is warm-up, and five of them are no ground for a judgement."""
    late = itertools.chain([1.5 * update_s] * 8, [update_s, 1.01 * update_s] * 999)
    script, evidence = profiled(late, enough.USUAL_BUDGET_S, monkeypatch)
    steps = evidence.steps
    assert enough.too_few_updates(steps.updates, steps.mean_s, steps.steady) is None
    assert script.took_s <= 0.8 * enough.USUAL_BUDGET_S


@pytest.mark.parametrize("update_s", [5.0, 10.0])
def test_constant_updates_of_many_seconds_are_waited_for(update_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    script, evidence = profiled(constant(update_s), enough.USUAL_BUDGET_S, monkeypatch)
    assert "input_bound" in rules_that_spoke(evidence)
    assert script.took_s <= 7 * update_s


@pytest.mark.parametrize("updates", [constant, scattered])
@pytest.mark.parametrize("update_s", [0.1, 0.4, 0.95, 3.0, 10.0])
def test_the_budget_that_the_report_asks_for_is_enough(
    updates: Callable[[float], Iterator[float]], update_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget_s = enough.budget_s(update_s)
    script, evidence = profiled(updates(update_s), budget_s, monkeypatch)
    assert "input_bound" in rules_that_spoke(evidence)
    assert script.took_s <= budget_s


@settings(max_examples=150, deadline=None)
@given(
    update_s=st.floats(min_value=0.002, max_value=30.0),
    deviation=st.floats(min_value=0.0, max_value=0.6),
    budget_s=st.floats(min_value=20.0, max_value=600.0),
    waiting=st.floats(min_value=0.2, max_value=0.97),
    seed=st.integers(min_value=0, max_value=99),
)
def test_what_the_phases_decide_is_said_however_long_and_uneven_updates_are(
    update_s: float, deviation: float, budget_s: float, waiting: float, seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _script, evidence = profiled(spread(update_s, deviation, seed), budget_s, patch, waiting)
        assert evidence.steps.share_error is not None
        assert evidence.steps.share_error < waiting - WARNING_SHARE
        assert "input_bound" in rules_that_spoke(evidence)


@settings(max_examples=100, deadline=None)
@given(
    update_s=st.floats(min_value=0.01, max_value=30.0),
    deviation=st.floats(min_value=0.0, max_value=0.3),
    gain=st.floats(min_value=0.5, max_value=3.0),
    width=st.floats(min_value=1.0, max_value=4.0),
)
def test_what_a_what_if_decides_is_said_and_what_it_refutes_is_not(
    update_s: float, deviation: float, gain: float, width: float
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        script, evidence = profiled(spread(update_s, deviation, 0), enough.USUAL_BUDGET_S, patch, 0.5)
    tried = what_if("no_data_wait", gain, gain / width, gain * width)
    said = "input_bound" in rules_that_spoke(evolve(evidence, {"what_ifs": tried}))
    if gain / width > 1.0:
        assert said
    if gain * width < 1.0:
        assert not said
    assert script.outcomes


def test_a_rule_without_a_share_of_its_own_is_not_judged_by_a_handful(monkeypatch: pytest.MonkeyPatch) -> None:
    _script, evidence = profiled(scattered(3.0), enough.USUAL_BUDGET_S, monkeypatch)
    diagnosis = diagnose(evolve(evidence, {"phases": {"optimizer": 0.08}}))
    assert "input_bound" in [finding.rule for finding in diagnosis.findings]
    assert "optimizer_bound" in [one.rule for one in diagnosis.abstained]


def test_a_share_is_not_said_where_a_few_updates_differ_in_it() -> None:
    unlike = [done("as written", [1.0] * 5, evaluation_s=[0.0, 0.0, 0.9, 0.0, 0.0])]
    error = Counted(unlike[0]).share_error
    assert error is not None
    evidence = evolve(healthy_cpu(off_step={"evaluation": 0.3}), {"steps": {"updates": 4, "share_error": error}})
    assert error > 0.3
    assert "evaluation_heavy" in [one.rule for one in diagnose(evidence).abstained]
    sure = evolve(evidence, {"steps": {"share_error": 0.05}})
    assert "evaluation_heavy" in rules_that_spoke(sure)


@pytest.mark.parametrize(("update_s", "asked"), [(0.01, "60"), (0.95, "90"), (10.0, "8m")])
def test_the_report_asks_for_a_budget_that_fits_the_update(update_s: float, asked: str) -> None:
    from dataclasses import replace

    profile = sample.healthy()
    assert profile.steps is not None
    steps = replace(profile.steps, updates=4, steady=False, mean_s=update_s, low=None, high=None)
    abstained = tuple(replace(one) for one in diagnose(evolve(healthy_cpu(), {"steps": {"updates": 2}})).abstained)
    verdict = verdict_of(replace(profile, steps=steps, findings=(), abstained=abstained))
    assert f"profile --budget {asked} " in verdict.next_command
