"""Knobs that a script takes by its own options and constants.

Scripts that make their own batches have no loader to set, but a `--batch-size` or a `BATCH_SIZE`. Such a knob needs a
new process, started with other arguments, or with other constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import knobs
from ..script_constants import ByModule
from ..spelling import parameter
from ..types import Command, Config, Hardware, Skipped, Workload
from .command import with_arguments
from .option_roles import (
    ACCUMULATION,
    GLOBAL_BATCH,
    MICRO_BATCH,
    RATE,
    WORKERS,
    ArgumentValue,
    Option,
    find_options,
)

FACTORS = (2, 4, 8)
"""Multiples of the baseline's batch that are worth a start of the script."""
DIGITS = 4
"""Significant digits of a computed learning rate."""
BATCH_NORMS = ("BatchNorm", "SyncBatchNorm")


@dataclass(frozen=True, kw_only=True)
class ArgumentKnob:
    """Knob whose value the script takes by its options or constants."""

    knob: str
    values: tuple[int, ...]
    """Values worth trying, the most promising first."""
    effect: str
    why: str
    arguments: Mapping[int, Mapping[str, ArgumentValue]]
    """Knob's value → flags and constants with their values."""


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """Knobs that the script can take by its options and constants, and those that it cannot, with the reason."""

    options: tuple[Option, ...] = ()
    argument_knobs: tuple[ArgumentKnob, ...] = ()
    closed: tuple[Skipped, ...] = ()

    def of(self, knob: str) -> ArgumentKnob | None:
        return next((found for found in self.argument_knobs if found.knob == knob), None)

    def arguments(self, config: Config) -> dict[str, dict[str, ArgumentValue]]:
        """Return knob → flags with values, for the settings that go on the command line."""
        return self._taken(config, constants=False)

    def constants(self, config: Config) -> dict[str, dict[str, ArgumentValue]]:
        """Return knob → constants with values, for the settings that the script has as constants."""
        return self._taken(config, constants=True)

    def by_module(self, config: Config) -> ByModule:
        """Return the constants of these settings by the module that holds them."""
        places = {option.flag: option.place for option in self.options if option.place is not None}
        found: dict[str, dict[str, ArgumentValue]] = {}
        for values in self.constants(config).values():
            for name, value in values.items():
                module, own_name = places[name]
                found.setdefault(module, {})[own_name] = value
        return found

    def _taken(self, config: Config, *, constants: bool) -> dict[str, dict[str, ArgumentValue]]:
        names = {option.flag for option in self.options if option.place is not None}
        found = {}
        for name, value in config.settings:
            knob = self.of(name)
            if knob is not None and isinstance(value, int):
                chosen = {flag: one for flag, one in knob.arguments[value].items() if (flag in names) == constants}
                found.update({name: chosen} if chosen else {})
        return found

    def live(self, config: Config) -> Config:
        """Return the settings that the agent applies."""
        return Config.of({name: value for name, value in config.settings if self.of(name) is None})

    def command(self, command: Command, config: Config) -> Command:
        """Return the command that starts the script with these settings."""
        flags: dict[str, ArgumentValue] = {}
        for arguments in self.arguments(config).values():
            flags.update(arguments)
        return with_arguments(command, flags)


USUAL_BATCH_OPTION = "batch_size"
"""Name of the option in most scripts."""

# --- knobs ----------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class _Draft:
    hardware: Hardware
    workload: Workload
    options: Mapping[str, Option]
    mapped: frozenset[str]
    samples: int | None = None
    """Samples of a backward pass, as seen."""
    argument_knobs: list[ArgumentKnob] = field(default_factory=list)
    closed: list[Skipped] = field(default_factory=list)

    def usable(self, role: str, knob: str) -> Option | None:
        """Return the option if its value is known and can be changed; otherwise record the reason."""
        option = self.options.get(role)
        if option is None:
            return None
        why = option.why_closed
        if why is not None:
            why += self.mapping(role, option.flag) if option.place is not None else ""
        elif option.value is None:
            given = parameter("mapped", f"{role}={option.flag}:{self.number(role)}")
            why = f"the script's value of {option.flag} is unknown: give it with {given}"
        elif option.fixed and not option.typed:
            why = f"{option.flag} precedes a subcommand's options: pass it explicitly, so that its place is known"
        elif role != WORKERS and option.value < 1:
            why = f"{option.flag} is {option.value:g} in the script"
        if why is not None:
            self.closed.append(Skipped(what=knob, why=why))
            return None
        return option

    def number(self, role: str) -> str:
        """Return the value of the script's option for a role, as far as it was seen."""
        return str(self.samples) if role == MICRO_BATCH and self.samples is not None else "VALUE"

    def mapping(self, role: str, name: str) -> str:
        """Return how the user says that an option of this name has the role; empty if its value was not seen."""
        number, flag = self.number(role), f"--{name.rpartition('.')[2]}"
        if number == "VALUE":
            return ""
        return f"; if an option such as {flag} sets it, say so with {parameter('mapped', f'{role}={flag}:{number}')}"


def command_line(
    hardware: Hardware,
    workload: Workload,
    command: Command,
    mapped: Mapping[str, tuple[str, float | None]],
    samples: float | None = None,
) -> CommandLine:
    """Return the knobs for the script's own options and constants: those that a running process cannot set, and the
    user's mapped. `samples` were seen in a backward pass."""
    options = find_options(workload, command, mapped)
    draft = _Draft(
        hardware=hardware,
        workload=workload,
        options={option.role: option for option in options},
        mapped=frozenset(mapped),
        samples=int(samples) if samples is not None and samples == int(samples) else None,
    )
    live = workload.train_loader
    if live is None or live.batch_size is None or {MICRO_BATCH, GLOBAL_BATCH} & set(mapped):
        _batches(draft)
    if live is None or WORKERS in mapped:
        _workers(draft)
    return CommandLine(options=options, argument_knobs=tuple(draft.argument_knobs), closed=tuple(draft.closed))


def _batches(draft: _Draft) -> None:
    if MICRO_BATCH not in draft.options and (how := draft.mapping(MICRO_BATCH, USUAL_BATCH_OPTION)):
        why = f"no DataLoader feeds the updates, and no option or constant for their size was found{how}"
        draft.closed += [Skipped(what=name, why=why) for name in (MICRO_BATCH, GLOBAL_BATCH)]
    micro = draft.usable(MICRO_BATCH, MICRO_BATCH)
    steps = _pieces(draft)
    whole = draft.usable(GLOBAL_BATCH, GLOBAL_BATCH)
    if micro is not None and (steps is not None or whole is not None):
        _micro_batch(draft, micro, steps)
    if whole is not None:
        _global_batch(draft, whole, 1)
    elif micro is not None:
        parts = draft.workload.batches_per_update * draft.workload.world_size
        _global_batch(draft, micro, parts)
    elif MICRO_BATCH in draft.options and draft.options[MICRO_BATCH].why_closed is not None:
        draft.usable(MICRO_BATCH, GLOBAL_BATCH)


def _pieces(draft: _Draft) -> Option | None:
    """Return the option for the number of pieces per update, if it was seen to have that effect."""
    option = draft.usable(ACCUMULATION, MICRO_BATCH)
    seen = draft.workload.facts.micro_steps
    if option is not None and option.value != seen:
        why = f"{option.flag} is {option.value:g}, and an update was seen to take {seen} backward passes"
        draft.closed.append(Skipped(what=MICRO_BATCH, why=why))
        return None
    return option


def _micro_batch(draft: _Draft, micro: Option, steps: Option | None) -> None:
    """Offer other pieces of the same update, together with their number if the script asks for it."""
    assert micro.value is not None
    batch = int(micro.value)
    count = int(steps.value) if steps is not None and steps.value is not None else None
    values: dict[int, dict[str, ArgumentValue]] = {}
    for factor in FACTORS:
        if count is None or count % factor == 0:
            values[batch * factor] = _flags((micro, batch * factor), (steps, count // factor if count else 0))
    for factor in FACTORS[:2]:
        if batch % factor == 0:
            values[batch // factor] = _flags((micro, batch // factor), (steps, count * factor if count else 0))
    if values:
        _keep(draft, MICRO_BATCH, values, pieces_effect(draft.workload), micro)


def pieces_effect(workload: Workload) -> str:
    """Return the effect on training of other pieces of the same update: batch norm sees one piece at a time."""
    norms = any(name.startswith(BATCH_NORMS) for model in workload.models for name in model.layers)
    return "training" if norms else "numerics"


def _global_batch(draft: _Draft, option: Option, parts: int) -> None:
    """Offer larger updates; `parts` is the number of the option's values that make up an update."""
    assert option.value is not None
    batch, rate = int(option.value), draft.options.get(RATE)
    optimizer = draft.workload.main_optimizer
    linear = optimizer is not None and "SGD" in optimizer.class_name
    values = {}
    for factor in FACTORS:
        flags = _flags((option, batch * factor))
        if rate is not None and rate.value and rate.why_closed is None and not (rate.fixed and not rate.typed):
            flags[rate.flag] = float(f"{rate.value * (factor if linear else factor**0.5):.{DIGITS}g}")
        values[batch * factor * parts] = flags
    _keep(draft, GLOBAL_BATCH, values, "training", option)


def _workers(draft: _Draft) -> None:
    option = draft.usable(WORKERS, WORKERS)
    if option is None or option.value is None:
        return
    held, loader = draft.workload.facts.dataset_generators, draft.workload.train_loader
    if held and loader is not None and loader.num_workers < 2:
        why = f"workers started through {option.flag} would repeat the random numbers of {held[0]}"
        draft.closed.append(
            Skipped(what=WORKERS, why=f"{why}; without {parameter('mapped')} advisor starts and seeds them")
        )
        return
    cpus = max(1, round(draft.hardware.cpu.usable_cpus))
    wanted = [cpus, cpus - 1, cpus // 2, 1]
    values = {count: _flags((option, count)) for count in wanted if count > 0 and count != option.value}
    if values:
        _keep(draft, WORKERS, values, "resampled", option)


def _flags(*wanted: tuple[Option | None, int]) -> dict[str, ArgumentValue]:
    return {option.flag: value for option, value in wanted if option is not None}


def _keep(
    draft: _Draft, knob: str, values: Mapping[int, dict[str, ArgumentValue]], effect: str, option: Option
) -> None:
    assert effect in knobs.EFFECTS
    said = "as mapped" if option.role in draft.mapped else f"{option.value:g} in the script"
    why = f"{option.flag} of the script ({said})"
    if option.place is not None:
        why = f"{option.flag} = {option.value:g} in {option.where}"
    draft.argument_knobs.append(
        ArgumentKnob(knob=knob, values=tuple(values), effect=effect, why=why, arguments=dict(values))
    )


def describe_rate(line: CommandLine, config: Config) -> str | None:
    """Describe how the learning rate changes with the batch under these settings; return None if it stays."""
    rate = next((option for option in line.options if option.role == RATE), None)
    knob, size = line.of(GLOBAL_BATCH), config.as_dict().get(GLOBAL_BATCH)
    taken = knob.arguments[size] if knob is not None and isinstance(size, int) else {}
    if rate is None or rate.flag not in taken:
        return None
    return f"{rate.flag} goes from {rate.value:g} to {taken[rate.flag]:g} with the batch"
