"""Functions that read all gradients between backward and step: replaced to have something done before they do.

These are torch's functions for clipping, and the check for overflows of its `GradScaler`.
"""

from __future__ import annotations

from typing import Any, Callable

from ..base.pass_through import stands_for
from ..base.patches import Patches

CLIPS = ("clip_grad_norm_", "clip_grad_value_", "get_total_norm", "clip_grads_with_norm_")


def replace_clipping(
    patches: Patches,
    make: Callable[[Callable[..., Any]], Callable[..., Any]],
    is_in: Callable[[str], bool],
    names: tuple[str, ...] = CLIPS,
) -> None:
    """Put `make(original)` in place of these functions of `torch.nn.utils`, if this torch has them.

    `is_in(file)` says for the file of a module whether what it has imported by name is replaced, too.
    """
    import torch

    functions = torch.nn.utils.clip_grad
    for name in names:
        original = getattr(functions, name, None)
        if original is None:
            continue
        replacement = make(original)
        for owner in (functions, torch.nn.utils):
            if getattr(owner, name, None) is original:
                patches.replace(owner, name, lambda _original, new=replacement: new)  # type: ignore[misc]
        patches.replace_copies(original, replacement, is_in)


class GradientReaders:
    """Callback before every such call, as long as it is on."""

    def __init__(self, before: Callable[[], None]) -> None:
        self._before = before
        self._patches = Patches()

    def watch(self) -> None:
        """Call back from now on, also where a library has imported a function by name."""
        if self._patches.on:
            return
        import torch

        replace_clipping(self._patches, self._after_callback, lambda _file: True)
        scaler = getattr(getattr(torch.amp, "grad_scaler", None), "GradScaler", None)
        if hasattr(scaler, "_unscale_grads_"):
            self._patches.replace(scaler, "_unscale_grads_", self._after_callback)

    def restore(self) -> None:
        self._patches.restore()

    def _after_callback(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @stands_for(original)
        def read(*args: Any, **kwargs: Any) -> Any:
            self._before()
            return original(*args, **kwargs)

        return read
