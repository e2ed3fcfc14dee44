"""Norms that the script's own clipping of gradients finds."""

from __future__ import annotations

import math
from typing import Any, Callable

from ..base.pass_through import stands_for
from ..base.patches import Patches
from ..loop.clock import StepClock

KEPT = 256
"""Norms kept at most; then every second one goes, and every second later call is noted."""
CLIP = "clip_grad_norm_"


class ClippingWatch:
    """Wrapper of `clip_grad_norm_` that keeps some of the norms it returns, where they are: reading would wait."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self._patches = Patches()
        self.on = True
        """False while a setting is tried: parts of a batch have norms of their own."""
        self._calls = 0
        self._every = 1
        self._kept: list[tuple[Any, Any]] = []

    def install(self) -> None:
        """Wrap it right after torch was imported, before scripts import it by name."""
        import torch

        functions: Any = torch.nn.utils.clip_grad
        original = getattr(functions, CLIP, None)
        if original is None:
            return
        wrapped = self._noting(original)
        for owner in (functions, torch.nn.utils):
            if getattr(owner, CLIP, None) is original:
                self._patches.replace(owner, CLIP, lambda _original: wrapped)

    def remove(self) -> None:
        self._patches.restore()

    def _noting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @stands_for(original)
        def clip(parameters: Any, max_norm: Any, *args: Any, **kwargs: Any) -> Any:
            norm = original(parameters, max_norm, *args, **kwargs)
            self._calls += self.on
            if self.on and not self._calls % self._every and self._clock.mine():
                self._note(norm, max_norm)
            return norm

        return clip

    def _note(self, norm: Any, limit: Any) -> None:
        try:  # on the CPU the value itself: a tensor that outlives its update costs page faults
            self._kept.append((norm.item() if getattr(norm, "is_cpu", False) else norm, limit))
        except Exception:  # a tensor of a class of its own may have no value
            return
        if len(self._kept) >= KEPT:
            self._kept = self._kept[1::2]
            self._every *= 2

    def facts(self) -> dict[str, Any]:
        """Return the fields of `types.LearningFacts`, between updates: norms on a device are read here."""
        self._kept = [(_number(norm), _number(limit)) for norm, limit in self._kept]
        known = [(norm, limit) for norm, limit in self._kept if norm is not None and limit is not None]
        limits = [limit for _norm, limit in known if math.isfinite(limit)]  # infinity asks for the norm alone
        if not limits:
            return {}
        return {
            "clip_limit": limits[-1],
            "clip_norms": [norm for norm, limit in known if math.isfinite(limit)],
            "clipped": sum(norm > limit for norm, limit in known),
        }


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (RuntimeError, TypeError, ValueError):
        return None
    return None if math.isnan(number) else number
