"""A model of a library trains from random weights although the library has trained ones for it."""

from __future__ import annotations

from ..types import Evidence, PublishedWeights
from ._base import Example, Hit, Judgement, Rule
from ._examples import healthy_cpu, healthy_cuda

MIN_PARAMETERS = 1_000_000
"""Fewest parameters: smaller models are trained quickly from any weights."""


def judge(evidence: Evidence) -> Judgement:
    found = [one for one in evidence.workload.facts.published_weights if one.parameters >= MIN_PARAMETERS]
    if not found:
        return None
    first = max(found, key=lambda one: one.parameters)
    return Hit(
        severity="info",
        evidence=f"{first.class_name} ({first.parameters:,} parameters) starts from random weights: none were seen to "
        "be loaded into it.",
        advice=f"Trained weights are published for a model of this size: `{first.call}`. Training from them usually "
        "takes far fewer updates on data of the same kind. It is another training, so compare the losses; for a "
        "training from scratch nothing is wrong.",
    )


def _weights(parameters: int) -> dict[str, object]:
    call = 'torchvision.models.resnet18(weights="DEFAULT")'
    return {
        "workload": {
            "facts": {
                "published_weights": (PublishedWeights(class_name="ResNet", parameters=parameters, call=call),),
            }
        }
    }


RULE = Rule(
    id="random_weights",
    title="random weights where trained ones are published",
    looks_at="Called models whose class comes from torchvision, timm or transformers, of a size that the library has "
    "weights for, and whether any weights were loaded into them.",
    thresholds=("MIN_PARAMETERS",),
    source="He et al., Rethinking ImageNet Pre-training (2018): training from trained weights converges earlier, even "
    "where it does not end better. It concerns the number of updates, not the time of one, and is never a warning.",
    url="https://arxiv.org/abs/1811.08883",
    judge=judge,
    needs_updates=False,
    examples=(
        Example(name="a ResNet-18 with a head of its own", evidence=healthy_cpu(**_weights(11_181_642)), fires=True),
        Example(name="the same on an accelerator", evidence=healthy_cuda(**_weights(11_181_642)), fires=True),
        Example(name="a model just below a million", evidence=healthy_cpu(**_weights(999_999)), fires=False),
        Example(name="a model of the script's own", evidence=healthy_cpu(), fires=False),
    ),
)
