"""Hint for words after the script that look like advisor's options: they go to the script, which is reported once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from ._options import PlainUsageCommand

OWN_WORDS = ("--help",)
"""Options that every parser has without a word in its source."""
# Libraries that derive options from names of fields and parameters, so that the source holds none as typed.
_FROM_NAMES = re.compile(
    r"\b(HfArgumentParser|LightningCLI|absl|fire|gflags|hydra|jsonargparse|simple_parsing|tap|typer|tyro)\b"
)


class ScriptCommand(PlainUsageCommand):
    """A command whose words after SCRIPT belong to the script."""

    _given: tuple[str, ...] = ()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words; if a missing option stands after the script, report that beside the error."""
        self._given = tuple(args)
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # By name: typer ships its own copy of click. A value that is refused was given in the right place.
            is_missing = type(error).__name__ == "MissingParameter"
            missing: list[str] = getattr(getattr(error, "param", None), "opts", []) if is_missing else []
            if any(_name(word) in missing for word in self._given):
                _show_hint([missing[0]], ctx.params.get("script") or "the script")
            raise

    def invoke(self, ctx: Any) -> Any:
        """Give the hint before the work, so that nobody has to wait for an unwanted search."""
        script, args = self.script_of(ctx)
        if script is not None and not self._parted(script, args):
            own = {option for param in ctx.command.params for option in param.opts}
            hidden = mistakable(args, own, script, is_module=bool(ctx.params.get("module")))
            if hidden:
                _show_hint(hidden, script)
        return super().invoke(ctx)

    def script_of(self, ctx: Any) -> tuple[str | None, Sequence[str]]:
        """Return the script and the words after it; None if there is no script."""
        return ctx.params.get("script"), ctx.params.get("args") or ()

    def _parted(self, script: str, args: Sequence[str]) -> bool:
        """Return whether a `--` stands before the script: whoever writes it knows which words go where."""
        before = self._given[: -len((script, *args))]
        return bool(before) and before[-1] == "--"


def mistakable(args: Sequence[str], own: set[str], script: str, *, is_module: bool) -> list[str]:
    """Return words before a `--` that match one of our `own` options but seem unknown to the script.

    A word is known if the script's source, or that of a module beside it that it imports, contains it.
    """
    ends = args.index("--") if "--" in args else len(args)
    found = [name for word in args[:ends] if (name := _name(word)) in own and name not in OWN_WORDS]
    if not found:
        return []
    from ..runtime.project_modules import sources as read

    sources = [source for source, _imports in read(script, is_module=is_module, cwd=Path.cwd())]
    if not sources and not is_module:
        return []  # there is no such script, and its own error is enough
    return [name for name in dict.fromkeys(found) if not any(_knows(source, name) for source in sources)]


def _show_hint(options: Sequence[str], script: str) -> None:
    verb = "follows" if len(options) == 1 else "follow"
    typer.echo(
        f"advisor: {', '.join(options)} {verb} {script} and will be passed to it; "
        "options of advisor go before the script",
        err=True,
    )


def _name(word: str) -> str:
    return word.partition("=")[0]


def _knows(source: str, option: str) -> bool:
    if re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", source):
        return True
    name = option.lstrip("-").replace("-", "_")
    return bool(_FROM_NAMES.search(source)) and bool(re.search(rf"\b{name}\b", source))
