"""Plain SGD, without momentum."""

from __future__ import annotations

from ..types import Evidence
from ._base import Example, Hit, Judgement, Rule
from ._examples import healthy_cpu, healthy_cuda, optimizer

MIN_PARAMETERS = 1_000_000
"""Fewest parameters: smaller models are trained quickly enough without momentum."""


def judge(evidence: Evidence) -> Judgement:
    main = evidence.workload.main_optimizer
    if main is None or main.class_name != "SGD" or main.momentum != 0.0:
        return None
    if main.parameters < MIN_PARAMETERS or len(evidence.workload.optimizers) > 1:
        return None
    return Hit(
        severity="info",
        evidence=f"SGD updates {main.parameters:,} parameters without momentum.",
        advice="`momentum=0.9` (`nesterov=True`) or an adaptive optimizer often reaches the same loss in fewer "
        "updates. It changes training, so compare the losses.",
    )


RULE = Rule(
    id="sgd_without_momentum",
    title="SGD without momentum",
    looks_at="The main optimizer's class, momentum and number of parameters.",
    thresholds=("MIN_PARAMETERS",),
    source="Sutskever et al., On the importance of initialization and momentum (2013). Never a warning: it is a "
    "choice.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html",
    knobs=("momentum", "optimizer"),
    judge=judge,
    needs_updates=False,
    examples=(
        Example(
            name="plain SGD over 12 million parameters",
            evidence=healthy_cpu(workload={"optimizers": (optimizer(class_name="SGD", momentum=0.0),)}),
            fires=True,
        ),
        Example(
            name="the same on an accelerator",
            evidence=healthy_cuda(workload={"optimizers": (optimizer(class_name="SGD", momentum=0.0),)}),
            fires=True,
        ),
        Example(
            name="with momentum",
            evidence=healthy_cpu(workload={"optimizers": (optimizer(class_name="SGD", momentum=0.9),)}),
            fires=False,
        ),
        Example(name="AdamW, which has none to set", evidence=healthy_cpu(), fires=False),
        Example(
            name="a small model",
            evidence=healthy_cpu(
                workload={"optimizers": (optimizer(class_name="SGD", momentum=0.0, parameters=10_000),)}
            ),
            fires=False,
        ),
    ),
)
