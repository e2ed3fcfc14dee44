"""Updates that a rank without data left accompanies: under `model.join()` it still answers the others' collectives.

Each of them counts as an update on this rank, too: all ranks then count alike, and change settings together.
"""

from __future__ import annotations

from typing import Any, Callable

from ..base import imports
from ..base.pass_through import stands_for
from ..base.patches import Patches
from ..loop.clock import StepClock


class JoinedRanks:
    """Patch of torch's hook that repeats the collectives of a forward and backward."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self._patches = Patches()

    def install(self) -> None:
        """Watch from the import of torch's DistributedDataParallel on."""
        imports.when_imported("torch.nn.parallel.distributed", self._imported)

    def _imported(self, module: Any) -> None:
        hook = getattr(module, "_DDPJoinHook", None)
        if hook is not None:
            self._patches.replace(hook, "main_hook", self._counting)

    def _counting(self, original: Callable[[Any], None]) -> Callable[[Any], None]:
        clock = self._clock

        @stands_for(original)
        def main_hook(hook: Any) -> None:
            original(hook)
            # it is false where the others accumulate gradients, whose update then goes on
            if clock.mine() and getattr(hook.ddp, "require_forward_param_sync", True):
                clock.micro_step(None)
                clock.end_update()

        return main_hook
