"""Agreement of the ranks on where they switch: rank 0 leads, and the others do at the same update what it does.

A plan's switch on one rank alone would leave the others waiting in a collective. Rank 0 therefore allows all ranks a
number of updates, its stint. At the stint's end every rank waits for its word: a further stint, or the next window.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Any

from ... import wire

STINT_NS = 100_000_000
"""Length of a stint: its end costs up to a millisecond, where the ranks wait for a message."""
MOST_UPDATES = 256
"""Most updates of a stint; a window may last that many longer if updates become slow."""
ANSWER_S = 120.0
"""Seconds for all ranks to enter a window: loaders may start many workers, and models may be compiled."""
UNTIL_THE_END = 1 << 62
"""Update that no training reaches."""


def world_size(spec: wire.LaunchSpec) -> int:
    """Return the number of ranks that a launcher has started with this agent."""
    value = os.environ.get("WORLD_SIZE", "")
    return int(value) if spec.launched and value.isascii() and value.isdigit() else 1


class LeadersChannel:
    """Channel of rank 0: the controller's orders for the conductor, and the other ranks' answers beside them."""

    def __init__(self, channel: Any, ranks: int) -> None:
        self._channel = channel
        self._others = ranks - 1
        self._answers: deque[wire.RankAnswer] = deque()
        self._held: list[Any] = []
        """Orders of the controller that came while answers were awaited."""

    @property
    def closed(self) -> bool:
        return bool(self._channel.closed)

    def send(self, message: wire.Message) -> None:
        self._channel.send(message)

    def order(self, what: str, *, until: int = 0, window: wire.Window | None = None, text: str = "") -> None:
        """Tell all other ranks what to do at the end of their stint."""
        self._channel.send(wire.RankOrder(what, until, window, text))

    def poll(self) -> list[Any]:
        held, self._held = self._held, []
        return held + self._without_answers(self._channel.poll())

    def has_orders(self) -> bool:
        """Return whether the controller has sent anything that was not read yet."""
        self._held += self._without_answers(self._channel.poll())
        return bool(self._held)

    def wait(self, timeout_s: float) -> list[Any]:
        """Return the controller's orders; an empty list after the time, or if the controller is gone."""
        if self._held:
            return self.poll()
        deadline = time.monotonic() + timeout_s
        while True:
            messages = self._without_answers(self._channel.wait(max(0.0, deadline - time.monotonic())))
            if messages or self._channel.closed or time.monotonic() >= deadline:
                return messages

    def gather(self) -> str | None:
        """Wait until all ranks have entered a window; return why one of them could not, or None."""
        deadline = time.monotonic() + ANSWER_S
        refusal: str | None = None
        for _ in range(self._others):
            answer = self._next_answer(deadline)
            if answer is None:
                return f"not all ranks were ready within {ANSWER_S:.0f} s"
            if answer.refusal is not None:
                refusal = refusal or f"rank {answer.rank}: {answer.refusal}"
        return refusal

    def notice(self) -> str | None:
        """Return why a setting failed on another rank since the last call; None if none did."""
        notices = [answer for answer in self._answers if not answer.entering]
        self._answers = deque(answer for answer in self._answers if answer.entering)
        return f"rank {notices[0].rank}: {notices[0].refusal}" if notices else None

    def _next_answer(self, deadline: float) -> wire.RankAnswer | None:
        while True:
            for answer in list(self._answers):
                if answer.entering:
                    self._answers.remove(answer)
                    return answer
            left_s = deadline - time.monotonic()
            if left_s <= 0 or self._channel.closed:
                return None
            self._held += self._without_answers(self._channel.wait(left_s))

    def _without_answers(self, messages: list[Any]) -> list[Any]:
        self._answers.extend(message for message in messages if isinstance(message, wire.RankAnswer))
        return [message for message in messages if not isinstance(message, wire.RankAnswer)]
