"""Losses of the script's evaluations: torch's own loss functions, called without gradients after an evaluating forward.

Only functions that the training differentiates count. The values of one evaluation are weighted by their rows. They
stay where they are until the window's end: on a device, reading one would wait for it.
"""

from __future__ import annotations

import functools
import math
import threading
from typing import Any, Callable

from ..base.pass_through import stands_for
from ..base.patches import Patches
from ..loop.clock import StepClock

FUNCTIONS = (
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cross_entropy",
    "ctc_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
)
"""Functions of `torch.nn.functional`; the loss modules call them."""
MOST_KEPT = 200_000
"""Values kept in a window: a script that evaluates without end must not fill the memory."""


class EvaluationLosses:
    """Watch over torch's loss functions, from their installation on."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self._patches = Patches()
        self._trained: set[str] = set()
        self._seen: list[tuple[int, str, object, int]] = []
        """Updates that had ended, function, value, rows."""

    def install(self, torch: Any) -> None:
        functional = torch.nn.functional
        for name in FUNCTIONS:
            if hasattr(functional, name):
                self._patches.replace(functional, name, functools.partial(self._watched, torch, name))

    def _watched(self, torch: Any, name: str, original: Callable[..., Any]) -> Callable[..., object]:
        clock, compiling, grad_enabled = self._clock, torch.compiler.is_dynamo_compiling, torch.is_grad_enabled
        get_ident = threading.get_ident

        @stands_for(original)
        def watched(*args: Any, **kwargs: Any) -> object:
            value = original(*args, **kwargs)
            if compiling() or get_ident() != clock.owner:
                return value
            if grad_enabled():
                self._trained.add(name)
            elif clock.in_evaluation_span and len(self._seen) < MOST_KEPT:
                self._keep(name, value, args, kwargs)
            return value

        return watched

    def _keep(self, name: str, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            first = args[0] if args else kwargs["input"]
            rows = int(first.shape[0]) if first.dim() else 1
            if value.numel() != 1 or not rows:
                return
            mean = value.detach() / rows if kwargs.get("reduction") == "sum" else value.detach()
            self._seen.append((self._clock.updates, name, mean, rows))
        except (AttributeError, KeyError, IndexError, TypeError):
            return  # a tensor-like object of the script's own

    def begin(self) -> None:
        """Forget what was seen before a window."""
        self._seen.clear()

    def report(self) -> dict[str, object]:
        """Return [updates that had ended, mean loss] of each evaluation; None for one that is not finite."""
        sums: dict[int, tuple[float, int]] = {}
        for updates, name, value, rows in self._seen:
            if name in self._trained:
                total, count = sums.get(updates, (0.0, 0))
                sums[updates] = (total + float(value) * rows, count + rows)  # type: ignore[arg-type]
        self._seen.clear()
        means = [(updates, total / count) for updates, (total, count) in sorted(sums.items())]
        return {"evaluation_losses": [[at, mean if math.isfinite(mean) else None] for at, mean in means]}
