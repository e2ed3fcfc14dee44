"""`nn.DataParallel` in processes that train together: each has one device, so it passes calls on to the model.

The module that the script has made stays, with its attribute `module` and with the names in its checkpoints. Devices
that it asks for by number are those of other processes now.
"""

from __future__ import annotations

from typing import Any, Callable

from ..base.pass_through import stands_for
from ..base.patches import Patches

WRAPPER = "DataParallel"


class DataParallelConfined:
    """Patch of `nn.DataParallel` that lets it use the first device it sees, and no other."""

    def __init__(self) -> None:
        self._patches = Patches()
        self._say: Callable[[str], None] = print
        self._of = ""
        """Class of the first model that was wrapped; "" if none was."""

    def confine(self, say: Callable[[str], None]) -> None:
        """Confine every one that is made from now on, and say so at the first one."""
        import torch

        self._say = say
        self._patches.replace(torch.nn.DataParallel, "__init__", self._confined)

    def warn_alone(self, say: Callable[[str], None]) -> None:
        """Warn of what a process that trains alone has lost: it was started with one device of several."""
        import torch

        if self._of and torch.cuda.is_available():
            say(f"{self._of} trains on one device: without these settings, nn.DataParallel would use all of them")

    def _confined(self, original: Callable[..., None]) -> Callable[..., None]:
        @stands_for(original)
        def __init__(  # noqa: N807
            wrapper: Any, module: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0
        ) -> None:
            del output_device  # it may be another process' device
            original(wrapper, module, [0] if device_ids else device_ids, dim=dim)
            if not self._of:
                self._of = type(module).__name__
                self._say(f"nn.DataParallel passes calls on to {self._of}: each process has one device")

        return __init__


def inside(model: Any) -> Any:
    """Return the model that `nn.DataParallel` wraps; any other model as it is."""
    return model.module if type(model).__name__ == WRAPPER else model
