"""What a knob may touch in the script's process; the agent's `settings.controls.Controls` is such an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Protocol

if TYPE_CHECKING:
    from ..patience import Patience


class Restorable(Protocol):
    """Setting that is taken back by `restore`, and put in force by `set`, which raises Refused if it cannot be."""

    def restore(self) -> None: ...


class Form(Restorable, Protocol):
    def set(self, name: str, /) -> None: ...


class Checkpointing(Restorable, Protocol):
    def set(self) -> None: ...


class Accumulation(Restorable, Protocol):
    def set(self, size: int, micro_steps: int) -> None:
        """Deliver parts of at most `size` samples; `micro_steps` made up an update until now."""


class DeviceCopies(Protocol):
    def switch(self, treatment: str, on: bool, by: str = "") -> None:
        """Treat copies of the loader's batches in a way, `without_waiting` or `ahead`, on behalf of the knob `by`."""


class Loaders(Protocol):
    def adjust(self, by: str, **settings: Any) -> None:
        """Change settings of the training loader on behalf of the knob `by`; None gives one up."""

    def baseline_batch_size(self) -> int: ...


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
    def garbage_collection(self) -> Form: ...
    @property
    def device_copies(self) -> DeviceCopies: ...
    @property
    def checkpointing(self) -> Checkpointing: ...
    @property
    def accumulation(self) -> Accumulation: ...
    @property
    def micro_steps(self) -> int: ...
    @property
    def saved(self) -> dict[str, Any]:
        """Knob id → state that the knob needs to restore the baseline."""

    def evaluate_in_batches(self, size: int | None, by: str) -> None: ...
    def stop_early(self, patience: Patience | None, by: str) -> None: ...
    def micro_batch_of(self, global_batch: int) -> int: ...
    def scale_rates(self, factor: Callable[[str, int], float] | None) -> None: ...
