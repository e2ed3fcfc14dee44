"""Build of an interpreter's torch, queried in its own process, because the controller never imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..types.hardware import Accelerator, TorchBuild
from ._child import ChildFailedError, ask_child

CHILD = Path(__file__).with_name("torch_child.py")

TIMEOUT_S = 60.0
"""Limit for the answer: importing torch from a cold network file system took half a minute; more is a hang."""


@dataclass(frozen=True, kw_only=True)
class TorchAnswer:
    build: TorchBuild | None = None
    accelerators: tuple[Accelerator, ...] = ()
    error: str | None = None
    """Reason why there is no build; None if there is one, or if no interpreter was queried."""


def torch_build(interpreter: str | None, *, timeout_s: float = TIMEOUT_S) -> TorchAnswer:
    """Query the interpreter; with None, query nothing."""
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
