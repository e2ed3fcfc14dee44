"""Lines of torchrun and `accelerate launch`: the script that they start, and the launcher's own options.

Only an option's spelling is known here, not its meaning: the launcher reads its options itself. An option has a value
unless it is one of the flags below; tests compare them with the installed launchers' own parsers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import UsageError
from ..types import Command

_SHARED_FLAGS = frozenset({"--help", "-h", "--module", "-m", "--no-python"})
FLAGS = {
    "torchrun": _SHARED_FLAGS | {"--standalone", "--run-path", "--virtual-local-rank", "--use-env"},
    "accelerate": _SHARED_FLAGS
    | {
        "--quiet",
        "-q",
        "--cpu",
        "--multi-gpu",
        "--tpu",
        "--enable-cpu-affinity",
        "--dynamo-use-fullgraph",
        "--dynamo-use-dynamic",
        "--dynamo-use-regional-compilation",
        "--use-deepspeed",
        "--use-fsdp",
        "--use-parallelism-config",
        "--use-megatron-lm",
        "--same-network",
        "--tpu-cluster",
        "--no-tpu-cluster",
        "--tpu-use-sudo",
        "--downcast-bf16",
        "--fp8-use-autocast-during-eval",
        "--debug",
    },
}
"""Options of a launcher that have no value, with hyphens; both launchers also take underscores."""
MODULES = {
    "torch.distributed.run": "torchrun",
    "torch.distributed.launch": "torchrun",
    "accelerate.commands.launch": "accelerate",
}
_PYTHON = ("python", "python3")


@dataclass(frozen=True, kw_only=True)
class LaunchLine:
    """Line that starts a script on one rank or several."""

    launcher: Literal["torchrun", "accelerate"]
    options: tuple[str, ...]
    target: str
    is_module: bool
    args: tuple[str, ...]
    interpreter: str | None = None
    """Interpreter beside a launcher that was typed with its path."""


def read(words: Sequence[str], *, is_module: bool) -> LaunchLine | None:
    """Return the line if the words begin with a launcher; None for a plain script or module.

    Raises UsageError for a line without a script, and for programs that are no Python scripts.
    """
    start = _start(list(words), is_module)
    if start is None:
        return None
    launcher, rest, interpreter = start
    flags, options, module = FLAGS[launcher], list[str](), False
    while rest and rest[0].startswith("-") and rest[0] != "--":
        word = rest.pop(0)
        name = _hyphens(word.partition("=")[0])
        known = name if name in flags else None
        if known in ("--no-python", "--run-path"):
            raise UsageError(f"{launcher} {word} starts no plain Python script: give a line that starts one")
        if known in ("-m", "--module"):
            module = True
        else:
            options.append(word)
        if known is None and "=" not in word and rest:
            options.append(rest.pop(0))
    if rest and rest[0] == "--":
        rest.pop(0)
    if not rest:
        raise UsageError(f"the {launcher} line has no script: give it after the launcher's options")
    return LaunchLine(
        launcher=launcher,
        options=tuple(options),
        target=rest[0],
        is_module=module,
        args=tuple(rest[1:]),
        interpreter=interpreter,
    )


def check_one_machine(command: Command) -> None:
    """Raise UsageError if the line waits for other machines: advisor starts and reaches the ranks of this one only."""
    options = list(command.launcher_args)
    for place, word in enumerate(options):
        name, _, value = word.partition("=")
        given = value or (options[place + 1] if place + 1 < len(options) else "")
        if _hyphens(name) in ("--nnodes", "--num-machines") and given.split(":")[0] not in ("", "1"):
            raise UsageError(
                f"{name} {given}: the line waits for other machines, and advisor measures the ranks of one; "
                f"give {name} 1 (what it finds for one machine holds for each)"
            )


def _start(words: list[str], is_module: bool) -> tuple[Literal["torchrun", "accelerate"], list[str], str | None] | None:
    """Return the launcher, the words after it and its interpreter."""
    if not is_module and words[0] in _PYTHON and words[1:2] == ["-m"] and words[2:3]:
        words, is_module = words[2:], True
    if is_module:
        found = MODULES.get(words[0])
        return None if found is None else (_launcher(found), words[1:], None)
    path = Path(words[0])
    if path.name not in FLAGS or (path.name == words[0] and path.is_file()):
        return None
    if path.name == "accelerate":
        if words[1:2] != ["launch"]:
            raise UsageError("accelerate starts a training with `accelerate launch`: give that line")
        words = words[1:]
    beside = path.parent / "python"
    return _launcher(path.name), words[1:], str(beside) if path.name != str(path) and beside.exists() else None


def _launcher(name: str) -> Literal["torchrun", "accelerate"]:
    return "accelerate" if name == "accelerate" else "torchrun"


def _hyphens(option: str) -> str:
    return option.replace("_", "-")
