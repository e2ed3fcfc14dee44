"""Switch between compiled and eager calls of what the script has compiled, without compiling anything again."""

from __future__ import annotations

import sys
from typing import Any

from ...refused import Refused


class CompilerStance:
    """Dynamo's stance: the script's own one, or one that runs compiled functions as plain Python."""

    def __init__(self) -> None:
        self._before: Any = None

    def force_eager(self, on: bool) -> None:
        """Raise Refused for a torch version (below 2.6) that has no stance."""
        frames: Any = sys.modules.get("torch._dynamo.eval_frame")
        if on and self._before is None:
            if not hasattr(frames, "_set_stance") or not hasattr(frames, "DynamoStance"):
                raise Refused("this version of torch cannot run compiled code eagerly for a while")
            self._before = frames._set_stance(frames.DynamoStance("force_eager"))
        elif not on and self._before is not None:
            before, self._before = self._before, None
            frames._set_stance(before)
