"""Hint for words after the script that look like advisor's options: they go to the script, which is reported once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from ._options import PlainUsageCommand

MOST_FILES = 60
"""Most modules of the script to search: a hint is not worth more time."""
MOST_BYTES = 400_000
"""Size limit of such a file; a longer one does not define a command line."""
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
            missing: list[str] = getattr(getattr(error, "param", None), "opts", [])
            if any(_name(word) in missing for word in self._given):
                _tell([missing[0]], ctx.params.get("script") or "the script")
            raise

    def invoke(self, ctx: Any) -> Any:
        """Give the hint before the work, so that nobody has to wait for an unwanted search."""
        script, args = self.script_of(ctx)
        if script is not None and not self._parted(script, args):
            own = {option for param in ctx.command.params for option in param.opts}
            hidden = mistakable(args, own, script, is_module=bool(ctx.params.get("module")))
            if hidden:
                _tell(hidden, script)
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
    sources = list(_sources(script, is_module))
    if not sources and not is_module:
        return []  # there is no such script, and its own error is enough
    return [name for name in dict.fromkeys(found) if not any(_knows(source, name) for source in sources)]


def _tell(options: Sequence[str], script: str) -> None:
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


def _sources(script: str, is_module: bool) -> Iterator[str]:
    """Yield the text of the script, then of the modules beside it that it imports, and so on; read, never run."""
    root = Path.cwd() if is_module else Path(script).parent
    waiting = _files(root, script) if is_module else [Path(script)]
    seen: set[Path] = set()
    while waiting and len(seen) < MOST_FILES:
        path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        source = _text(path)
        if source is None:
            continue
        yield source
        for name in _imported(source, path, root):
            waiting += _files(root, name)


def _text(path: Path) -> str | None:
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return None
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _files(root: Path, module: str) -> list[Path]:
    base = root.joinpath(*module.split("."))
    places = (base.with_suffix(".py"), base / "__init__.py", base / "__main__.py")
    return [place for place in places if place.is_file()]


def _imported(source: str, path: Path, root: Path) -> Iterator[str]:
    """Yield names of imported modules, as seen from the folder `root`."""
    import ast

    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = _package(path, root, node.level)
            module = ".".join((*package, *([node.module] if node.module else [])))
            yield from (
                name for name in (module, *(f"{module}.{alias.name}" for alias in node.names)) if name.strip(".")
            )


def _package(path: Path, root: Path, level: int) -> tuple[str, ...]:
    """Return the package that a relative import of that level is relative to."""
    if not level:
        return ()
    try:
        parts = path.parent.relative_to(root).parts
    except ValueError:
        return ()
    return parts[: len(parts) - (level - 1)]
