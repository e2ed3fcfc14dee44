"""Update in several smaller backwards: the loader delivers its batches in parts, which add up to one step.

The script goes round its loop once per part, and its backward is scaled by the part's share of the batch. At every part
but the last, the optimizer finds no gradients, and neither clipping nor a schedule has an effect. The accumulated
gradients return when the next backward begins, so the script's `zero_grad` removes nothing, wherever it is called.

This is right for a loss that is a mean over samples, in a loop that runs until its loader ends. The first condition can
be checked: some batches are first delivered whole, and their loss is compared with that of their parts.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from types import FrameType
from typing import TYPE_CHECKING, Any, Callable

from ...refused import Refused
from ..base.pass_through import passes_on, stands_for
from ..base.patches import Patches
from ..loader.loops import read_ahead, reads_to_the_end
from ..loader.record import is_library
from ..loader.stream import Part
from ..loop.clock import StepClock
from ..loop.roots import Roots
from ..loop.schedulers import ScheduleHold
from ..loop.steps import Steps
from . import unseen_ranks
from .backward import Inner, scaled
from .gradient_readers import replace_clipping
from .gradients import take_gradients
from .passing import Snapshot

if TYPE_CHECKING:
    from torch.optim import Optimizer

PLACE = 1
"""Place outside loss scaling, whose gradients are unscaled again before they are accumulated."""
CHECKED_BATCHES = 2
"""Batches that a probe checks as a whole: as many as every window takes to settle."""
SAME = 5e-3
"""Difference between the losses of a batch and its parts that rounding explains, also in bf16 with its three digits."""
SAME_WITH_NOISE = 0.1
"""Same limit for the average over the checks if dropout draws again or batch norm sees fewer samples. A sum of two
parts differs by a half, a loss over all pairs of 32 samples by a fifth."""
NOISY = ("dropout", "batchnorm", "droppath", "stochasticdepth")
CLIPS = ("clip_grad_norm_", "clip_grads_with_norm_")
WHOLE = Part([], 1.0, True)
"""Batch in one part."""


class Accumulation:
    """Splitting of batches, one instance per process. It does nothing, and costs nothing, until it is set."""

    def __init__(
        self, clock: StepClock, roots: Roots, steps: Steps, loaders: Any, broke: Callable[[str], None]
    ) -> None:
        """Prepare; `broke` is called with the reason once parts cannot continue and were taken back."""
        self._clock = clock
        self._roots = roots
        self._steps = steps
        self._loaders = loaders
        self._broke = broke
        self._schedules = ScheduleHold()
        self._patches = Patches()
        self.checks = 0
        """Batches that are first checked as a whole: a probe can afford that, a real training cannot."""
        self.on = False
        self._recent: deque[Part] = deque([WHOLE], maxlen=1)
        self._kept: list[tuple[Any, object]] = []
        self._loss: object = None
        self._micro_steps = 0
        self._seen: list[tuple[float, Any]] = []
        self._whole_loss: Any = None
        self._differences: list[float] = []
        self._snapshot: Snapshot | None = None
        self._rates: list[object] | None = None
        self._frame_seen = False
        self._held = False
        self._trouble: str | None = None

    # --- on and off ---------------------------------------------------------------------------------------------------

    def set(self, size: int, micro_steps: int) -> None:
        """Deliver parts of at most `size` samples from the next batch on; `micro_steps` made up an update until now.

        Raises Refused if the parts would not add up to the script's own update.
        """
        if not self.on:
            self._refuse(micro_steps)
        self._loaders.adjust("micro_batch", split=size)
        if self.on:
            return
        self._recent = deque([WHOLE], maxlen=1)
        self._frame_seen = self._held = False
        self._trouble = self._rates = None
        self._kept, self._differences = [], []
        self._forget()
        self._loaders.check_whole(self.checks)
        self._snapshot = Snapshot(self._roots) if self.checks else None
        self._loaders.deliveries.on_train_batch = self._delivered
        self._steps.intervene(PLACE, self)
        self._schedules.add(self._holds)
        self._hold_clipping()
        self.on = True

    def restore(self) -> None:
        """Deliver whole batches again."""
        if self.on:
            self.on = False
            self._loaders.deliveries.on_train_batch = None
            self._loaders.check_whole(0)
            self._steps.intervene(PLACE, None)
            self._schedules.remove(self._holds)
            self._patches.restore()
            self._put_back()
        self._loaders.adjust("micro_batch", split=None)

    def _refuse(self, micro_steps: int) -> None:
        unseen_ranks.refuse(is_ours=False)
        steps = self._steps
        if steps.closures_seen:
            raise Refused("the optimizer is stepped with a closure, which runs forward and backward itself")
        stepping = [record for _optimizer, record, _main in steps.optimizers() if record.steps]
        if not stepping:
            raise Refused("no optimizer step was seen: the end of an update is unknown")
        if len(stepping) > 1:
            raise Refused(f"{len(stepping)} optimizers alternate: it is unknown which parts belong to which step")
        if micro_steps != 1:
            raise Refused(f"an update already has {micro_steps} backward passes, which the script itself counts")
        record = self._loaders.train
        if record is not None and record.reader != self._clock.owner:
            raise Refused("another thread reads the loader: it is unknown which part is trained on")

    @property
    def in_mid_epoch(self) -> bool:
        """True if the last item read was a part, and not the loader's end."""
        return self.on and self._recent[-1] is not WHOLE

    # --- parts --------------------------------------------------------------------------------------------------------

    def _delivered(self, indices: object) -> None:
        part = indices if type(indices) is Part else WHOLE
        if not self._frame_seen and part is not WHOLE:
            self._frame_seen = True
            self._inspect_loop(sys._getframe(1))
        self._recent.append(part)
        if part.is_check:
            self._clock.add_samples(-len(part))  # its samples come again in parts

    def _inspect_loop(self, frame: FrameType) -> None:
        if not reads_to_the_end(frame):
            self._trouble = (
                "no for loop reads the loader to its end: a script that counts batches would stop early, as it would "
                "count parts"
            )
        self._recent = deque([WHOLE] * (1 + read_ahead(frame)), maxlen=1 + read_ahead(frame))

    @property
    def _part(self) -> Part:
        return self._recent[0]

    @passes_on
    def backward(
        self, inner: Inner, original: Callable[..., object], tensors: object, args: Any, kwargs: Any
    ) -> object:
        self._put_back()
        part = self._part
        self._note_loss(part)
        if part.share != 1.0:
            args, kwargs = scaled(tensors, args, kwargs, part.share)
        return inner(original, tensors, args, kwargs)

    def _put_back(self) -> None:
        kept, self._kept = self._kept, []
        for parameter, gradient in kept:
            parameter.grad = gradient if parameter.grad is None else gradient + parameter.grad

    def before_step(self, optimizer: Optimizer, has_closure: bool) -> bool:
        part = self._part
        if has_closure:
            self._trouble = "the optimizer is stepped with a closure, which runs forward and backward itself"
        self._compare_rates(optimizer, part)
        self._held = not part.last
        if part.last:
            self._judge()
            if self._snapshot is not None:
                more = self.checks - len(self._differences)
                self._loaders.check_whole(more)
                self._snapshot = Snapshot(self._roots) if more else None
            if self._trouble is not None:
                self.restore()
                self._broke(self._trouble)
            return False
        gradients = take_gradients(optimizer)
        if not part.is_check:
            self._kept += gradients
        elif self._snapshot is not None:
            self._snapshot.put_back()  # before the next fetch, which may draw too
        return True

    def after_step(self, _optimizer: Optimizer) -> bool:
        return False

    # --- schedules and clipping held at all parts but the last --------------------------------------------------------

    def _holds(self, _schedule: object) -> bool:
        return self._held

    def _hold_clipping(self) -> None:
        for names, make in ((CLIPS, self._clipping_by_norm), (("clip_grad_value_",), self._clipping_by_value)):
            replace_clipping(self._patches, make, lambda file: not is_library(file), names)

    def _clipping_by_norm(self, original: Callable[..., object]) -> Callable[..., object]:
        @stands_for(original)
        def clip(parameters: object, max_norm: object, *args: object, **kwargs: object) -> object:
            # Before the last part no norm is too large: the script gets the norm so far, and nothing is clipped.
            return original(parameters, max_norm if self._part.last or not self.on else math.inf, *args, **kwargs)

        return clip

    def _clipping_by_value(self, original: Callable[..., object]) -> Callable[..., object]:
        @stands_for(original)
        def clip(*args: object, **kwargs: object) -> object:
            return original(*args, **kwargs) if self._part.last or not self.on else None

        return clip

    # --- checks -------------------------------------------------------------------------------------------------------

    def _note_loss(self, part: Part) -> None:
        """Give the clock the loss of the whole batch as that of the update: the mean of its parts."""
        clock = self._clock
        if clock.micro_steps == self._micro_steps:
            return  # a second backward for the same forward
        self._micro_steps = clock.micro_steps
        if part.is_check:
            self._whole_loss = clock.loss
            return
        if self.checks:
            self._seen.append((part.share, clock.loss))
        if part.share == 1.0:
            return
        share = clock.loss * part.share
        clock.loss = self._loss = share if self._loss is None else self._loss + share

    def _forget(self) -> None:
        self._loss = self._whole_loss = None
        self._micro_steps = 0
        self._seen = []

    def _judge(self) -> None:
        """Compare the loss of the batch with those of its parts, if both were seen."""
        whole, seen = self._whole_loss, self._seen
        self._forget()
        if whole is None or self._trouble is not None:
            return
        try:
            loss, parts = float(whole), [(share, float(value)) for share, value in seen]
        except (RuntimeError, TypeError, ValueError):
            self._trouble = "the loss is not a scalar: it is unknown whether it is a mean over samples"
            return
        mean, total = sum(share * value for share, value in parts), sum(value for _share, value in parts)
        size = max(abs(loss), abs(mean), sys.float_info.min)
        self._differences.append((loss - mean) / size)
        noisy = self._draws()
        if noisy and len(self._differences) < self.checks:
            return
        allowed = SAME_WITH_NOISE if noisy else SAME
        difference = abs(sum(self._differences)) / len(self._differences)
        if difference <= allowed:
            return
        if abs(loss - total) / size <= 2 * allowed:
            self._trouble = (
                "the loss is a sum over the samples of a batch, not a mean: its parts would be weighted wrongly"
            )
        else:
            self._trouble = f"the loss of a batch differs from the mean loss of its parts by {difference:.1%}"

    def _draws(self) -> bool:
        """Return whether two forwards of the same samples differ: by dropout, or by statistics over the batch."""
        for root in self._roots.called():
            model = root.ref()
            for module in model.modules() if model is not None else ():
                name = type(module).__name__.lower()
                dropout = getattr(module, "dropout", None)
                if any(kind in name for kind in NOISY) or (isinstance(dropout, float) and dropout > 0):
                    return True
        return False

    def _compare_rates(self, optimizer: Optimizer, part: Part) -> None:
        """Note trouble if a rate changes within a batch: schedules are held there, so the script sets it by hand."""
        rates = [_identity(group.get("lr")) for group in optimizer.param_groups]
        if self._rates is not None and rates != self._rates:
            self._trouble = (
                "the script sets the learning rate by hand in every iteration, of which an update now has several"
            )
        self._rates = None if part.last else rates


def _identity(rate: object) -> object:
    """Return a value to compare a rate by; one on the device is not read, which would wait for it."""
    return (id(rate), rate._version) if hasattr(rate, "_version") else rate
