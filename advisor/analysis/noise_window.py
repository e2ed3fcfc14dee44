"""Window in which the gradient noise scale is measured: halves of a batch against the whole, in throwaway updates."""

from __future__ import annotations

from .. import knobs, wire
from ..runtime.session import Planner
from ..runtime.session_result import SessionResult
from ..types import Hardware, NoiseScale, SettingValue, Workload
from .noise_scale import noise_scale, rows_of

NAME = "noise scale"
UPDATES = 48
"""Updates of the window: the interval of the ratio is then about a third wide at a batch near the noise scale."""
LEAST_UPDATES = 12
MAX_S = 12.0
MOST_OF_TIME = 0.1
"""Part of the time left to a search that the window may take."""


def window(workload: Workload, hardware: Hardware) -> wire.Window | str:
    """Return the window, or the reason why there can be none."""
    stepping = sum(optimizer.steps_per_update > 0 for optimizer in workload.optimizers)
    reasons = {
        f"{workload.world_size} ranks: the parts of a batch are not seen alone": workload.world_size > 1,
        "the optimizer is stepped with a closure, which runs forward and backward itself": workload.facts.closures,
        f"{stepping} optimizers step: their backward passes are no parts of one batch": stepping > 1,
    }
    why = next((reason for reason, holds in reasons.items() if holds), None)
    if why is not None:
        return why
    config: dict[str, SettingValue] = {}
    if workload.facts.micro_steps == 1:
        knob = next(knob for knob in knobs.all_knobs() if knob.samples_per == "backward")
        values = knob.values(hardware, workload)
        if not values.values:
            return values.why_closed or "a batch cannot be split"
        config = {knob.id: max(values.values)}
    return wire.Window(
        id=NAME,
        kind="noise_scale",
        config=config,
        natural=False,
        warm_up_updates=3,
        min_updates=UPDATES,
        max_updates=UPDATES,
        least_updates=LEAST_UPDATES,
        max_s=MAX_S,
    )


def plan(workload: Workload, hardware: Hardware, update_s: float, left_s: float) -> Planner:
    """Plan the window of a search, if it is possible and cheap beside the time that is left."""
    planned = window(workload, hardware)
    cost_s = min(MAX_S, (UPDATES + planned.warm_up_updates) * update_s) if isinstance(planned, wire.Window) else 0.0
    if isinstance(planned, wire.Window) and cost_s < MOST_OF_TIME * left_s:
        yield [planned]


def measured(result: SessionResult) -> NoiseScale | None:
    """Return what the window shows; None if it was not run, or shows too little."""
    done = result.outcomes.get(NAME)
    if not isinstance(done, wire.WindowDone):
        return None
    return noise_scale(rows_of(done.extra.get("gradient_norms", {})))


def why_none(result: SessionResult) -> str | None:
    """Return why a window that was run shows nothing; None if it does, or was not run."""
    done = result.outcomes.get(NAME)
    if not isinstance(done, wire.WindowDone) or measured(result) is not None:
        return None
    count = len(rows_of(done.extra.get("gradient_norms", {})))
    return f"{count} updates with several backward passes of as many samples each were seen"
