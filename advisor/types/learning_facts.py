"""Facts about how a script learns: its gradients, the size of its updates, its length and its evaluation losses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EvaluationLoss:
    """Loss of one evaluation of the script's own."""

    updates: int
    """Updates of the script run before it."""
    loss: float
    """Mean over its samples."""
    batches: int
    error: float | None = None
    """Standard error of the mean, by the spread of its batches; None for fewer than two."""


@dataclass(frozen=True, kw_only=True)
class LearningFacts:
    """Observations of the learning itself by the agent; anything not seen is None or empty."""

    scans: int = 0
    """Updates after which all parameters were looked at."""
    dead: tuple[str, ...] = ()
    """Names of parameters that an optimizer owns and that never had a gradient; "" if no model holds one."""
    dead_elements: int = 0
    orphan_elements: int = 0
    """Elements of those that belong to no model of the process."""
    owned_elements: int = 0
    """Elements of all parameters of the optimizers that stepped."""
    unowned: tuple[str, ...] = ()
    """Names of parameters that get gradients, belong to no optimizer and kept their values."""
    unowned_elements: int = 0
    frozen_owned: tuple[str, ...] = ()
    """Names of parameters with `requires_grad=False` that an optimizer owns."""
    frozen_owned_elements: int = 0
    clip_limit: float | None = None
    """`max_norm` of the script's last call of `clip_grad_norm_`; None if it made none."""
    clip_norms: tuple[float, ...] = ()
    """Norms that some of these calls found, in their order."""
    clipped: int = 0
    """Calls among them whose norm was above the limit."""
    moved: tuple[float, ...] = ()
    """Size of an update, relative to the parameters, in some updates: the median over tensors of |Δw| / |w|."""
    first_loss: float | None = None
    """Loss of the first update."""
    first_rate: float | None = None
    """Learning rate of the main optimizer's first update."""
    largest_rate: float | None = None
    """Largest rate seen since."""
    attention: bool = False
    """The trained model has attention layers."""
    norm_last: bool = False
    """A layer normalises after its residual addition, as `nn.TransformerEncoderLayer` does by default."""
    planned_updates: int | None = None
    """Updates of the whole training, by the loops around the optimizer's step; None if these do not say."""
    planned_epochs: int | None = None
    evaluates_with_gradients: bool = False
    """The script evaluates its model with gradients on."""
    evaluations: tuple[EvaluationLoss, ...] = ()
