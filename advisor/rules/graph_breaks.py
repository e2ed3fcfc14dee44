"""Code that torch compiles goes back to Python at some lines."""

from __future__ import annotations

from ..types import Evidence, GraphBreak, Place
from ._base import Example, Hit, Judgement, Rule
from ._examples import healthy_cpu, healthy_cuda, what_if
from ._read import MAX_PLACES
from ._trend_examples import graph_break

MIN_PLACES = 1
"""Places from which it is reported: a single `print` in a model's forward leaves two graphs and no fusion across it."""
SMALL_GAIN = 1.05
"""Gain of the compiled code below which breaks are a warning: it is hardly worth its compile time."""


def judge(evidence: Evidence) -> Judgement:
    breaks = evidence.workload.facts.compiled_breaks
    if len(breaks) < MIN_PLACES:
        return None
    eager = evidence.what_ifs.get("no_compile")
    gains = None if eager is None else 1 / eager.speedup
    in_vain = gains is not None and gains < SMALL_GAIN
    return Hit(
        severity="warning" if in_vain else "info",
        evidence=f"torch.compile splits the code at {_counted(breaks)}: {_words(breaks[0])}."
        + (f" Compiled, the updates are {gains:.2f} times as fast as eagerly." if gains is not None else ""),
        advice="Move what cannot be compiled (`print`, `.item()`, NumPy, branches on a tensor's value) out of the "
        'compiled function, or compile the parts beside it; `fullgraph=True` and `TORCH_LOGS="graph_breaks"` name '
        "every place.",
        where=tuple(Place(file=each.file, line=each.line, function=each.function) for each in breaks[:MAX_PLACES]),
    )


def _counted(breaks: tuple[GraphBreak, ...]) -> str:
    return "one line" if len(breaks) == 1 else f"{len(breaks)} lines"


def _words(found: GraphBreak) -> str:
    return f"line {found.line} of {found.file.rpartition('/')[2]} ({found.reason})"


_ITEM = {"compiled_breaks": (graph_break(),), "compiled_code": True}

RULE = Rule(
    id="graph_breaks",
    title="torch.compile splits the code at some lines",
    headline="compiles code that goes back to Python at some lines",
    looks_at="The reasons that Dynamo gives for ending a graph, with the innermost line of the script, and the what-if "
    "no_compile.",
    thresholds=("MIN_PLACES", "SMALL_GAIN"),
    source="PyTorch's documentation of graph breaks; Dynamo counts them itself.",
    url="https://docs.pytorch.org/docs/stable/torch.compiler_troubleshooting.html",
    applies=lambda evidence: evidence.workload.facts.compiled_code,
    needs_updates=False,
    judge=judge,
    examples=(
        Example(
            name="a value is read in the model's forward",
            evidence=healthy_cpu(workload={"facts": _ITEM}),
            fires=True,
        ),
        Example(
            name="breaks, and nothing gained by compiling",
            evidence=healthy_cuda(workload={"facts": _ITEM}, what_ifs=what_if("no_compile", 0.99)),
            fires=True,
        ),
        Example(name="one graph", evidence=healthy_cpu(workload={"facts": {"compiled_code": True}}), fires=False),
        Example(name="nothing is compiled", evidence=healthy_cpu(), fires=False),
    ),
)
