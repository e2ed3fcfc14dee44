"""An attention model under Adam that takes its full learning rate from the first update on."""

from __future__ import annotations

from ..types import Evidence
from ._base import Example, Hit, Judgement, Rule
from ._examples import optimizer
from ._learning import example, learning, main

CLASSES = ("Adam", "AdamW", "NAdam", "Adamax", "Lion")
"""Optimizers whose first steps are as long as later ones, however little is known of the gradients. RAdam corrects it
itself."""
LEAST_RATE = 3e-4
"""Rate below which training begins gently anyway, as in fine-tuning."""
MIN_PARAMETERS = 1_000_000
"""Fewest parameters: smaller models recover within a few updates."""
FULL = 0.9
"""Part of the largest rate seen from which the first one is the full one."""


def judge(evidence: Evidence) -> Judgement:
    facts, owner = learning(evidence), main(evidence)
    if owner is None or owner.class_name not in CLASSES or owner.parameters < MIN_PARAMETERS:
        return None
    first, largest = facts.first_rate, facts.largest_rate
    if not facts.attention or first is None or largest is None or first < LEAST_RATE or first < FULL * largest:
        return None
    last = (
        " Its layers normalise after the residual addition, which makes the first updates the least stable."
        if facts.norm_last
        else ""
    )
    return Hit(
        severity="info",
        evidence=f"{owner.class_name} takes the full learning rate of {first:g} in the first update of a model with "
        f"attention.{last}",
        advice="Raise the rate linearly over the first hundreds of updates (`LinearLR`, then the rest by "
        "`SequentialLR`)"
        ". Then a larger rate often works, too. It changes training, so compare the losses.",
    )


RULE = Rule(
    id="no_warmup",
    title="attention under Adam without warm-up",
    looks_at="Attention layers of the trained model, the main optimizer's class, and its learning rate in the first "
    "update and later.",
    thresholds=("CLASSES", "LEAST_RATE", "MIN_PARAMETERS", "FULL"),
    source="Xiong et al., On Layer Normalization in the Transformer Architecture (2020); Liu et al., On the Variance "
    "of the Adaptive Learning Rate and Beyond (2020). It concerns the number of updates, and is never a warning.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.LinearLR.html",
    knobs=("lr_schedule",),
    needs_updates=False,
    judge=judge,
    examples=(
        Example(
            name="AdamW at 1e-3 from the start, and a falling schedule",
            evidence=example(
                facts={"attention": True, "first_rate": 1e-3, "largest_rate": 1e-3},
                optimizer=optimizer(learning_rate=9.7e-4),
            ),
            fires=True,
        ),
        Example(
            name="the same with normalisation after the addition, at one rate",
            evidence=example(
                facts={"attention": True, "norm_last": True, "first_rate": 1e-3, "largest_rate": 1e-3},
                optimizer=optimizer(has_schedule=False),
            ),
            fires=True,
        ),
        Example(
            name="with warm-up",
            evidence=example(facts={"attention": True, "first_rate": 1e-6, "largest_rate": 8e-4}),
            fires=False,
        ),
        Example(
            name="fine-tuning at 2e-5",
            evidence=example(facts={"attention": True, "first_rate": 2e-5, "largest_rate": 2e-5}),
            fires=False,
        ),
        Example(name="no attention", evidence=example(facts={"first_rate": 1e-3, "largest_rate": 1e-3}), fires=False),
        Example(
            name="SGD",
            evidence=example(
                facts={"attention": True, "first_rate": 0.1, "largest_rate": 0.1},
                optimizer=optimizer(class_name="SGD", momentum=0.9),
            ),
            fires=False,
        ),
    ),
)
