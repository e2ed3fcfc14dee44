"""Words behind the script that look like options of advisor's own: they go to the script, and that is said once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

MOST_FILES = 60
"""Of the script's own modules that are looked into: a hint is not worth more of anybody's time."""
MOST_BYTES = 400_000
"""Of one of them; a longer file is no command line."""
OWN_WORDS = ("--help",)
"""Every parser has them, without a word in its source."""
# What makes options from the names of fields and parameters, so that none stands in the source as it is typed.
_FROM_NAMES = re.compile(
    r"\b(HfArgumentParser|LightningCLI|absl|fire|gflags|hydra|jsonargparse|simple_parsing|tap|typer|tyro)\b"
)


class ScriptCommand(TyperCommand):
    """A command whose words behind SCRIPT are the script's own."""

    _given: tuple[str, ...] = ()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """An option that is missing may stand behind the script: then that is said beside it."""
        self._given = tuple(args)
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            missing: list[str] = getattr(getattr(error, "param", None), "opts", [])
            if any(_name(word) in missing for word in self._given):
                _tell([missing[0]], ctx.params.get("script") or "the script")
            raise

    def invoke(self, ctx: Any) -> Any:
        """The hint comes first: a search that was not wanted need not be waited for."""
        script, args = self.script_of(ctx)
        if script is not None and not self._parted(script, args):
            own = {option for param in ctx.command.params for option in param.opts}
            hidden = mistakable(args, own, script, is_module=bool(ctx.params.get("module")))
            if hidden:
                _tell(hidden, script)
        return super().invoke(ctx)

    def script_of(self, ctx: Any) -> tuple[str | None, Sequence[str]]:
        """The script and what stands behind it; None where there is none."""
        return ctx.params.get("script"), ctx.params.get("args") or ()

    def _parted(self, script: str, args: Sequence[str]) -> bool:
        """Whether a `--` stands in front of the script: whoever writes that knows what goes where."""
        before = self._given[: -len((script, *args))]
        return bool(before) and before[-1] == "--"


def mistakable(args: Sequence[str], own: set[str], script: str, *, is_module: bool) -> list[str]:
    """The words, up to a `--`, that are spelled like one of our `own` options and that the script does not seem to
    know: nothing in its source, or in the modules beside it that it imports, is spelled so."""
    ends = args.index("--") if "--" in args else len(args)
    found = [name for word in args[:ends] if (name := _name(word)) in own and name not in OWN_WORDS]
    if not found:
        return []
    sources = list(_sources(script, is_module))
    if not sources and not is_module:
        return []  # there is no such script, and that is all that has to be said
    return [name for name in dict.fromkeys(found) if not any(_knows(source, name) for source in sources)]


def _tell(options: Sequence[str], script: str) -> None:
    one = len(options) == 1
    typer.echo(
        f"advisor: {', '.join(options)} {'stands' if one else 'stand'} behind {script} and {'goes' if one else 'go'} "
        "to it; advisor's own options stand before the script",
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
    """The text of the script, then of the modules beside it that it imports, and so on; read, never run."""
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
    """Names of modules, as seen from the folder `root`."""
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
    """What a relative import of that level is relative to."""
    if not level:
        return ()
    try:
        parts = path.parent.relative_to(root).parts
    except ValueError:
        return ()
    return parts[: len(parts) - (level - 1)]
