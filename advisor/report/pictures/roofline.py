"""The roofline: the hardware's limit at this arithmetic intensity, and the rate that the update reaches.

Williams, Waterman & Patterson 2009.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...types import Compute, Profile
from .. import format
from . import _base as chart
from ._base import Drawn, Missing, Picture

TITLE = "Roofline"


@dataclass(frozen=True, kw_only=True)
class _Facts:
    intensity: float
    """FLOPs per byte."""
    achieved: float
    """FLOP/s."""
    peak: float
    bandwidth: float
    """Bytes/s."""

    @property
    def ridge(self) -> float:
        """Return the intensity from which on arithmetic is the limit."""
        return self.peak / self.bandwidth

    @property
    def allowed(self) -> float:
        return min(self.peak, self.bandwidth * self.intensity)


def draw(profile: Profile) -> Drawn:
    compute = profile.compute
    not_counted = Missing(title=TITLE, why="FLOPs and memory traffic of an update were not counted")
    if compute is None:
        return not_counted
    intensity, achieved = _positive(compute.arithmetic_intensity), _positive(compute.achieved_flops_per_s)
    if intensity is None or achieved is None:
        return not_counted
    peak, bandwidth = _positive(compute.peak_flops_per_s), _positive(_bandwidth(profile))
    if peak is None or bandwidth is None:
        return Missing(
            title=TITLE, why="peaks of this hardware are unknown; advisor hardware --calibrate measures them"
        )
    facts = _Facts(intensity=intensity, achieved=achieved, peak=peak, bandwidth=bandwidth)
    left, right = min(facts.ridge, intensity) / 8, max(facts.ridge, intensity) * 8
    x = chart.decades(left, right, chart.LEFT, chart.RIGHT)
    y = chart.decades(min(achieved / 3, bandwidth * left), peak * 1.5, chart.BOTTOM, chart.TOP)
    parts = chart.frame(
        x,
        y,
        x_words=lambda tick: f"{tick:,.0f}" if tick >= 1 else f"{tick:g}",
        y_words=lambda tick: chart.short(format.rate(tick, "").strip()),
        x_title="FLOPs per byte of memory traffic (across), FLOP/s (up)",
    )
    parts += [*_roof(x, y, facts), *_point(x, y, facts)]
    description = _description(compute, facts)
    return Picture(title=TITLE, svg=chart.svg(parts, title=TITLE, description=description), caption=description)


def _roof(x: chart.Axis, y: chart.Axis, facts: _Facts) -> list[str]:
    start = max(x.low, y.low / facts.bandwidth)
    corner = (x.at(facts.ridge), y.at(facts.peak))
    roof = [(x.at(start), y.at(facts.bandwidth * start)), corner, (x.end, corner[1])]
    return [
        chart.path(roof, "curve roof"),
        chart.text(f"{format.rate(facts.peak, 'FLOP/s')}", x.end, corner[1] - 7, anchor="end"),
        chart.text(format.rate(facts.bandwidth, "B/s"), corner[0] - 14, corner[1] + 8, anchor="end"),
    ]


def _point(x: chart.Axis, y: chart.Axis, facts: _Facts) -> list[str]:
    across, up = x.at(facts.intensity), y.at(facts.achieved)
    return [
        chart.line(across, up, across, y.at(facts.allowed), "limit"),
        chart.tag("circle", cx=across, cy=up, r=6, class_="dot"),
        chart.text("this update", across, up + 22, anchor="middle"),
    ]


def _description(compute: Compute, facts: _Facts) -> str:
    bound = "arithmetic" if facts.allowed >= facts.peak else "memory bandwidth"
    source = "measured" if compute.peak_from == "measured" else "data sheet"
    return (
        f"{format.rate(facts.achieved, 'FLOP/s')} at {format.number(facts.intensity)} FLOPs per byte: "
        f"{format.percent(facts.achieved / facts.allowed)} of what {bound} allows there "
        f"(peak of {compute.peak_dtype or 'unknown dtype'}, {source})."
    )


def _bandwidth(profile: Profile) -> float | None:
    on_accelerator = profile.workload is not None and profile.workload.device != "cpu"
    if on_accelerator:
        rate = profile.hardware.accelerators[0].memory_bandwidth if profile.hardware.accelerators else None
    else:
        rate = profile.hardware.cpu_memory_bandwidth
    return None if rate is None else rate.value


def _positive(value: float | None) -> float | None:
    """Return the value if it can stand on a logarithmic axis."""
    return value if value is not None and 1e-12 < value < 1e30 else None
