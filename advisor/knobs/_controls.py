"""What a knob may touch in the script's process; the agent's `settings.controls.Controls` is such an object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable, Protocol, Union

if TYPE_CHECKING:
    from ..patience import Patience


class Restorable(Protocol):
    """Setting that is taken back by `restore`, and put in force by `set`, which raises Refused if it cannot be."""

    def restore(self) -> None: ...


class Form(Restorable, Protocol):
    def set(self, name: str, /) -> None: ...


class Checkpointing(Restorable, Protocol):
    def set(self) -> None: ...


class ScriptCheckpoints(Restorable, Protocol):
    """Checkpoints that the script makes itself."""

    def skip(self) -> None: ...


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


class Rates(Protocol):
    """Learning rates; each call raises Refused if the script cannot take the value, and None takes it back."""

    def set_rate(self, rate: float | None) -> None: ...
    def set_schedule(self, name: str | None) -> None: ...
    def set_warm_up(self, fraction: float | None) -> None: ...


class HiddenMuon(Protocol):
    """Muon for the hidden matrices of the main optimizer; `set` raises Refused."""

    def set(self) -> None: ...
    def restore(self) -> None: ...


class Parallel(Restorable, Protocol):
    """Training by several processes; both calls raise Refused with the reason why this one trains alone."""

    def set(self, form: str, refuse_late: Callable[[str], None] = ...) -> None:
        """Train in this form; `refuse_late` is told the reason if the first updates show one."""

    def choose(self, option: str, value: Any) -> None:
        """Choose an option of torch's reducer; None gives it up."""

    def expect(self, processes: int) -> None:
        """Check that this many were started; without a form they train by copies of the model."""


Change = Callable[[dict[str, Any], Sequence[dict[str, Any]]], Union[dict[str, Any], None]]
"""Callable (group, all groups of the optimizer) that returns the entries to change; None if there is no place."""


class OptimizerValues(Protocol):
    def set(self, name: str, change: Change, none: str, *, state: str = "") -> None:
        """Change entries of all groups on behalf of the knob `name`; `none` is the reason where none has a place."""

    def restore(self, name: str) -> None: ...


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
    def script_checkpoints(self) -> ScriptCheckpoints: ...
    @property
    def accumulation(self) -> Accumulation: ...
    @property
    def rates(self) -> Rates: ...
    @property
    def optimizer_values(self) -> OptimizerValues: ...
    @property
    def hidden_muon(self) -> HiddenMuon: ...
    @property
    def parallel(self) -> Parallel: ...
    @property
    def micro_steps(self) -> int: ...
    @property
    def saved(self) -> dict[str, Any]:
        """Knob id → state that the knob needs to restore the baseline."""

    def broke(self, name: str, why: str) -> None:
        """Note that a setting has failed while the script trains."""

    def evaluate_in_batches(self, size: int | None, by: str) -> None: ...
    def stop_early(self, patience: Patience | None, by: str) -> None: ...
    def micro_batch_of(self, global_batch: int) -> int: ...
    def scale_rates(self, factor: Callable[[str, int], float] | None) -> None: ...
