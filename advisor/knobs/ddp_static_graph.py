"""Promise to torch's reducer that every update uses the same parameters, in the same order.

It then learns in the first update what it else searches the graph for in each: parameters that are not used. A model
that uses other parameters later, such as one that is unfrozen in stages, ends with an error of torch's. So it is never
tried unless it is asked for. Only the copies of `parallelism=ddp` have a reducer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import Knob, Values, always, truth, unable
from .parallelism import why_single

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls


def _values(hardware: Hardware, workload: Workload) -> Values:
    unknown = "nobody but the script's author knows that every update will use the same parameters"
    return Values(why_closed=why_single(hardware, workload) or unknown)


def _apply(controls: Controls, value: Any) -> None:
    controls.parallel.choose("static_graph", value or None)


KNOB = Knob(
    id="ddp_static_graph",
    title="same parameters used in every update",
    values=_values,
    example=True,
    effect=always("numerics"),
    apply=_apply,
    restore=lambda controls: controls.parallel.choose("static_graph", None),
    scope="launch",
    starts_ranks=True,
    wrong=truth,
    needs="processes",
    by_hand="DistributedDataParallel(model, static_graph={value})",
    formats={"torchrun": unable("a launcher only starts processes")},
    changes="The training ends with an error if an update uses other parameters than the first ones. Where it "
    "accumulates, every backward communicates.",
)
