"""Hidden matrices of a model updated by torch's Muon, everything else by the script's own optimizer.

Muon steps with matrices whose singular values are all alike (Jordan et al. 2024). It is for weights between hidden
layers; embeddings, the last layer, biases and norms stay with the optimizer of the script, which keeps its schedulers,
its clipping and its scaling of the loss. Scaled like AdamW's, Muon's steps take the same learning rate and decay.
"""

from __future__ import annotations

from typing import Any

from ...refused import Refused
from ..base import agent_optimizers
from ..loop.roots import modules_without_parent
from ..loop.steps import Steps

LEAST_SIDE = 16
"""Shorter sides of matrices that are left to the script's optimizer: orthogonalizing them costs more than it gives."""
ADJUSTED = "match_rms_adamw"
"""torch's name for steps as long as those of AdamW."""


class HiddenMuon:
    """Muon beside the main optimizer, one instance per process; nothing is touched until it is set."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._handles: list[Any] = []
        self._muon: Any = None
        self._groups: list[tuple[dict[str, Any], dict[str, Any]]] = []
        """Group of the script's optimizer, and Muon's group of its hidden matrices."""
        self._kept: list[tuple[Any, Any]] = []
        """Hidden matrices of the running step, with their gradients."""

    def set(self) -> None:
        """Update hidden matrices by Muon from the next step on. Raises Refused."""
        import torch

        self.restore()
        main = next((optimizer for optimizer, _record, is_main in self._steps.optimizers() if is_main), None)
        if main is None:
            raise Refused("no optimizer has stepped yet")
        if not hasattr(torch.optim, "Muon"):
            raise Refused(f"torch {torch.__version__} has no Muon: 2.9 is the first that has it")
        if self._steps.closures_seen:
            raise Refused("the optimizer is stepped with a closure, which makes the gradients inside the step")
        hidden = _hidden_matrices(torch)
        groups = [
            (group, {"params": found, "lr": group["lr"], "weight_decay": group.get("weight_decay", 0.0)})
            for group in main.param_groups
            if (found := [parameter for parameter in group["params"] if id(parameter) in hidden])
        ]
        if not groups:
            raise Refused(f"{type(main).__name__} owns no hidden matrix of at least {LEAST_SIDE} × {LEAST_SIDE}")
        self._muon = torch.optim.Muon([own for _group, own in groups], adjust_lr_fn=ADJUSTED)
        agent_optimizers.add(self._muon)
        self._groups = [(group, own) for (group, _), own in zip(groups, self._muon.param_groups)]
        self._handles = [
            main.register_step_pre_hook(self._before_step),
            main.register_step_post_hook(self._after_step),
        ]

    def restore(self) -> None:
        """Leave all parameters to the script's optimizer again, which never saw what Muon keeps."""
        for handle in self._handles:
            handle.remove()
        self._give_back()
        self._handles, self._groups, self._muon = [], [], None

    def _before_step(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        self._give_back()
        if getattr(optimizer, "grad_scale", None) is not None:
            return  # a fused step unscales gradients itself, and decides whether there is one
        for _group, own in self._groups:
            for parameter in own["params"]:
                self._kept.append((parameter, parameter.grad))
                parameter.grad = None

    def _after_step(self, _optimizer: Any, _args: Any, _kwargs: Any) -> None:
        if not self._kept:
            return
        self._give_back()
        for group, own in self._groups:
            own["lr"], own["weight_decay"] = group["lr"], group.get("weight_decay", 0.0)
        # Without torch's hooks of steps, which would take it for an optimizer of the script.
        type(self._muon).step.__wrapped__(self._muon)

    def _give_back(self) -> None:
        """Put the gradients back, also those of a step that failed."""
        for parameter, gradient in self._kept:
            if parameter.grad is None:
                parameter.grad = gradient
        self._kept.clear()


def _hidden_matrices(torch: Any) -> set[int]:
    """Return the ids of the weights of linear layers, without each model's last one and what an embedding shares."""
    hidden: set[int] = set()
    shared: set[int] = set()
    for root in modules_without_parent():
        inner = list(root.modules())
        linear = [module.weight for module in inner if isinstance(module, torch.nn.Linear)][:-1]
        attention = [
            module.in_proj_weight
            for module in inner
            if isinstance(module, torch.nn.MultiheadAttention) and module.in_proj_weight is not None
        ]
        hidden |= {id(weight) for weight in (*linear, *attention) if min(weight.shape) >= LEAST_SIDE}
        shared |= {id(module.weight) for module in inner if isinstance(module, torch.nn.Embedding)}
    return hidden - shared
