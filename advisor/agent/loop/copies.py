"""Copies from the host to the accelerator as a phase of their own."""

from __future__ import annotations

from typing import Any, Callable

from ..base.pass_through import stands_for
from ..base.patches import Patches
from .clock import HOST_TO_DEVICE, StepClock

_STAYS = ("cpu", "meta")


class HostToDevice:
    """Patches of `Tensor.to`, `cuda` and `copy_`, only for scripts that use an accelerator."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self._patches = Patches()

    def install(self) -> None:
        import torch

        if self._patches.on:
            return
        tensor = torch.Tensor
        self._patches.replace(tensor, "to", lambda original: self._phase(original, leaves_by_to))
        self._patches.replace(tensor, "cuda", lambda original: self._phase(original, lambda _args, _kwargs: True))
        self._patches.replace(tensor, "copy_", lambda original: self._phase(original, None))

    def remove(self) -> None:
        self._patches.restore()

    def _phase(self, original: Any, leaves: Callable[[object, object], bool] | None) -> object:
        import torch

        clock, patches = self._clock, self._patches
        compiling = torch.compiler.is_dynamo_compiling

        @stands_for(original, in_c=True)
        def call(self: Any, *args: Any, **kwargs: object) -> object:
            if not patches.on or compiling() or not clock.mine() or clock.phase == HOST_TO_DEVICE:
                return original(self, *args, **kwargs)
            if leaves is None:
                source = args[0] if args else kwargs.get("src")
                copies = self.device.type not in _STAYS and _is_on_host(source)
            else:
                copies = self.device.type == "cpu" and leaves(args, kwargs)
            if not copies:
                return original(self, *args, **kwargs)
            clock.push(HOST_TO_DEVICE)
            try:
                return original(self, *args, **kwargs)
            finally:
                clock.pop()

        return call


def _is_on_host(source: object) -> bool:
    device = getattr(source, "device", None)
    return device is not None and device.type == "cpu"


def leaves_by_to(args: Any, kwargs: Any) -> bool:
    """Return whether `to(…)` of a tensor on the host copies it to an accelerator."""
    target = kwargs.get("device", kwargs.get("other", args[0] if args else None))
    if isinstance(target, str):
        return target.split(":", 1)[0] not in _STAYS
    if isinstance(target, int) and not isinstance(target, bool):
        return True
    kind = getattr(getattr(target, "device", target), "type", None)
    return isinstance(kind, str) and kind not in _STAYS
