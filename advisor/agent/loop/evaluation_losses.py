"""Losses of the script's evaluations: torch's loss functions called without gradients while a model is evaluated.

The functions are wrapped only from the beginning of an evaluation until the training continues, so a training pays
nothing. An evaluation begins with `model.eval()`, a batch of its loader or a call of the model: in
`cross_entropy(model(x), y)` the function is looked up before the call.
"""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any, Callable, NamedTuple

from ..base import modes
from ..base.pass_through import stands_for
from ..base.patches import Patches
from .clock import StepClock

FUNCTIONS = (
    "cross_entropy",
    "nll_loss",
    "mse_loss",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "ctc_loss",
    "gaussian_nll_loss",
    "kl_div",
)
GRADIENTS = {
    "cross_entropy": "NllLoss",
    "nll_loss": "NllLoss",
    "mse_loss": "MseLoss",
    "binary_cross_entropy_with_logits": "BinaryCrossEntropyWithLogits",
    "binary_cross_entropy": "BinaryCrossEntropyBackward",
    "smooth_l1_loss": "SmoothL1Loss",
    "huber_loss": "HuberLoss",
}
"""Function → begin of the name of its gradient's function, where that is one of its own."""
OF_AN_OUTPUT = "output"
"""Name of a loss that is an attribute or a key of a model's output."""
MOST_EVALUATIONS = 400
"""Evaluations kept; the oldest go first."""


class Evaluated(NamedTuple):
    """One evaluation."""

    updates: int
    loss: float
    batches: int
    error: float | None


class _Sums:
    """Losses of one evaluation by one function; values on a device stay there until they are asked for."""

    __slots__ = ("batches", "loss", "samples", "squares")

    def __init__(self) -> None:
        self.batches = self.samples = 0
        self.loss: Any = 0.0
        self.squares: Any = 0.0

    def add(self, loss: Any, samples: int) -> None:
        self.batches += 1
        self.samples += samples
        self.loss = self.loss + loss * samples
        self.squares = self.squares + loss * loss * samples

    def read(self, updates: int) -> Evaluated | None:
        loss = float(self.loss) / self.samples
        if loss - loss != 0:
            return None
        variance = max(0.0, float(self.squares) / self.samples - loss * loss)
        error = (variance / (self.batches - 1)) ** 0.5 if self.batches > 1 else None
        return Evaluated(updates, loss, self.batches, error)


class EvaluationLosses:
    """Collector of evaluations, one instance per process."""

    def __init__(self, clock: StepClock, trained: Callable[[], str | None] = lambda: None) -> None:
        """`trained` names the gradient's function of the training's loss."""
        self._clock = clock
        self._trained = trained
        self._sites: list[tuple[object, str, Any, Any]] | None = None
        self.wrapped = False
        """True while loss functions are wrapped: from the first sign of an evaluation until `rest`."""
        self._sums: dict[str, _Sums] = {}
        self._at = 0
        self._grad_enabled: Callable[[], bool] = bool
        self._unread: list[tuple[int, _Sums]] = []
        """Evaluations that are over, whose values may still be on a device."""
        self._read: list[Evaluated] = []
        self._patches = Patches()
        self.on_evaluation: Callable[[Evaluated], None] | None = None
        """Callback for an evaluation that is over, before the training continues; its loss is read for it."""

    def install(self) -> None:
        """Wrap `Module.eval`, which is called once an evaluation."""
        import torch

        self._patches.replace(torch.nn.Module, "eval", self._beginning)

    def _beginning(self, original: Any) -> Any:
        @stands_for(original)
        def eval(module: Any) -> Any:
            if self._patches.on and self._clock.mine():
                self.begins()
            return original(module)

        return eval

    def done(self) -> list[Evaluated]:
        """Return the evaluations so far; between updates, as values on a device are read."""
        read = [sums.read(updates) for updates, sums in self._unread]
        self._read = [*self._read, *(each for each in read if each is not None)][-MOST_EVALUATIONS:]
        self._unread = []
        return self._read

    # --- what is seen -------------------------------------------------------------------------------------------------

    def begins(self) -> None:
        """Prepare for an evaluation, at its first sign; never raise."""
        if not self.wrapped:
            try:
                self._clock.exclude(self._wrap)
            except Exception:  # a module of the user's may do anything when it is asked for its names
                self._sites = []

    def rest(self) -> None:
        """Take the wrappers away; called at a backward, as the script may have begun no evaluation."""
        if self.wrapped:
            self._unwrap()

    def saw_output(self, output: object) -> None:
        """Note the output of an evaluating call of a trained model; never raise."""
        try:
            loss = _loss_in(output)
            if loss is not None:
                self._add(OF_AN_OUTPUT, loss, 1)
        except Exception:  # a user's own output class may do anything when it is looked at
            return

    def training_continues(self) -> None:
        """End the evaluation, if there was one; called at the training's next batch or forward."""
        self.rest()
        trained, found = self._trained(), self._sums
        sums = {name: each for name, each in found.items() if _may_be_trained(name, trained)}
        self._sums = {}
        if not sums:
            return
        longest = max(sums.values(), key=lambda each: each.batches)
        if self.on_evaluation is None:
            self._unread = [*self._unread[1 - MOST_EVALUATIONS :], (self._at, longest)]
            return
        read = self._clock.exclude(lambda: longest.read(self._at))
        if isinstance(read, Evaluated):
            self.on_evaluation(read)

    def stop(self) -> None:
        self.rest()
        self._patches.restore()
        self._sums = {}

    def _add(self, name: str, loss: Any, samples: int) -> None:
        if loss.numel() != 1 or samples < 1:
            return
        self._at = self._clock.updates
        value = loss.item() if loss.is_cpu else loss.detach().float()
        self._sums.setdefault(name, _Sums()).add(value, samples)

    # --- the wrappers -------------------------------------------------------------------------------------------------

    def _wrap(self) -> None:
        self.wrapped = True
        if modes.compile_used():  # functions that code was compiled for must stay the same
            return
        if self._sites is None:
            self._sites = self._find()
        for owner, name, original, wrapper in self._sites:
            if getattr(owner, name, None) is original:
                setattr(owner, name, wrapper)

    def _unwrap(self) -> None:
        self.wrapped = False
        for owner, name, original, wrapper in self._sites or ():
            if getattr(owner, name, None) is wrapper:
                setattr(owner, name, original)

    def _find(self) -> list[tuple[object, str, Any, Any]]:
        """Return the places that hold a loss function: torch's own, and names that the user's modules gave it."""
        import torch

        self._grad_enabled = torch.is_grad_enabled
        functional = torch.nn.functional
        wrappers = {
            original: self._noting(name, original)
            for name in FUNCTIONS
            if callable(original := getattr(functional, name, None))
        }
        found: list[tuple[object, str, Any, Any]] = []
        for module in list(sys.modules.values()):
            if module is not functional and getattr(module, "__name__", "").partition(".")[0] == "torch":
                continue
            for name, value in list(getattr(module, "__dict__", {}).items()):
                if type(value) is FunctionType and value in wrappers:
                    found.append((module, name, value, wrappers[value]))
        return found

    def _noting(self, name: str, original: Any) -> Any:
        clock, grad_enabled = self._clock, self._grad_enabled

        @stands_for(original)
        def loss(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            if not grad_enabled() and clock.in_evaluation_span and clock.mine():
                self._note(name, result, args, kwargs)
            return result

        return loss

    def _note(self, name: str, result: Any, args: Any, kwargs: Any) -> None:
        try:
            first = args[0] if args else kwargs["input"]
            samples = int(first.shape[0]) if first.dim() else 1
            summed = kwargs.get("reduction") == "sum"
            self._add(name, result / samples if summed else result, samples)
        except Exception:  # tensors of a class of its own may lack what is asked of them
            return


def _may_be_trained(name: str, trained: str | None) -> bool:
    """Return whether the training's loss can be of this function; a sum of several has a gradient of its own."""
    if trained is None or not any(trained.startswith(begin) for begin in GRADIENTS.values()):
        return True
    return name == OF_AN_OUTPUT or trained.startswith(GRADIENTS.get(name, " "))


def _loss_in(output: Any) -> Any:
    """Return the loss that a model returns with its output: by its name, or as the one scalar of a tuple."""
    if isinstance(output, tuple) and not hasattr(output, "loss"):
        found = [each for each in output if hasattr(each, "numel") and each.numel() == 1 and each.is_floating_point()]
        return found[0] if len(found) == 1 else None
    loss = output.get("loss") if isinstance(output, dict) else getattr(output, "loss", None)
    return loss if hasattr(loss, "numel") else None
