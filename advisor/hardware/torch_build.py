"""What an interpreter's torch was built for, asked in a process of its own: the controller never imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..types.hardware import Accelerator, TorchBuild
from ._child import ChildFailedError, ask_child

CHILD = Path(__file__).with_name("torch_child.py")

TIMEOUT_S = 60.0
"""Importing torch from a cold network file system was seen to take half a minute; more is a hang."""


@dataclass(frozen=True, kw_only=True)
class TorchAnswer:
    build: TorchBuild | None = None
    accelerators: tuple[Accelerator, ...] = ()
    error: str | None = None
    """Why there is no build; None where there is one, or where nobody was asked."""


def torch_build(interpreter: str | None, *, timeout_s: float = TIMEOUT_S) -> TorchAnswer:
    """Asks the interpreter; with None nobody is asked."""
    if interpreter is None:
        return TorchAnswer()
    try:
        answer = ask_child(interpreter, CHILD, {}, timeout_s=timeout_s)
    except ChildFailedError as error:
        return TorchAnswer(error=str(error))
    if "error" in answer:
        return TorchAnswer(error=f"{interpreter}: {answer['error']}")
    return TorchAnswer(
        build=TorchBuild(**{**answer["build"], "architectures": tuple(answer["build"]["architectures"])}),
        accelerators=tuple(_accelerator(item) for item in answer["accelerators"]),
    )


def _accelerator(item: dict[str, Any]) -> Accelerator:
    capability = item.get("compute_capability")
    return Accelerator(
        index=item["index"],
        kind=item["kind"],
        name=item["name"],
        memory_bytes=item["memory_bytes"],
        compute_capability=None if capability is None else (capability[0], capability[1]),
    )
