"""Knobs that a script takes on its own command line, recognised by name and type of its options.

Scripts that make their own batches have no loader to set, but a `--batch-size`. Such a knob needs a new process,
started with other arguments. The user maps an unknown name: `--set micro_batch=--my-flag`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .. import knobs
from ..errors import UsageError
from ..knobs import global_batch, micro_batch, num_workers
from ..spelling import parameter
from ..types import Argument, Command, Config, Hardware, Skipped, Workload
from .command import with_arguments

ArgumentValue = int | float | str
MICRO_BATCH, GLOBAL_BATCH, WORKERS = micro_batch.KNOB.id, global_batch.KNOB.id, num_workers.KNOB.id
RATE, ACCUMULATION, EPOCHS = "learning_rate", "accumulation", "epochs"
ROLES = (MICRO_BATCH, GLOBAL_BATCH, WORKERS, RATE, ACCUMULATION)
"""Knobs that the user can map to an option."""
NAMES: Mapping[str, tuple[str, ...]] = {
    **{role: knobs.get(role).option_names for role in (MICRO_BATCH, GLOBAL_BATCH, WORKERS)},
    RATE: ("lr", "learning_rate", "base_lr", "init_lr", "initial_lr", "max_lr", "lr0"),
    ACCUMULATION: (
        "gradient_accumulation_steps", "grad_accumulation_steps", "accumulation_steps", "grad_accum_steps",
        "accum_steps", "accumulate_grad_batches", "gradient_accumulation", "grad_accum", "accum_iter", "iter_size",
    ),
    EPOCHS: ("epochs", "num_epochs", "n_epochs", "num_train_epochs", "max_epochs"),
}  # fmt: skip
"""Names of options in public training scripts, the most usual first; hyphens count as underscores."""
WHOLE = (MICRO_BATCH, GLOBAL_BATCH, WORKERS, ACCUMULATION, EPOCHS)
"""Roles with whole-number values; an option of another type means something else."""
FACTORS = (2, 4, 8)
"""Multiples of the baseline's batch that are worth a start of the script."""
DIGITS = 4
"""Significant digits of a computed learning rate."""
BATCH_NORMS = ("BatchNorm", "SyncBatchNorm")
_MAPPED = re.compile(r"([a-z_]+)=(-{0,2}[A-Za-z][A-Za-z0-9_.-]*)(?::(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))?")


@dataclass(frozen=True, kw_only=True)
class Option:
    """Option of the script that stands for something known."""

    role: str
    flag: str
    value: int | float | None
    """Value in the baseline; None if unknown."""
    typed: bool = False
    fixed: bool = False
    """True if it cannot be added to the command line, only changed where it was passed."""


@dataclass(frozen=True, kw_only=True)
class ArgumentKnob:
    """Knob whose value goes on the script's command line."""

    knob: str
    values: tuple[int, ...]
    """Values worth trying, the most promising first."""
    effect: str
    why: str
    arguments: Mapping[int, Mapping[str, ArgumentValue]]
    """Knob's value → flags with their values."""


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """Knobs that the script's command line can take, and those that it cannot, with the reason."""

    options: tuple[Option, ...] = ()
    argument_knobs: tuple[ArgumentKnob, ...] = ()
    closed: tuple[Skipped, ...] = ()

    def of(self, knob: str) -> ArgumentKnob | None:
        return next((found for found in self.argument_knobs if found.knob == knob), None)

    def arguments(self, config: Config) -> dict[str, dict[str, ArgumentValue]]:
        """Return knob → flags with values, for the settings that go on the command line."""
        found = {}
        for name, value in config.settings:
            knob = self.of(name)
            if knob is not None and isinstance(value, int):
                found[name] = dict(knob.arguments[value])
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


def parse_mapped(words: Iterable[str]) -> dict[str, tuple[str, float | None]]:
    """Parse `--set KNOB=FLAG` or `KNOB=FLAG:VALUE` into KNOB → flag and, if given, its value in the script.

    Raises UsageError for anything else.
    """
    found: dict[str, tuple[str, float | None]] = {}
    for word in words:
        match = _MAPPED.fullmatch(word)
        if match is None:
            raise UsageError(
                f"invalid {parameter('mapped', word)}: expected KNOB=FLAG, for example micro_batch=--my-batch"
            )
        if match[1] not in ROLES:
            raise UsageError(f"invalid {parameter('mapped', word)}: {match[1]!r} is not one of {', '.join(ROLES)}")
        if match[1] in found:
            raise UsageError(
                f"invalid {parameter('mapped', word)}: {match[1]} is already mapped to {found[match[1]][0]}"
            )
        found[match[1]] = (match[2], float(match[3]) if match[3] else None)
    return found


def describe_options(options: Sequence[Option]) -> tuple[str, ...]:
    """Describe the options for a person, one line each."""
    names = {MICRO_BATCH: "samples per batch", GLOBAL_BATCH: "samples per update", WORKERS: "loader workers"}
    lines = []
    for option in options:
        origin = "as passed" if option.typed else "its default"
        value = f" {option.value:g} ({origin})" if option.value is not None else ""
        lines.append(f"{option.flag}{value}: {names.get(option.role, option.role.replace('_', ' '))}")
    return tuple(lines)


# --- finding --------------------------------------------------------------------------------------------------------


def find_options(
    workload: Workload, command: Command, mapped: Mapping[str, tuple[str, float | None]]
) -> tuple[Option, ...]:
    """Find the options that stand for something known; the user's mapping takes precedence over names."""
    found = [_mapped_option(role, flag, value, workload, command) for role, (flag, value) in mapped.items()]
    for role in NAMES:
        if role in mapped:
            continue
        candidates = [entry for entry in workload.arguments if _rank(entry, role) is not None]
        if candidates:
            found.append(_option(role, min(candidates, key=lambda entry: _rank(entry, role) or 0)))
    return tuple(found)


def _rank(entry: Argument, role: str) -> int | None:
    """Return how usual the option's name is for this role, 0 being the most; None if it means something else."""
    if entry.kind != "int" and (role in WHOLE or entry.kind != "float"):
        return None
    if entry.value is None or isinstance(entry.value, str | bool) or entry.value < 0:
        return None
    words = [_word(name) for name in (*entry.flags, entry.name)]
    places = [NAMES[role].index(word) for word in words if word in NAMES[role]]
    return min(places, default=None)


def _word(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_").lower()


def _option(role: str, entry: Argument) -> Option:
    value = entry.value if isinstance(entry.value, int | float) else None
    long = max(entry.flags, key=len)
    return Option(role=role, flag=long, value=value, typed=entry.typed, fixed=entry.only_ahead)


def _mapped_option(role: str, flag: str, value: float | None, workload: Workload, command: Command) -> Option:
    known = next((entry for entry in workload.arguments if flag in entry.flags), None)
    if known is not None and value is None:
        option = _option(role, known)
        return replace(option, flag=flag)
    typed = _typed_value(flag, command.args)
    number = value if value is not None else typed
    whole = number is not None and role in WHOLE and number == int(number)
    return Option(role=role, flag=flag, value=int(number) if whole and number else number, typed=typed is not None)


def _typed_value(flag: str, args: Sequence[str]) -> float | None:
    """Return the option's typed value, for a script whose options are unknown."""
    found = None
    for place, word in enumerate(args):
        if word.startswith(flag + "="):
            found = word.partition("=")[2]
        elif word == flag and place + 1 < len(args):
            found = args[place + 1]
    try:
        return float(found) if found is not None else None
    except ValueError:
        return None


# --- knobs ----------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class _Draft:
    hardware: Hardware
    workload: Workload
    options: Mapping[str, Option]
    mapped: frozenset[str]
    argument_knobs: list[ArgumentKnob] = field(default_factory=list)
    closed: list[Skipped] = field(default_factory=list)

    def usable(self, role: str, knob: str) -> Option | None:
        """Return the option if its value is known and can be changed; otherwise record the reason."""
        option = self.options.get(role)
        if option is None:
            return None
        why = None
        if option.value is None:
            given = parameter("mapped", f"{role}={option.flag}:VALUE")
            why = f"the script's value of {option.flag} is unknown: give it with {given}"
        elif option.fixed and not option.typed:
            why = f"{option.flag} precedes a subcommand's options: pass it explicitly, so that its place is known"
        elif role != WORKERS and option.value < 1:
            why = f"{option.flag} is {option.value:g} in the script"
        if why is not None:
            self.closed.append(Skipped(what=knob, why=why))
            return None
        return option


def command_line(
    hardware: Hardware, workload: Workload, command: Command, mapped: Mapping[str, tuple[str, float | None]]
) -> CommandLine:
    """Return the knobs for the script's own options: those that a running process cannot set, and the user's mapped."""
    options = find_options(workload, command, mapped)
    draft = _Draft(
        hardware=hardware,
        workload=workload,
        options={option.role: option for option in options},
        mapped=frozenset(mapped),
    )
    live = workload.train_loader
    if live is None or live.batch_size is None or {MICRO_BATCH, GLOBAL_BATCH} & set(mapped):
        _batches(draft)
    if live is None or WORKERS in mapped:
        _workers(draft)
    return CommandLine(options=options, argument_knobs=tuple(draft.argument_knobs), closed=tuple(draft.closed))


def _batches(draft: _Draft) -> None:
    micro = draft.usable(MICRO_BATCH, MICRO_BATCH)
    steps = _pieces(draft)
    whole = draft.usable(GLOBAL_BATCH, GLOBAL_BATCH)
    if micro is not None and (steps is not None or whole is not None):
        _micro_batch(draft, micro, steps)
    if whole is not None:
        _global_batch(draft, whole, 1)
    elif micro is not None:
        parts = max(1, draft.workload.facts.micro_steps) * draft.workload.world_size
        _global_batch(draft, micro, parts)


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
        if rate is not None and rate.value and not (rate.fixed and not rate.typed):
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
    draft.argument_knobs.append(
        ArgumentKnob(knob=knob, values=tuple(values), effect=effect, why=why, arguments=dict(values))
    )


def describe_rate(line: CommandLine, config: Config) -> str | None:
    """Describe how the learning rate changes with the batch under these settings; return None if it stays."""
    rate = next((option for option in line.options if option.role == RATE), None)
    flags = line.arguments(config).get(global_batch.KNOB.id, {})
    if rate is None or rate.flag not in flags:
        return None
    return f"{rate.flag} goes from {rate.value:g} to {flags[rate.flag]:g} with the batch"
