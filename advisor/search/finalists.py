"""Which configurations of a search are worth fresh processes: the best, and the cheapest that is as good."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from .. import knobs
from ..types import Config, Ratio
from .knowledge import Standing

WITHIN = 0.02
"""Of the best: less is what two processes of one configuration differ by."""


def cheapest(
    best: Config,
    standings: Mapping[Config, Standing],
    *,
    by_knob: Mapping[str, Ratio],
    tier: Callable[[Config], str],
) -> Config | None:
    """The configuration that does within 2% as well as `best` with less: milder to the training, or fewer settings.

    Another finalist, or `best` without the settings that gain nothing when they are taken away alone. None where there
    is none.
    """
    least = standings[best].score / (1 + WITHIN) if best in standings else math.inf
    candidates = [config for config, found in standings.items() if found.score >= least]
    pruned = _pruned(best, by_knob)
    if pruned.settings:
        candidates.append(pruned)

    def cost(config: Config) -> tuple[int, int]:
        return knobs.TIERS.index(tier(config)), len(config.settings)

    cheaper = [config for config in candidates if cost(config) < cost(best)]
    return min(cheaper, key=cost, default=None)


def _pruned(config: Config, by_knob: Mapping[str, Ratio]) -> Config:
    """Without settings that give nothing, as long as all of them together give less than counts."""
    left, given_up = config.as_dict(), 1.0
    for name, ratio in sorted(by_knob.items(), key=lambda entry: entry[1].speedup):
        given_up *= max(1.0, ratio.speedup)
        if given_up > 1 + WITHIN:
            break
        left.pop(name, None)
    return Config.of(left)
