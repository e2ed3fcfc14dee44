"""Batches that several processes share: the weight of each one's part, their common order, an epoch's end.

What the loader gives is trained on at once, or later where a library reads ahead.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections import deque
from dataclasses import dataclass
from typing import Any

from ..loader.hooks import LoaderHooks
from ..loader.loops import read_ahead
from ..loader.shares import Share

OF_SUMS = 2
"""torch's number for `reduction="sum"`."""


@dataclass(frozen=True)
class _Delivered:
    share: Share | None = None
    """Share of this process; None if it has the whole batch."""
    ends_epoch: bool = False


class SharedBatches:
    """Batches of the training's loader in the order in which they are trained on."""

    def __init__(self, loaders: LoaderHooks) -> None:
        self._loaders = loaders
        self._recent: deque[_Delivered] = deque([_Delivered()], maxlen=1)
        self._reads_ahead: int | None = None
        self.digest = 0
        """Digest of all batches so far, the same on all ranks."""

    def delivered(self, index: Any) -> None:
        """Note the indices of a batch, as a callback of the loader's deliveries; None is the loader's end."""
        if index is None:
            if self._reads_ahead:
                self._recent.append(_Delivered())  # the last batch is trained on after the loader's end
            return
        if self._reads_ahead is None:
            self._reads_ahead = read_ahead(sys._getframe(1))
            self._recent = deque([_Delivered()] * (1 + self._reads_ahead), maxlen=1 + self._reads_ahead)
        share = index if type(index) is Share else None
        self._recent.append(_Delivered(share, self._is_last()))
        self.digest = zlib.crc32(_bytes_of(share.whole if share is not None else index), self.digest)

    def weight(self, loss: Any) -> float:
        """Return the factor of this process' gradients with which their mean over the ranks is that of the batch."""
        share = self._recent[0].share
        if share is None:
            return 1.0
        return share.weight_of_sum if _is_sum(loss, len(share)) else share.weight

    @property
    def ends_epoch(self) -> bool:
        """True if the batch that is trained on is the last one of its epoch; False as well if that is unknown."""
        return self._recent[0].ends_epoch

    def _is_last(self) -> bool:
        feed, _iterator = self._loaders.current()
        length = self._loaders.epoch_batches()
        return feed is not None and length is not None and feed.given >= length


def _bytes_of(index: Any) -> bytes:
    """Return bytes that differ between batches; whole numbers are packed, as writing them out takes four times as
    long. Other keys, which a sampler may give one by one, are written out."""
    if isinstance(index, list):
        try:
            return array("q", index).tobytes()
        except (TypeError, OverflowError):
            pass
    return repr(index).encode()


def _is_sum(loss: Any, samples: int) -> bool:
    """Return whether the loss is a sum over this many samples: by the operator that has made it."""
    made_by = getattr(loss, "grad_fn", None)
    if made_by is None:
        return False
    if getattr(made_by, "_saved_reduction", None) == OF_SUMS:
        return True
    sizes: Any = getattr(made_by, "_saved_self_sym_sizes", None)
    return type(made_by).__name__ == "SumBackward0" and bool(sizes) and int(sizes[0]) == samples
