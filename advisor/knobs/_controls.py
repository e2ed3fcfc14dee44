"""What a knob may touch in the script's process; the agent's `settings.controls.Controls` is such an object."""

from __future__ import annotations

from typing import Any, Callable, Protocol


class Restorable(Protocol):
    def restore(self) -> None:
        """Bring back the baseline; do nothing if nothing is set."""


class Form(Restorable, Protocol):
    """Setting with named values."""

    def set(self, name: str, /) -> None:
        """Set it from the next update on; raise Refused if the script cannot take it."""


class Checkpointing(Restorable, Protocol):
    def set(self) -> None:
        """Compute activations again from the next forward on; raise Refused if there is nothing to run again."""


class Accumulation(Restorable, Protocol):
    def set(self, size: int, micro_steps: int) -> None:
        """Deliver parts of at most `size` samples from the next batch on; `micro_steps` made up an update until now."""


class Loaders(Protocol):
    """Training loader."""

    def adjust(self, by: str, **settings: Any) -> None:
        """Change settings of the loader on behalf of the knob `by`; None gives one up."""

    def written_batch_size(self) -> int:
        """Return the micro batch of the baseline; raise Refused if there is none."""


class Controls(Protocol):
    """Handles for the running script."""

    @property
    def loaders(self) -> Loaders: ...
    @property
    def precision(self) -> Form: ...
    @property
    def memory_format(self) -> Form: ...
    @property
    def optimizer_form(self) -> Form: ...
    @property
    def compiling(self) -> Form: ...
    @property
    def checkpointing(self) -> Checkpointing: ...
    @property
    def accumulation(self) -> Accumulation: ...
    @property
    def micro_steps(self) -> int:
        """Backwards of the last update as the script counts them."""

    @property
    def saved(self) -> dict[str, Any]:
        """Knob id → state that the knob needs to restore the baseline."""

    def micro_batch_of(self, global_batch: int) -> int:
        """Return the samples per micro-batch with which an update takes `global_batch` of them over all ranks."""

    def scale_rates(self, factor: Callable[[str, int], float] | None) -> None:
        """Multiply learning rates by `factor` (of an optimizer's class, its steps so far); None leaves them alone."""
