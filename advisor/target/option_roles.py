"""Options and constants of a script that stand for knobs, recognised by their names and types.

A constant is a literal in the script, such as `BATCH_SIZE = 64`, or in a module beside it that it imports by name. It
is used where the script has no option of that meaning. The user maps an unknown name: `--set micro_batch=--my-flag`,
or `--set micro_batch=MY_CONSTANT`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .. import knobs, script_constants
from ..errors import UsageError
from ..knobs import global_batch, learning_rate, micro_batch, num_workers
from ..number_range import LARGEST_NUMBER, in_range
from ..refused import Refused
from ..script_constants import ByModule, Constant, SourceFile, Unsettable
from ..spelling import parameter
from ..types import Argument, Command, Workload
from ..unknown_name import UnknownNameError

ArgumentValue = int | float | str
MICRO_BATCH, GLOBAL_BATCH, WORKERS = micro_batch.KNOB.id, global_batch.KNOB.id, num_workers.KNOB.id
RATE, ACCUMULATION, EPOCHS = learning_rate.KNOB.id, "accumulation", "epochs"
ROLES = (MICRO_BATCH, GLOBAL_BATCH, WORKERS, RATE, ACCUMULATION)
"""Knobs that the user can map to an option or a constant."""
NAMES: Mapping[str, tuple[str, ...]] = {
    **{role: knobs.get(role).option_names for role in (MICRO_BATCH, GLOBAL_BATCH, WORKERS, RATE)},
    ACCUMULATION: (
        "gradient_accumulation_steps", "grad_accumulation_steps", "accumulation_steps", "grad_accum_steps",
        "accum_steps", "accumulate_grad_batches", "gradient_accumulation", "grad_accum", "accum_iter", "iter_size",
    ),
    EPOCHS: ("epochs", "num_epochs", "n_epochs", "num_train_epochs", "max_epochs"),
}  # fmt: skip
"""Names of options and constants in public training scripts, the most usual first; with underscores, in lower case."""
WHOLE = (MICRO_BATCH, GLOBAL_BATCH, WORKERS, ACCUMULATION, EPOCHS)
"""Roles with whole-number values; an option of another type means something else."""
NEAR = 0.8
"""Similarity from which an unknown name is taken for a constant's name with a typing error."""
_MAPPED = re.compile(r"([a-z_]+)=(-{0,2}[A-Za-z_][A-Za-z0-9_.-]*)(?::(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))?")


@dataclass(frozen=True, kw_only=True)
class Option:
    """Option or constant of the script that stands for something known."""

    role: str
    flag: str
    """Option as typed, or name of the constant."""
    value: int | float | None
    """Value in the baseline; None if unknown."""
    typed: bool = False
    fixed: bool = False
    """True if it cannot be added to the command line, only changed where it was passed."""
    place: tuple[str, str] | None = None
    """For a constant: its module ("" is the script) and its name there."""
    where: str = ""
    """For a constant: file and line."""
    why_closed: str | None = None
    """Reason why it cannot be set."""


def parse_mapped(words: Iterable[str]) -> dict[str, tuple[str, float | None]]:
    """Parse `--set KNOB=NAME` or `KNOB=NAME:VALUE` into KNOB → flag or constant, and its value if one is given.

    Raises UsageError for anything else.
    """
    found: dict[str, tuple[str, float | None]] = {}
    for word in words:
        match = _MAPPED.fullmatch(word)
        if match is None:
            raise UsageError(
                f"invalid {parameter('mapped', word)}: expected KNOB=FLAG or KNOB=CONSTANT, for example "
                "micro_batch=--my-batch or micro_batch=MY_BATCH"
            )
        if match[1] not in ROLES:
            raise UnknownNameError(
                f"invalid {parameter('mapped', word)}: unknown knob {match[1]!r}", ROLES, name=match[1]
            )
        if match[1] in found:
            raise UsageError(
                f"invalid {parameter('mapped', word)}: {match[1]} is already mapped to {found[match[1]][0]}"
            )
        value = float(match[3]) if match[3] else None
        if value is not None and not in_range(value):
            raise UsageError(f"invalid {parameter('mapped', word)}: expected a value of at most {LARGEST_NUMBER:g}")
        found[match[1]] = (match[2], value)
    return found


def check_mapped(mapped: Mapping[str, tuple[str, float | None]], command: Command) -> None:
    """Raise UsageError, before anything is run, for a mapped constant that cannot be set or has another value."""
    known = _constants(command) if mapped else {}
    for role, (name, value) in mapped.items():
        if _typed_value(name, command.args) is not None:
            continue
        given = parameter("mapped", f"{role}={name}")
        if name in known:
            option = _constant_option(role, name, *known[name], given=value)
            if option.why_closed is not None:
                raise UsageError(f"invalid {given}: {option.why_closed}")
        near = difflib.get_close_matches(name, known, n=1, cutoff=NEAR) if name not in known else []
        if near and not name.startswith("-"):
            raise UsageError(f"invalid {given}: {command.target} has no constant {name}; did you mean {near[0]}?")


def describe_options(options: Sequence[Option]) -> tuple[str, ...]:
    """Describe the options and constants for a person, one line each."""
    names = {MICRO_BATCH: "samples per batch", GLOBAL_BATCH: "samples per update", WORKERS: "loader workers"}
    lines = []
    for option in options:
        meaning = names.get(option.role, option.role.replace("_", " "))
        if option.why_closed is not None:
            lines.append(f"{option.why_closed}: not used as {meaning}")
            continue
        origin = option.where or ("as passed" if option.typed else "its default")
        equals = " =" if option.place is not None else ""
        value = f"{equals} {option.value:g} ({origin})" if option.value is not None else ""
        lines.append(f"{option.flag}{value}: {meaning}")
    return tuple(lines)


def find_options(
    workload: Workload, command: Command, mapped: Mapping[str, tuple[str, float | None]]
) -> tuple[Option, ...]:
    """Find what stands for something known: the user's mapping, then options by name, then constants by name."""
    constants = _constants(command)
    found = [_mapped_option(role, flag, value, workload, command, constants) for role, (flag, value) in mapped.items()]
    for role in NAMES:
        if role in mapped:
            continue
        candidates = [entry for entry in workload.arguments if _rank(entry, role) is not None]
        if candidates:
            found.append(_option(role, min(candidates, key=lambda entry: _rank(entry, role) or 0)))
        elif (constant := _constant_of(role, constants)) is not None:
            found.append(constant)
    return tuple(found)


def _rank(entry: Argument, role: str) -> int | None:
    """Return how usual the option's name is for this role, 0 being the most; None if it means something else."""
    if entry.kind != "int" and (role in WHOLE or entry.kind != "float"):
        return None
    if entry.value is None or isinstance(entry.value, str | bool) or entry.value < 0 or not in_range(entry.value):
        return None
    return _rank_of_names(role, *(_word(name) for name in (*entry.flags, entry.name)))


def _rank_of_names(role: str, *words: str) -> int | None:
    return min((NAMES[role].index(word) for word in words if word in NAMES[role]), default=None)


def _word(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_").lower()


def _option(role: str, entry: Argument) -> Option:
    value = entry.value if isinstance(entry.value, int | float) else None
    long = max(entry.flags, key=len)
    return Option(role=role, flag=long, value=value, typed=entry.typed, fixed=entry.only_ahead)


def _mapped_option(
    role: str, flag: str, value: float | None, workload: Workload, command: Command, constants: _Constants
) -> Option:
    known = next((entry for entry in workload.arguments if flag in entry.flags), None)
    if known is not None and value is None:
        option = _option(role, known)
        return replace(option, flag=flag)
    typed = _typed_value(flag, command.args)
    if typed is None and flag in constants:
        return _constant_option(role, flag, *constants[flag], given=value)
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
        number = float(found) if found is not None else None
    except ValueError:
        return None
    return number if number is not None and in_range(number) else None


# --- constants --------------------------------------------------------------------------------------------------------

_Constants = Mapping[str, tuple[SourceFile, Constant | Unsettable]]


def constants_by_module(values: Mapping[str, ArgumentValue], command: Command) -> ByModule:
    """Sort constants by the modules that hold them; raise UsageError if one cannot be set in this script any more."""
    try:
        return script_constants.by_module(values, command.target, is_module=command.is_module, cwd=command.cwd)
    except Refused as error:
        raise UsageError(f"{error}; correct the entries below constants: in the file, or search again") from error


def _constants(command: Command) -> _Constants:
    """Return the script's constants by name; none for a function, whose module a notebook or a program has loaded."""
    if command.function:
        return {}
    try:
        files = script_constants.source_files(command.target, is_module=command.is_module, cwd=command.cwd)
    except Refused:
        return {}
    return script_constants.constants_by_name(files)


def _constant_of(role: str, constants: _Constants) -> Option | None:
    """Return the constant with the most usual name for this role; of several, none can be used."""
    ranked: dict[int, list[Option]] = {}
    computed: dict[int, list[Option]] = {}
    for name, (file, one) in constants.items():
        word = name.rpartition(".")[2].strip("_")
        rank = _rank_of_names(role, word.lower())
        # `batch` and `lr` are also names of a loop's variables.
        if rank is None or (isinstance(one, Unsettable) and not (word.isupper() or "_" in word)):
            continue
        if isinstance(one, Unsettable) or _can_be(role, one.value):
            known = computed if isinstance(one, Unsettable) and one.is_computed else ranked
            known.setdefault(rank, []).append(_constant_option(role, name, file, one))
    if not ranked and not computed:
        return None
    # `batch_size = config["batch_size"]` does not hide the constant that it reads.
    rank = min({**ranked, **computed})
    best = ranked.get(rank) or computed[rank]
    closed = next((option for option in best if option.why_closed is not None), None)
    if closed is None and len(best) > 1:
        names = " and ".join(option.flag for option in best)
        chosen = parameter("mapped", f"{role}={best[0].flag}")
        return replace(best[0], why_closed=f"{names} have the same meaning: choose with {chosen}")
    return closed or best[0]


def _constant_option(
    role: str, name: str, file: SourceFile, one: Constant | Unsettable, *, given: float | None = None
) -> Option:
    path = file.path.name
    where = f"line {one.line} of {path}"
    value = None if isinstance(one, Unsettable) else one.value
    option = Option(
        role=role,
        flag=name,
        value=value if isinstance(value, int | float) and not isinstance(value, bool) else None,
        place=(file.module, one.name),
        where=where,
    )
    if isinstance(one, Unsettable):
        return replace(option, why_closed=f"{name} of {path} {one.why}")
    if not _can_be(role, one.value):
        return replace(option, why_closed=f"{name} is {one.value!r} in {where}, which is not a number for {role}")
    if given is not None and given != one.value:
        return replace(option, why_closed=f"{name} is {one.value!r} in {where}, not {given:g}")
    return option


def _can_be(role: str, value: object) -> bool:
    """Return whether a constant with this value can have this role."""
    if isinstance(value, bool) or not isinstance(value, int if role in WHOLE else int | float):
        return False
    return value >= 0 and in_range(value)
