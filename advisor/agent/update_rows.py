"""What is kept of a window's updates: a row of bytes each.

Kept as objects they make the process grow by a page every few updates, and a page that was never used costs a short
update several microseconds, more in a virtual machine. In rows they take a sixth of it.
"""

from __future__ import annotations

import struct

from .clock import PHASE_NAMES, Update

_ROW = struct.Struct(f"=dqqqq{len(PHASE_NAMES)}q")
_PACK = _ROW.pack
NOT_KNOWN = -1


class UpdateRows:
    """In the order in which they came."""

    def __init__(self) -> None:
        self._rows = bytearray()
        self._whole: dict[int, Update] = {}
        """Those that are more than numbers, by their place: parts of them evaluated, or their loss is a tensor."""

    def __len__(self) -> int:
        return len(self._rows) // _ROW.size

    def add(self, update: Update) -> None:
        loss, samples = update.loss, update.samples
        if type(loss) is not float or update.evaluation_ns is not None or update.weak_evaluation_ns is not None:
            self._whole[len(self)] = update
            loss = 0.0
        if samples is None:
            samples = NOT_KNOWN
        self._rows += _PACK(loss, update.begin_ns, update.end_ns, update.micro_steps, samples, *update.phases_ns)

    def unpacked(self) -> list[Update]:
        """All of them, as they were."""
        rows = enumerate(_ROW.iter_unpack(self._rows))
        return [self._whole[place] if place in self._whole else _update(*row) for place, row in rows]


def _update(loss: float, begin_ns: int, end_ns: int, micro_steps: int, samples: int, *phases_ns: int) -> Update:
    update = Update(begin_ns)
    update.end_ns = end_ns
    update.micro_steps = micro_steps
    update.samples = None if samples == NOT_KNOWN else samples
    update.phases_ns = list(phases_ns)
    update.loss = loss
    return update
