"""Scripts that no single loss judges: they are refused with the reason, before anything is tried."""

from __future__ import annotations

from ...types import Workload

ENOUGH_STEPS = 0.05
"""Steps per update from which an optimizer takes part in the training."""


def unsuitable(workload: Workload) -> str | None:
    """Return why the script cannot be judged by the time to a loss; None if it can."""
    facts = workload.facts
    stepping = [one for one in workload.optimizers if one.steps_per_update >= ENOUGH_STEPS]
    batches = facts.batches_per_update or 1.0
    if len(stepping) > 1 and facts.micro_steps > max(1.0, batches) + 0.5:
        return (
            f"{len(stepping)} optimizers step alternately, with {facts.micro_steps} backwards in an update: each has a "
            "loss of its own, as in a GAN, and neither of them says which training is better"
        )
    if facts.environment:
        return (
            "the script trains on what its own policy does in an environment: the losses of two policies are taken on "
            "different data, and the lower one says nothing"
        )
    return None
