"""The learning in a line each: what of the training adds nothing, and the gradient noise scale."""

from __future__ import annotations

from ...types import Profile
from .. import format

GROWN = 2.0
"""Factor of a larger batch that is told."""


def early_stop_line(profile: Profile) -> str | None:
    """Describe the part of the configured training that adds nothing; None if there is none, or nothing to say."""
    stop = profile.early_stop
    if stop is None or stop.why_not or stop.stop_at is None:
        return None
    earliest = f" ({stop.low:,} at the earliest)" if stop.low is not None and stop.low < stop.stop_at else ""
    text = (
        f"updates after {stop.stop_at:,}{earliest} of {stop.planned:,} are expected to add nothing: "
        f"{format.percent(stop.saved_fraction)} of the training"
    )
    if stop.seen >= stop.planned:
        return text
    return (
        f"{text}. By {stop.seen:,} updates seen, the loss falls by "
        f"{format.number(stop.left)} more ({format.number(stop.left_low)}–{format.number(stop.left_high)})"
    )


def noise_scale_line(profile: Profile) -> str | None:
    """Describe the gradient noise scale and what a larger batch would save; None if it was not measured."""
    scale = profile.noise_scale
    if scale is None:
        return None
    if scale.samples is None or scale.high is None or scale.efficiency is None:
        return f"at least {scale.low:,.0f} samples, by {scale.updates} updates: larger batches may pay"
    needed = scale.updates_at(GROWN) or 1.0
    return (
        f"{scale.samples:,.0f} samples ({scale.low:,.0f}–{scale.high:,.0f}), the critical batch size here; at "
        f"{scale.batch_samples:,.0f}, a sample does {format.percent(scale.efficiency)} of the work that it does in a "
        f"small batch, and twice the batch needs {format.percent(needed)} of the updates"
    )
