"""Number of backwards that make up an update, learned from the updates seen: which one is the last is then known ahead.

Scripts that accumulate gradients count to the same number again and again, except where an epoch ends. An update of
another length that no epoch's end explains means that the number is not known after all, for the rest of the training.
"""

from __future__ import annotations

ALIKE = 3
"""Updates of one length after which the next one is expected to have it, too."""


class UpdateLength:
    """Counter of backwards, one for each optimizer-driven training."""

    def __init__(self) -> None:
        self._length = 0
        self._alike = 0
        self._since_step = 0
        self._at_end = False
        """True if an epoch has ended within the present update."""
        self.is_given_up = False

    @property
    def is_known(self) -> bool:
        return self._alike >= ALIKE and not self.is_given_up

    @property
    def may_be_last(self) -> bool:
        """True unless the backward that comes next is known to be followed by another one of the same update."""
        return not self.is_known or self._since_step + 1 >= self._length

    def give_up(self) -> None:
        """Expect nothing any more."""
        self.is_given_up = True

    def backward(self, *, ends_epoch: bool) -> None:
        """Note a backward; `ends_epoch` says that it was of the last batch of an epoch."""
        self._since_step += 1
        self._at_end = self._at_end or ends_epoch

    def step(self) -> None:
        """Note a step of an optimizer; a further one without a backward in between belongs to the same update."""
        seen, at_end = self._since_step, self._at_end
        self._since_step, self._at_end = 0, False
        if not seen:
            return
        if seen == self._length:
            self._alike += 1
        elif self._length and (at_end or self._had_steps_left_out(seen)):
            return
        elif self.is_known:
            self.give_up()
        else:
            self._length, self._alike = seen, 1

    def _had_steps_left_out(self, backwards: int) -> bool:
        """Return whether it is a multiple of the length: a step is left out where a gradient overflows, for example."""
        return self.is_known and backwards % self._length == 0
