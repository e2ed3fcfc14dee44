"""Keep Python's garbage collector away from objects that live as long as the training.

Python looks through all of a script's containers again and again. `freeze` collects once and takes what lives then out
of these searches (`gc.freeze`). `between_updates` also postpones the collections that come due within an update to its
end. What is frozen and unreachable later stays in memory, so neither helps a script that replaces its data in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import Knob, PlainObjects, Unable, Values, always, noticing, one_of

if TYPE_CHECKING:
    from typing import Any

    from ..types import Hardware, Workload

FREEZE, BETWEEN_UPDATES = "freeze", "between_updates"


def _values(_hardware: Hardware, _workload: Workload) -> Values:
    return Values(values=(FREEZE, BETWEEN_UPDATES), why="the collector searches objects that live on")


def _plain(_objects: PlainObjects, value: Any) -> str | None:
    import gc

    gc.collect()
    gc.freeze()
    return None if value == FREEZE else "call gc.collect() between updates, or use advisor.apply()"


def _in_python(value: Any, _training: Any) -> dict[str, Any] | Unable:
    lines = ["gc.collect()", "gc.freeze()  # what lives now is searched no more"]
    content = {"imports": ["import gc"], "prepare": lines}
    if value == FREEZE:
        return content
    return Unable("collecting between updates needs a line in the loop", content=content)


KNOB = Knob(
    id="gc",
    title="Python's garbage collector",
    values=_values,
    example=FREEZE,
    effect=always("exact"),
    apply=lambda controls, value: controls.garbage_collection.set(value),
    restore=lambda controls: controls.garbage_collection.restore(),
    wrong=one_of(FREEZE, BETWEEN_UPDATES),
    after_first_update=True,  # what an optimizer and a loader make with their first use is to be frozen, too
    by_hand="gc.collect(); gc.freeze() after the first update",
    by_hand_of={
        BETWEEN_UPDATES: "gc.collect(); gc.freeze() after the first update, then gc.set_threshold(100_000) and "
        "gc.collect(1) after each update"
    },
    noticed=noticing("Memory", "objects of the first update that form cycles stay in memory until the script ends"),
    plain=_plain,
    formats={"python": _in_python},
    opened_by=("gc_pauses",),
    changes="Objects that live after the first update, and become garbage in cycles later, stay in memory.",
    hooks=(),
    hooks_of={BETWEEN_UPDATES: ("steps",)},
)
