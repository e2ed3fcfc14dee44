"""SGD with one learning rate from the first update to the last."""

from __future__ import annotations

from ..types import Evidence
from ._base import Example, Hit, Judgement, Rule
from ._examples import healthy_cpu, healthy_cuda, optimizer

CLASSES = ("SGD",)
"""Optimizers whose result depends most on a falling rate; adaptive ones are often run at one rate on purpose."""
MIN_PARAMETERS = 1_000_000
"""Fewest parameters: smaller models are trained quickly enough at any rate."""


def judge(evidence: Evidence) -> Judgement:
    main = evidence.workload.main_optimizer
    if main is None or main.class_name not in CLASSES or main.parameters < MIN_PARAMETERS:
        return None
    if main.has_schedule is not False or len(evidence.workload.optimizers) > 1:
        return None
    rate = f" of {main.learning_rate:g}" if main.learning_rate is not None else ""
    return Hit(
        severity="info",
        evidence=f"{main.class_name} has a constant learning rate{rate}: there is no scheduler, and the rate did not "
        "change.",
        advice="A schedule with warm-up and decay (one-cycle or cosine) often reaches the same loss in fewer epochs. "
        "It changes training, so compare the losses.",
    )


RULE = Rule(
    id="fixed_learning_rate",
    title="SGD with a constant learning rate",
    looks_at="The main optimizer's class and size, whether it has a scheduler, and whether its learning rate changed.",
    thresholds=("CLASSES", "MIN_PARAMETERS"),
    source="Smith and Topin, Super-Convergence (2018). It concerns the number of updates, not the time of one, and is "
    "never a warning.",
    url="https://docs.pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate",
    knobs=("lr_schedule", "learning_rate"),
    judge=judge,
    needs_updates=False,
    examples=(
        Example(
            name="SGD over 12 million parameters, no schedule",
            evidence=healthy_cpu(
                workload={"optimizers": (optimizer(class_name="SGD", momentum=0.9, has_schedule=False),)}
            ),
            fires=True,
        ),
        Example(
            name="the same on an accelerator, rate unknown",
            evidence=healthy_cuda(
                workload={"optimizers": (optimizer(class_name="SGD", has_schedule=False, learning_rate=None),)}
            ),
            fires=True,
        ),
        Example(
            name="SGD with a schedule",
            evidence=healthy_cpu(workload={"optimizers": (optimizer(class_name="SGD", momentum=0.9),)}),
            fires=False,
        ),
        Example(
            name="AdamW at one rate",
            evidence=healthy_cpu(workload={"optimizers": (optimizer(has_schedule=False),)}),
            fires=False,
        ),
        Example(
            name="unknown whether there is a schedule",
            evidence=healthy_cpu(workload={"optimizers": (optimizer(class_name="SGD", has_schedule=None),)}),
            fires=False,
        ),
    ),
)
