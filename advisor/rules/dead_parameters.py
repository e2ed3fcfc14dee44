"""An optimizer owns parameters that never get a gradient."""

from __future__ import annotations

from ..types import Evidence
from ._base import Example, Hit, Judgement, Rule
from ._learning import example, learning, names_of, undecided
from ._read import percent

LEAST_SCANS = 3
"""Updates to look at: layers that are left out at random, and experts without input, miss one or two."""
WARNING_FRACTION = 0.1
"""Part of the optimizer's parameters from which it is a warning. Libraries leave a small layer unused on purpose, as a
pooler without a classifier: 0.5% of BERT."""


def judge(evidence: Evidence) -> Judgement:
    facts = learning(evidence)
    if not facts.dead_elements:
        return None
    if facts.scans < LEAST_SCANS:
        return undecided(f"the gradients of {facts.scans} updates were looked at, and {LEAST_SCANS} are needed")
    fraction = facts.dead_elements / max(facts.owned_elements, facts.dead_elements)
    orphans = facts.orphan_elements
    belong = f"; {orphans:,} of these belong to no model that is still there" if orphans else ""
    return Hit(
        severity="warning" if fraction >= WARNING_FRACTION else "info",
        evidence=f"{names_of(facts.dead)} ({facts.dead_elements:,} parameters, {percent(fraction)} of the optimizer's) "
        f"never got a gradient, although they require one and the optimizer owns them{belong}.",
        advice="Look for a layer that `forward` does not call, a `detach()` or `no_grad()` in front of the loss, and a "
        "layer that was replaced after the optimizer was made. If they are not needed, remove them.",
    )


RULE = Rule(
    id="dead_parameters",
    title="parameters that never get a gradient",
    headline="trains a model with parameters that never get a gradient",
    looks_at="Gradients of the optimizers' parameters right after some steps, and what the optimizers keep for each.",
    thresholds=("LEAST_SCANS", "WARNING_FRACTION"),
    source="DistributedDataParallel's error on unused parameters (`find_unused_parameters`), which one process never "
    "shows.",
    url="https://docs.pytorch.org/docs/stable/notes/ddp.html#internal-design",
    needs_updates=False,
    applies=lambda evidence: not any(model.distributed for model in evidence.workload.models),
    judge=judge,
    examples=(
        Example(
            name="a layer that forward does not call",
            evidence=example(facts={"dead": ("extra.weight", "extra.bias"), "dead_elements": 2_000_000}),
            fires=True,
        ),
        Example(
            name="a head that was replaced after the optimizer was made",
            evidence=example(facts={"dead": ("", ""), "dead_elements": 5_130, "orphan_elements": 5_130}),
            fires=True,
        ),
        Example(
            name="two updates looked at",
            evidence=example(facts={"dead": ("extra.weight",), "dead_elements": 2_000_000, "scans": 2}),
            fires="abstains",
        ),
        Example(name="every parameter gets a gradient", evidence=example(), fires=False),
        Example(
            name="parameters that are frozen on purpose",
            evidence=example(facts={"frozen_owned": ("embed.weight",), "frozen_owned_elements": 500_000}),
            fires=False,
        ),
    ),
)
