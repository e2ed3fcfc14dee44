"""Options shared by several commands."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

import typer
from typer.core import TyperCommand

from ..errors import UsageError
from ..number_range import LARGEST_NUMBER, in_range
from ._choices import IsolationName

PASS_THROUGH = {"allow_interspersed_args": False, "ignore_unknown_options": True}
"""Context settings that pass all words after the script to the script, even if they look like options."""

Script = Annotated[
    str,
    typer.Argument(
        metavar="SCRIPT", help="Training script; with -m, name of the module; or torchrun, with its line behind it."
    ),
]
Args = Annotated[
    list[str] | None, typer.Argument(metavar="[ARGS]...", help="Arguments of the script, passed unchanged.")
]
Module = Annotated[bool, typer.Option("-m", "--module", help="Run SCRIPT as a module, as `python -m` does.")]
Python = Annotated[
    str | None, typer.Option("--python", metavar="PATH", help="Python interpreter of the script, with torch installed.")
]
Isolation = Annotated[
    IsolationName,
    typer.Option("--isolation", help="Protection of your files; copy and none do not protect them."),
]
Runs = Annotated[Path | None, typer.Option("--runs", metavar="DIR", help="Folder of the stored runs.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
StartLimit = Annotated[
    float | None, typer.Option("--start-limit", metavar="SECONDS", help="Longest time until the first update.", min=1.0)
]
NoProgressLimit = Annotated[
    float | None,
    typer.Option(
        "--no-progress-limit",
        metavar="SECONDS",
        help="Longest time without progress; then the script counts as hung.",
        min=1.0,
    ),
]
MemoryLimit = Annotated[
    float | None,
    typer.Option("--memory-limit", metavar="GIB", help="Most memory that the script's processes may use.", min=0.01),
]
Trackers = Annotated[bool, typer.Option("--trackers", help="Keep experiment trackers online.")]
Rounds = Annotated[
    int, typer.Option("--rounds", metavar="N", help="Largest number of rounds, each a pair of processes.")
]
RoundsBudget = Annotated[str, typer.Option("--budget", metavar="TIME", help="Time for all rounds, such as 90s or 10m.")]
ConfigFile = Annotated[Path, typer.Option("--config", metavar="FILE", help="Settings file written by advisor tune.")]


STORAGE_VARIABLE = "ADVISOR_STORAGE"
"""Environment variable in place of `--storage`: passwords on a command line are seen by everybody on the machine."""


MOST_DIGITS = 24
"""Digits of a number that a message quotes; a float has fewer."""
_OPTIONS = {
    "module": "-m",
    "no_knobs": "--no-knob",
    "mapped": "--set",
    "settings": "--set",
    "overwrite": "--force",
    "ref": "--against",
    "start_limit_s": "--start-limit",
    "no_progress_limit_s": "--no-progress-limit",
}
"""Options whose names are not those of their parameters."""


def as_option(name: str, value: object) -> str:
    """Spell a parameter of the Python API as its option; a flag has no value."""
    option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
    if value is None or value is True:
        return option
    return f"{option} {value:g}" if isinstance(value, float) else f"{option} {value}"


def _short(number: float) -> str:
    """Return a number as text; of hundreds of digits, the first ones."""
    text = str(number)
    return text if len(text) <= MOST_DIGITS else f"{text[:MOST_DIGITS]}…"


_EXPECTED = (
    ("a valid integer", "a whole number"),
    ("a valid number", "a number"),
    ("greater than or equal to ", "a number of at least "),
)
"""What pydantic says that an input should be, and how it reads here."""


def _refused_number(error: Exception, typed: Sequence[str]) -> str | None:
    """Return typer's refusal of a number with the value, which its own text lacks; None for any other error."""
    option = next(iter(getattr(getattr(error, "param", None), "opts", ())), None)
    _, is_number, should_be = getattr(error, "message", "").partition("Input should be ")
    if option is None or not is_number:
        return None
    pairs = itertools.pairwise((*typed, ""))
    values = [after if word == option else word.partition("=")[2] for word, after in pairs if _is(word, option)]
    for begin, expected in _EXPECTED:
        if should_be.startswith(begin):
            should_be = expected + should_be.removeprefix(begin).partition(",")[0]
    return f"invalid {option} {values[-1] if values and values[-1] else repr('')}: expected {should_be}"


def _is(word: str, option: str) -> bool:
    return word == option or word.startswith(f"{option}=")


class PlainUsageCommand(TyperCommand):
    """Command whose usage line reads as its metavars: `SCRIPT [ARGS]...`. It takes no number that is out of range."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words, and refuse numbers that nothing can be computed with."""
        typed = tuple(args)
        try:
            rest: list[str] = super().parse_args(ctx, args)
        except Exception as error:
            why = _refused_number(error, typed)
            if why is None:
                raise
            raise UsageError(why) from None
        for param in self.params:
            value = ctx.params.get(str(param.name))
            if isinstance(value, int | float) and not in_range(value):
                raise UsageError(
                    f"invalid {param.opts[0]} {_short(value)}: expected a number of at most {LARGEST_NUMBER:g}"
                )
        return rest

    def collect_usage_pieces(self, _ctx: Any) -> list[str]:
        """Return the metavars of the arguments; Typer would put braces around them."""
        arguments = [param.metavar for param in self.params if param.param_type_name == "argument"]
        return ["[OPTIONS]", *(name for name in arguments if name)]


class RunKeywords(TypedDict):
    """Keywords of the API on how the script is run."""

    module: bool
    python: str | None
    isolation: str
    runs: Path | None
    start_limit_s: float | None
    no_progress_limit_s: float | None
    memory_limit_bytes: int | None
    trackers_offline: bool


def with_run_options(command: Callable[..., None], *, without: Sequence[str] = ()) -> Callable[..., None]:
    """Add the options on how the script is run to a command, which gets their values as its parameter `run`."""
    own = inspect.signature(command, eval_str=True).parameters
    every = inspect.signature(_keywords, eval_str=True).parameters
    shared = {name: parameter for name, parameter in every.items() if name not in without}

    @functools.wraps(command)
    def with_options(**values: Any) -> None:
        run = _keywords(**{name: values.pop(name) for name in shared})
        command(**values, run=run)

    parameters = [parameter for name, parameter in own.items() if name != "run"] + list(shared.values())
    vars(with_options)["__signature__"] = inspect.Signature(parameters)  # typer makes the options from these two
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def _keywords(
    module: Module = False,
    python: Python = None,
    isolation: Isolation = IsolationName.AUTO,
    runs: Runs = None,
    start_limit: StartLimit = None,
    no_progress_limit: NoProgressLimit = None,
    memory_limit: MemoryLimit = None,
    trackers: Trackers = False,
) -> RunKeywords:
    return {
        "module": module,
        "python": python,
        "isolation": isolation,
        "runs": runs,
        "start_limit_s": start_limit,
        "no_progress_limit_s": no_progress_limit,
        "memory_limit_bytes": None if memory_limit is None else int(memory_limit * 2**30),
        "trackers_offline": not trackers,
    }
