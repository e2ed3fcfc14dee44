"""From windows to the outcome of a trial."""

from __future__ import annotations

from advisor import wire
from advisor.runtime.session_result import SessionResult
from advisor.search import scoring


def window(name: str, set_up_s: float | None) -> wire.WindowDone:
    return wire.WindowDone(
        rank=0,
        id=name,
        start_s=0.0,
        wall_s=[0.1, 0.1],
        phases_s={"forward": [0.1, 0.1]},
        off_step_s={},
        micro_steps=[1, 1],
        samples=[8, 8],
        samples_from="indices",
        losses=[1.0, 1.0],
        dropped_updates=3,
        set_up_s=set_up_s,
    )


def test_what_compiling_cost_once_is_the_most_that_a_window_saw() -> None:
    result = SessionResult()
    for name, cost_s in (("a", 21.0), ("b", 20.0), ("c", None)):
        result.windows[name] = wire.Window(id=name, role=wire.WindowRole.TRIAL)
        result.outcomes[name] = window(name, cost_s)
    assert scoring.outcome_of(result, ["a", "b", "c"]).set_up_s == 21.0
    assert scoring.outcome_of(result, ["c"]).set_up_s is None
