"""Tape of the training loader's batches, so that the same ones come again after a rewind.

Batches are kept as they were delivered, with all that their dataset drew: indices would be read anew, in workers that
draw other numbers. Fetching a batch moves the global random states, so each is kept with the states that it left.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from .random_states import global_states, same_state, set_global_states
from .replay import Cloner


class Taped(NamedTuple):
    """One batch as it was delivered."""

    batch: Any
    index: Any
    states: Any
    """Global random states after it was fetched; None if fetching has not moved them."""


class Tape:
    """Batches since its beginning; once rewound, they come again, and later ones follow."""

    def __init__(self, most_bytes: int) -> None:
        self._batches: list[Taped] = []
        self._place = 0
        self._most_bytes = most_bytes
        self._bytes = 0
        self.torn = False
        """True if a batch has not been kept, as memory would not hold it: nothing can be rewound."""
        self._ended = False

    def __len__(self) -> int:
        return len(self._batches)

    def rewind(self) -> bool:
        """Deliver from the beginning again; return False if that is not possible."""
        if self.torn:
            return False
        self._place = 0
        return True

    def end(self) -> None:
        """Keep no further batches; those still to come again do."""
        self._ended = True

    @property
    def is_behind(self) -> bool:
        """True if batches are delivered that came before."""
        return self._place < len(self._batches)

    def next(self, fetch: Callable[[], Any], own_thread: bool) -> Any:
        """Return the next batch and its index; `fetch` gets a new one. Random states belong to the training thread."""
        if self.is_behind:
            taped = self._batches[self._place]
            self._place += 1
            if taped.states is not None and own_thread:
                set_global_states(taped.states)
            return Cloner().clone(taped.batch), taped.index
        if self._ended or self.torn:
            self._batches.clear()
            return fetch()
        before = global_states()
        batch, index = fetch()
        self._keep(batch, index, before)
        return batch, index

    def _keep(self, batch: Any, index: Any, before: Any) -> None:
        cloner, after = Cloner(), global_states()
        kept = cloner.clone(batch)
        self._bytes += cloner.cloned_bytes
        if self._bytes > self._most_bytes:
            self.torn = True
            self._batches.clear()
            return
        self._batches.append(Taped(kept, index, None if same_state(before, after) else after))
        self._place = len(self._batches)
