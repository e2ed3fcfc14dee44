"""Configurations of a search that deserve fresh processes: the best, and the cheapest that is as good."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from .. import knobs
from ..types import Config, Ratio
from .final_result import FinalResult

WITHIN = 0.02
"""Distance from the best as a fraction: two processes of one configuration differ by more."""


def cheapest(
    best: Config,
    final_results: Mapping[Config, FinalResult],
    *,
    by_knob: Mapping[str, Ratio],
    effect: Callable[[Config], str],
    meaningful: Callable[[Config], Config],
) -> Config | None:
    """Return the cheapest configuration within 2% of `best`: milder to the training, or with fewer settings.

    The candidates are the other finalists, and `best` without the settings whose removal alone costs nothing, nor those
    that then mean nothing (`meaningful` leaves them out). Returns None if there is no such configuration.
    """
    least = final_results[best].score / (1 + WITHIN) if best in final_results else math.inf
    candidates = [config for config, found in final_results.items() if found.score >= least]
    pruned = meaningful(_pruned(best, by_knob))
    if pruned.settings:
        candidates.append(pruned)

    def cost(config: Config) -> tuple[int, int]:
        return knobs.EFFECTS.index(effect(config)), len(config.settings)

    cheaper = [config for config in candidates if cost(config) < cost(best)]
    return min(cheaper, key=cost, default=None)


def _pruned(config: Config, by_knob: Mapping[str, Ratio]) -> Config:
    """Drop settings that gain nothing, as long as all of them together gain less than counts."""
    left, given_up = config.as_dict(), 1.0
    for name, ratio in sorted(by_knob.items(), key=lambda entry: entry[1].speedup):
        given_up *= max(1.0, ratio.speedup)
        if given_up > 1 + WITHIN:
            break
        left.pop(name, None)
    return Config.of(left)
