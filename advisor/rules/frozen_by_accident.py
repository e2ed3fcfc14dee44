"""Parameters that look trained and are not: no optimizer owns them, or one owns them while they are frozen."""

from __future__ import annotations

from ..types import Evidence, LearningFacts
from ._base import Example, Hit, Judgement, Rule
from ._learning import example, learning, names_of, undecided
from ._read import percent

LEAST_SCANS = 3
"""Updates to look at: parameters that the script updates by hand must have had the time to change."""
DELIBERATE = 0.5
"""Part of the trainable parameters from which leaving them out of the optimizer is a choice: a head on a backbone."""


def judge(evidence: Evidence) -> Judgement:
    facts = learning(evidence)
    if not facts.unowned_elements and not facts.frozen_owned_elements:
        return None
    if facts.scans < LEAST_SCANS:
        return undecided(f"the gradients of {facts.scans} updates were looked at, and {LEAST_SCANS} are needed")
    return _unowned(facts) if facts.unowned_elements else _frozen(facts)


def _unowned(facts: LearningFacts) -> Hit:
    fraction = facts.unowned_elements / (facts.unowned_elements + facts.owned_elements)
    replaced = facts.orphan_elements > 0
    lost = f" The optimizer owns {facts.orphan_elements:,} parameters of no model instead." if replaced else ""
    return Hit(
        severity="warning" if replaced or fraction < DELIBERATE else "info",
        evidence=f"{names_of(facts.unowned)} ({facts.unowned_elements:,} parameters, {percent(fraction)} of the "
        f"trainable ones) get gradients, but no optimizer owns them: they never change.{lost}",
        advice="Make the optimizer after the model is complete, with the parameters of all its parts. If they are to "
        "stay as they are, say so: `requires_grad_(False)`.",
    )


def _frozen(facts: LearningFacts) -> Hit:
    fraction = facts.frozen_owned_elements / max(facts.owned_elements, facts.frozen_owned_elements)
    return Hit(
        severity="info",
        evidence=f"{names_of(facts.frozen_owned)} ({facts.frozen_owned_elements:,} parameters, {percent(fraction)} of "
        "the optimizer's) are frozen: `requires_grad` is False, and the optimizer never changes them.",
        advice="If they are to train, set `requires_grad_(True)`. If not, leave them out of the optimizer.",
    )


RULE = Rule(
    id="frozen_by_accident",
    title="parameters that look trained and are not",
    headline="leaves parameters of its model untrained",
    looks_at="Parameters of the called models that have gradients and belong to no optimizer of the process, whether "
    "their values change, and parameters of optimizers that require no gradient.",
    thresholds=("LEAST_SCANS", "DELIBERATE"),
    source="A layer replaced after the optimizer was made is a question asked again and again on PyTorch's forum.",
    url="https://docs.pytorch.org/docs/stable/optim.html#constructing-it",
    needs_updates=False,
    applies=lambda evidence: not any(model.distributed for model in evidence.workload.models),
    judge=judge,
    examples=(
        Example(
            name="a new head that the optimizer does not know",
            evidence=example(
                facts={"unowned": ("head.weight", "head.bias"), "unowned_elements": 5_130, "orphan_elements": 5_130}
            ),
            fires=True,
        ),
        Example(
            name="an optimizer over the head alone",
            evidence=example(facts={"unowned": ("backbone.0.weight",), "unowned_elements": 40_000_000}),
            fires=True,
        ),
        Example(
            name="a frozen table in the optimizer",
            evidence=example(facts={"frozen_owned": ("embed.weight",), "frozen_owned_elements": 500_000}),
            fires=True,
        ),
        Example(
            name="one update looked at",
            evidence=example(facts={"unowned": ("head.weight",), "unowned_elements": 5_120, "scans": 1}),
            fires="abstains",
        ),
        Example(name="one optimizer owns all", evidence=example(), fires=False),
        Example(
            name="parameters without a gradient",
            evidence=example(facts={"dead": ("extra.weight",), "dead_elements": 4_096}),
            fires=False,
        ),
    ),
)
