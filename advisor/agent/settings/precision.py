"""Mixed precision from outside: autocast opens at the first root forward of an update and closes when backward begins.

This equals "forward and loss under autocast", written by hand, bit for bit. Held open any longer it would be silently
wrong: autocast keeps the cast weights until its outermost context ends, and a model whose cast weights are kept over a
step is not trained.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any, Callable

from ...knobs.precision import DTYPES, KNOB
from ...refused import Refused
from ..base.nothing import nothing
from ..base.pass_through import passes_on
from ..loop.roots import Root, Roots
from .earlier_dtypes import EarlierDtypes
from .scaling import Scaler


class Precision:
    """Mixed precision, one instance per process. It does nothing, and costs nothing, until a dtype is set."""

    setting = KNOB.id

    def __init__(
        self,
        roots: Roots,
        arm: Callable[[Callable[[], None] | None], None] = nothing,
        scaler: Scaler | None = None,
    ) -> None:
        """Prepare. `arm` takes the function to call before every backward, step and batch from now on; None is none.
        `scaler` scales the loss of fp16, which is refused without it."""
        self._roots = roots
        self._arm = arm
        self._scaler = scaler
        self._dtype: Any = None
        self._context: Any = None
        self._switches: tuple[str, bool] | None = None
        self._earlier = EarlierDtypes()

    def set(self, name: str) -> None:
        """Set the dtype from the next forward on: `bf16`, `fp16`, or `tf32` for the products that stay in fp32."""
        import torch

        self.restore()
        if name == "tf32":
            self._allow_tf32(torch)
            return
        if name not in DTYPES:
            raise Refused(f"unknown precision={name!r}: expected one of {', '.join([*DTYPES, 'tf32'])}")
        if torch.is_autocast_enabled("cuda") or torch.is_autocast_enabled("cpu"):
            raise Refused("the script has an active autocast: it has chosen its precision")
        if name == "fp16":
            if self._scaler is None:
                raise Refused("fp16 needs loss scaling, which is missing here")
            self._scaler.start()
        self._dtype = getattr(torch, DTYPES[name])
        self._roots.around_forward = self._around
        self._arm(self.close)

    def restore(self) -> None:
        """Bring back the baseline."""
        self.close()
        self._arm(None)
        if self._dtype is not None:
            self._earlier.leave(self._dtype)
            self._roots.arguments = self._earlier.widened
        self._dtype = None
        self._roots.around_forward = None
        if self._scaler is not None:
            self._scaler.stop()
        if self._switches is not None:
            import torch

            matmul, torch.backends.cudnn.allow_tf32 = self._switches
            torch.set_float32_matmul_precision(matmul)
            self._switches = None

    def close(self) -> None:
        """Close autocast when backward begins, the optimizer steps or a batch is requested; harmless if not open."""
        context, self._context = self._context, None
        if context is not None:
            context.__exit__(None, None, None)

    @property
    def skipped_steps(self) -> int:
        """Steps skipped so far because a gradient of fp16 overflowed."""
        return self._scaler.skipped if self._scaler is not None else 0

    @property
    def on(self) -> bool:
        """True if forwards run under our autocast."""
        return self._dtype is not None

    # --- around a forward ---------------------------------------------------------------------------------------------

    @passes_on
    def _around(self, root: Root, training: bool, run: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        import torch

        device = _device_of(root)
        if self._context is None and torch.is_autocast_enabled(device):
            return run(*args, **kwargs)  # the script's own autocast wins
        return self._cast(device, training, run, args, kwargs)

    @passes_on
    def _cast(self, device: str, training: bool, run: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        import torch

        if training:
            if self._context is None:
                context: Any = torch.autocast(device, dtype=self._dtype)
                context.__enter__()
                self._context = context
            return run(*args, **kwargs)
        # A weight cast with grad off must not be kept for a forward that trains.
        with torch.autocast(device, dtype=self._dtype, cache_enabled=self._context is None):
            return run(*args, **kwargs)

    def _allow_tf32(self, torch: ModuleType) -> None:
        if not torch.cuda.is_available():
            raise Refused("tf32 needs a CUDA device, and torch finds none")
        self._switches = (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32)
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True


@functools.lru_cache(maxsize=1)
def _no_parameters_on() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _device_of(root: Root) -> str:
    """Return the device type of the module's first parameter."""
    if root.device is None:
        module = root.ref()
        first = next(iter(module.parameters()), None) if module is not None else None
        root.device = first.device.type if first is not None else _no_parameters_on()
    return root.device
