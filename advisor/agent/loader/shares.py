"""Share of each batch for one of several processes that train together.

Every process draws the same batches, and reads its part of each. A batch that was drawn before a model is seen to be
trained on it stays whole, and every process trains on it: the mean of equal gradients is the same gradient.
"""

from __future__ import annotations

from typing import Any, Callable


class Share(list):  # type: ignore[type-arg]
    """Indices of this process' share of a batch."""

    __slots__ = ("weight", "weight_of_sum", "whole")

    def __init__(self, whole: list[Any], rank: int, ranks: int) -> None:
        """Take the share of the batch `whole`; of one with fewer samples than ranks, some take what counts nothing."""
        begin, end = (len(whole) * place // ranks for place in (rank, rank + 1))
        super().__init__(whole[begin:end] or whole[:1])
        self.whole = whole
        """The batch."""
        self.weight = (end - begin) * ranks / len(whole)
        """Factor of the gradients with which their mean over the ranks is that of the batch."""
        self.weight_of_sum = float(ranks) if end > begin else 0.0
        """The same for a loss that is a sum over samples."""


class Sharing:
    """Decision about each element that a training's loader draws."""

    def __init__(self, rank: int, ranks: int, trains_now: Callable[[], bool]) -> None:
        """Prepare; `trains_now` says whether what is read now looks like training: gradients are on, no evaluation."""
        self.rank, self.ranks = rank, ranks
        self._trains_now = trains_now

    def of(self, element: Any, is_known_to_train: bool) -> Any:
        """Return the share of what a sampler draws; what is no batch of indices stays."""
        if not isinstance(element, list) or not element:
            return element
        if not is_known_to_train and not self._trains_now():
            return element
        return Share(element, self.rank, self.ranks)
