"""Let the CPU take numbers below 1.2e-38 for zero (`torch.set_flush_denormal`).

Many CPUs compute with such numbers in microcode, tens of times as slowly as with others. A thread has the mode of
the thread that started it, and torch's threads start with its first large operator. So it is set right after
`import torch`, in a process of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..refused import Refused
from ._base import Knob, PlainObjects, Values, always

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls

SUPPORTED = ("x86_64", "AMD64", "aarch64", "arm64")
"""Architectures on which torch can set it."""
DENORMAL = 1e-39
"""A number below the smallest normal float32, 1.2e-38."""


def _values(hardware: Hardware, workload: Workload) -> Values:
    if workload.device != "cpu":
        return Values(why_closed=f"training runs on {workload.device}: this is a mode of the CPU")
    if hardware.cpu.architecture not in SUPPORTED:
        return Values(why_closed=f"torch cannot set this mode on {hardware.cpu.architecture}")
    return Values(values=(True,), why="operators compute with numbers below 1.2e-38")


def _on_import(_value: Any) -> None:
    import torch

    torch.set_flush_denormal(True)


def _apply(_controls: Controls, _value: Any) -> None:
    """Check that this process was started with it."""
    import torch

    if bool(torch.full((1,), DENORMAL).mul(0.5).item()):
        raise Refused(
            "this CPU cannot flush such numbers, or the script has turned the mode off, or torch was imported before"
        )


def _plain(_objects: PlainObjects, _value: Any) -> str | None:
    import torch

    return None if torch.set_flush_denormal(True) else "this CPU cannot flush numbers below 1.2e-38"


def _wrong(value: Any) -> str | None:
    return None if value is True else f"{value!r} is not true; leave the setting out instead"


KNOB = Knob(
    id="flush_denormal",
    title="zero in place of denormal numbers",
    values=_values,
    example=True,
    effect=always("numerics"),
    on_import=_on_import,
    apply=_apply,
    restore=lambda _controls: None,
    scope="launch",
    wrong=_wrong,
    rounding={True: "numbers below 1.2e-38 become zero"},
    by_hand="torch.set_flush_denormal({value}) right after `import torch`",
    chosen_for=("torch",),
    plain=_plain,
    formats={"python": lambda _value, _training: {"set_up": ["torch.set_flush_denormal(True)"]}},
    changes="Numbers below 1.2e-38 become zero. Those of a training are 30 orders of magnitude larger.",
    hooks=(),
)
