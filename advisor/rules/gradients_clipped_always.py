"""Gradient clipping that acts in nearly every update."""

from __future__ import annotations

import statistics

from ..types import Evidence
from ._base import Example, Hit, Judgement, Rule
from ._examples import optimizer
from ._learning import example, learning, main, undecided, warms_up
from ._read import percent

NEARLY_ALL = 0.95
"""Part of the calls from which clipping is no protection against rare large gradients any more."""
LEAST_CALLS = 20
"""Norms that must be known."""
FAR_ABOVE = 10.0
"""Median norm, in limits, from which plain SGD's rate is in truth another one by an order of magnitude."""
ADAPTIVE = ("Adam", "Lion", "RMSprop", "Adagrad", "Adafactor", "Muon", "Adadelta", "Rprop", "LAMB")
"""Optimizers whose step hardly depends on the size of a gradient that is scaled alike in all updates."""


def judge(evidence: Evidence) -> Judgement:
    facts, owner = learning(evidence), main(evidence)
    if facts.clip_limit is None or facts.clip_limit <= 0:
        return None
    count = len(facts.clip_norms)
    if count < LEAST_CALLS:
        return undecided(f"{count} calls of `clip_grad_norm_` were seen, and {LEAST_CALLS} are needed")
    if facts.clipped < NEARLY_ALL * count or warms_up(evidence):
        return None
    ratio = statistics.median(facts.clip_norms) / facts.clip_limit
    adaptive = owner is not None and any(name in owner.class_name for name in ADAPTIVE)
    return Hit(
        severity="warning" if ratio >= FAR_ABOVE and not adaptive else "info",
        evidence=f"`clip_grad_norm_` clipped the gradients in {percent(facts.clipped / count)} of {count} calls: their "
        f"norm is typically {ratio:.3g} times the limit of {facts.clip_limit:g}.",
        advice="Every gradient is cut to one length, "
        + (
            "which this optimizer mostly ignores. "
            if adaptive
            else f"so the learning rate that acts is about {1 / ratio:.2g} times the one given. "
        )
        + "Raise the limit above the usual norm, so that it acts on outliers only, or lower the rate if large norms "
        "are a sign of instability.",
    )


RULE = Rule(
    id="gradients_clipped_always",
    title="gradient clipping that always acts",
    headline="clips its gradients in nearly every update",
    looks_at="Norms that the script's calls of `clip_grad_norm_` return, and their limit.",
    thresholds=("NEARLY_ALL", "LEAST_CALLS", "FAR_ABOVE", "ADAPTIVE"),
    source="Pascanu, Mikolov and Bengio (2013), who take the limit from the average norm over many updates.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html",
    knobs=("learning_rate",),
    needs_updates=False,
    judge=judge,
    examples=(
        Example(
            name="norms of 4 under a limit of 0.1, with SGD",
            evidence=example(
                facts={"clip_limit": 0.1, "clip_norms": (4.0,) * 64, "clipped": 64},
                optimizer=optimizer(class_name="SGD", momentum=0.9),
            ),
            fires=True,
        ),
        Example(
            name="AdamW at norms of 1.7 and a limit of 1",
            evidence=example(facts={"clip_limit": 1.0, "clip_norms": (1.7,) * 64, "clipped": 63}),
            fires=True,
        ),
        Example(
            name="a tenth of the norms above the limit",
            evidence=example(facts={"clip_limit": 1.0, "clip_norms": (0.6,) * 58 + (3.0,) * 6, "clipped": 6}),
            fires=False,
        ),
        Example(name="no clipping", evidence=example(), fires=False),
        Example(
            name="the rate is still warming up",
            evidence=example(
                facts={
                    "clip_limit": 1.0,
                    "clip_norms": (9.0,) * 64,
                    "clipped": 64,
                    "first_rate": 1e-6,
                    "largest_rate": 3e-4,
                }
            ),
            fires=False,
        ),
        Example(
            name="six calls",
            evidence=example(facts={"clip_limit": 1.0, "clip_norms": (9.0,) * 6, "clipped": 6}),
            fires="abstains",
        ),
    ),
)
