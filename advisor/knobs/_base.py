"""What a knob is: one setting of a training that can be changed from outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Callable, Union

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls

EFFECTS = ("exact", "resampled", "numerics", "training")
"""Effects a knob can have on the training, mildest first; see `advisor explain`."""


@dataclass(frozen=True)
class Values:
    """Values worth trying here, except the script's own; `why_closed` gives the reason if there are none."""

    values: tuple[Any, ...] = ()
    why: str = ""
    """Reason for these values."""
    why_closed: str | None = None
    needed_is_on: bool = False
    """True if the baseline has on what the knob needs (`Knob.needs`)."""
    shares_cpus_with: tuple[str, Any] | None = None
    """Another knob, with a value that leaves room for the first value here. Each may gain nothing alone, but the two
    together may."""


@dataclass(frozen=True)
class Unable:
    """Reason why a format has no place for a setting, and what to do instead; empty texts stand for the usual ones."""

    why: str = ""
    do: str = ""
    """Instruction; `{value}` stands for the value."""
    content: Mapping[str, Any] = field(default_factory=dict)
    """What the format is told all the same."""


Form = Callable[[Any, Any], Union[Mapping[str, Any], Unable]]
"""Callable (value, `Training` of the file) that returns what a format holds for a setting. Formats merge mappings, and
join lists."""


@dataclass
class PlainObjects:
    """Objects of a script that plain torch applies settings to. A setting may put another model in its place."""

    model: Any
    optimizer: Any


def key(*path: str) -> Form:
    """Return the form of a format that has the value itself, below these keys."""

    def form(value: Any, _training: Any) -> Mapping[str, Any]:
        content: Any = value
        for name in reversed(path):
            content = {name: content}
        return dict(content)

    return form


def unable(why: str, do: str = "") -> Form:
    """Return the form of a format that cannot express the setting."""
    return lambda _value, _training: Unable(why, do)


def noticing(topic: str, text: str) -> Callable[[Mapping[str, Any]], tuple[str, str]]:
    """Return the `Knob.noticed` of a setting whose effect depends on no other."""
    return lambda _settings: (topic, text)


def one_of(*values: str) -> Callable[[Any], str | None]:
    """Return a check for `Knob.wrong`: only these names."""
    several = f"none of {', '.join(values)}" if len(values) > 1 else f"not {values[0]}"
    return lambda value: None if isinstance(value, str) and value in values else f"{value!r} is {several}"


def always(effect: str) -> Callable[[Hardware, Workload], str]:
    """Return the `Knob.effect` of a knob whose effect is the same on every script."""
    return lambda _hardware, _workload: effect


NO_MODEL = "no model was given"
NO_OPTIMIZER = "no optimizer was given"
FOR_ACCELERATORS = "training runs on cpu, and they are for accelerators"
"""Reason why knobs are closed on a CPU: the same for all, so that a report gives it once."""


def _as_it_is(workload: Workload, _value: Any) -> Workload:
    return workload


def with_flags(**names: Callable[[Any], Any]) -> Callable[[Workload, Any], Workload]:
    """Return the `Knob.described` of a knob that shows in these flags, each by a callable of the value."""
    return lambda workload, value: replace(
        workload, flags=replace(workload.flags, **{name: shown(value) for name, shown in names.items()})
    )


def _nothing_wrong(_value: Any) -> str | None:
    return None


def whole_number(least: int, most: int) -> Callable[[Any], str | None]:
    """Return a check for `Knob.wrong`: only whole numbers from `least` to `most`."""

    def wrong(value: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return None
        return f"{value!r} is not an integer from {least} to {most}"

    return wrong


def truth(value: Any) -> str | None:
    """Check a value for `Knob.wrong`: only true and false."""
    return None if isinstance(value, bool) else f"{value!r} is neither true nor false"


@dataclass(frozen=True)
class Knob:
    """One setting. `apply` and `restore` run in the script's process, between two updates; `values` and `effect` run in
    the controller."""

    id: str
    title: str
    values: Callable[[Hardware, Workload], Values]
    example: Any
    """A value that most scripts can take, for tests and documentation."""
    effect: Callable[[Hardware, Workload], str]
    apply: Callable[[Controls, Any], None]
    """Callable (controls, value); raises Refused with a reason if this script cannot take the value."""
    restore: Callable[[Controls], None]
    """Callable (controls) that brings back the baseline; harmless if nothing, or only a part, was applied."""
    scope: str = "live"
    """`live`, or `launch` if it needs a new process."""
    wrong: Callable[[Any], str | None] = _nothing_wrong
    """Callable (value) that returns why this knob can never have the value, whatever its source; None if it can."""
    hooks: tuple[str, ...] = ("loader", "model", "steps")
    """Hooks of the agent that a real training needs as long as the knob is set."""
    hooks_of: Mapping[Any, tuple[str, ...]] = field(default_factory=dict)
    """The same for single values."""
    set_on: tuple[str, ...] = ()
    """Objects it is set on. `model`, `optimizer`: each such object, and again each later one; `forward`: its call."""
    grows_with: tuple[str, ...] = ()
    """Other knobs that shorten the rest of the update: this knob is tried where they are."""
    shortens_computing: bool = False
    """True if, on an accelerator, the knob is tried wherever forward and backward take a share worth having. The
    findings do not matter then: the current limit of a script hides the next one."""
    tried_unprompted: int = 0
    """Rank among the knobs that a profile tries for a moment even where no finding names them, as their switch costs
    next to nothing and their gain is hard to predict; 1 is the first, 0 is never tried so."""
    usual_on_accelerator: bool = False
    """True if an expert sets it on an accelerator without thinking. All such open knobs are first tried together."""
    set_up: str = ""
    """The work before its first update, as a gerund, if that is long."""
    set_up_s: float = 0.0
    """Least seconds before its first update, where that is long. The knob is then tried with the best settings so far,
    if there is time, and waited for."""
    set_up_s_of: Mapping[Any, float] = field(default_factory=dict)
    """The same for single values."""
    after_first_update: bool = False
    """True if it needs to know what an update consists of. A real training applies it after the first update."""
    on_import: Callable[[Any], None] | None = None
    """Callable (value) for the moment right after the script's `import torch`, before torch starts its threads."""
    by_hand: str = ""
    """The same done in a script, for tools that cannot express the setting; `{value}` stands for the value."""
    by_hand_of: Mapping[Any, str] = field(default_factory=dict)
    """The same for single values."""
    chosen_for: tuple[str, ...] = ()
    """What its value depends on: `cpus`, `host memory`, `device`, `transfers` to it, `torch` build; may be empty."""
    fails_in: str = ""
    """Place where a real training fails with a value that the script cannot take: `batch` or `forward`; or empty."""
    suspicion: int = 0
    """Rank among the settings that a failing forward is charged with; 1 is the likeliest, 0 is never charged."""
    noticed: Callable[[Mapping[str, Any]], tuple[str, str]] | None = None
    """Callable (all settings) that returns the topic and the effect that a reader of the report would notice, beside
    what is measured. It is asked if the value is not false."""
    rounding: Mapping[Any, str] = field(default_factory=dict)
    """What single values do to the arithmetic; of others the report says that sums are formed in another order."""
    excludes: tuple[str, ...] = ()
    """Other knobs that it cannot be set beside, unless their value is 0 or false."""
    needs: str = ""
    """Another knob without which this one has no meaning."""
    samples_per: str = ""
    """What the value counts the samples of: a `backward` or an `update`; or empty."""
    loader_keyword: str = ""
    """Keyword of `torch.utils.data.DataLoader` that sets it."""
    worker_init: Callable[[Any, Callable[[int], Any] | None], Callable[[int], Any]] | None = None
    """Callable (value, the script's own `worker_init_fn`) that returns the one for a loader with this setting."""
    from_second_epoch: bool = False
    """True if it gives nothing in the first epoch: windows then show the later ones."""
    shortens_evaluation: bool = False
    """True if it changes the script's evaluation, which is beside the updates: windows at an epoch's end show it."""
    starts_the_loader: bool = False
    """True if the start of an epoch costs the loader another time with it; its trials then see one."""
    option_names: tuple[str, ...] = ()
    """Names of options that set it in public training scripts, the most usual first; with underscores."""
    autocast: Mapping[Any, str] = field(default_factory=dict)
    """Value → torch's name of the dtype under whose autocast forward and loss run."""
    plain: Callable[[PlainObjects, Any], str | None] | None = None
    """Callable (objects, value) that applies it by plain torch; returns why it cannot, or None."""
    after_others: bool = False
    """True if plain torch sets it after all others: the model that it makes hides the one they change."""
    formats: Mapping[str, Form] = field(default_factory=dict)
    """Format → form of the setting in it; a format that is missing has no place for it."""
    makes: Mapping[Any, str | None] = field(default_factory=dict)
    """Value → class of the optimizer that it makes of the script's; None if that is no single one."""
    described: Callable[[Workload, Any], Workload] = _as_it_is
    """Callable (workload, value) that returns the workload as a script with this setting shows it: rules that judge the
    best settings so far must not ask for what these hold."""
    environment: Callable[[Any, Mapping[str, str]], Mapping[str, str]] | None = None
    """Callable (value, present environment) that returns the variables which a process must be started with."""
    ranks: Callable[[Any], int] | None = None
    """Callable (value) that returns the number of processes which a training with it is started as."""
    starts_ranks: bool = False
    """True if it is about processes that train together."""
    judged_by_loss: bool = False
    """True if it gains by a loss that is reached in fewer updates, which windows of speed do not show."""
    keeps_pace: bool = False
    """True if an update takes as long with it as without."""
    opened_by: tuple[str, ...] = ()
    """Rules whose findings open it, besides those that name it themselves (`Rule.knobs`)."""
    changes: str = ""
    """Consequences that the user will notice, in plain words: results, memory, start-up."""

    def hooks_for(self, value: Any) -> tuple[str, ...]:
        """Return the hooks that a real training needs as long as the knob has this value."""
        return self.hooks_of.get(value, self.hooks)

    def set_up_s_for(self, value: Any) -> float:
        """Return the least seconds before its first update with this value."""
        return self.set_up_s_of.get(value, self.set_up_s)

    def described_by_hand(self, value: Any) -> str:
        """Return what a script does for itself to have this value."""
        return self.by_hand_of.get(value, self.by_hand).format(value=value)
