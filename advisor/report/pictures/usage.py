"""Load of CPUs and accelerator over time, as shares of what may be used."""

from __future__ import annotations

from ...types import Profile
from . import _base as chart
from ._base import Drawn, Missing, Picture

TITLE = "Use of the machine"


def draw(profile: Profile) -> Drawn:
    usable = profile.hardware.cpu.usable_cpus
    whole = usable if usable > 0 else 1.0
    cpus = [
        (point.at_s, min(1.0, point.tree_cpus / whole))
        for point in profile.usage
        if len(chart.finite([point.at_s, point.tree_cpus])) == 2
    ]
    device = [
        (point.at_s, min(1.0, point.accelerator_busy_fraction))
        for point in profile.usage
        if point.accelerator_busy_fraction is not None
        and len(chart.finite([point.at_s, point.accelerator_busy_fraction])) == 2
    ]
    if len(cpus) < 2:
        return Missing(title=TITLE, why="the use of the machine was not sampled over time")
    x = chart.linear(0, max(at for at, _ in cpus), chart.LEFT, chart.RIGHT)
    y = chart.Axis(
        low=0.0,
        high=1.0,
        start=chart.BOTTOM,
        end=chart.TOP + 18,
        ticks=(0.0, 0.25, 0.5, 0.75, 1.0),
    )
    parts = chart.frame(
        x, y, x_words=lambda tick: f"{tick:g}", y_words=lambda tick: f"{tick:.0%}", x_title="seconds since the start"
    )
    parts.append(chart.curve(chart.thinned(sorted(cpus)), x, y, "curve cpu"))
    legend = [("cpu", f"of {usable:g} usable CPUs")]
    if device:
        parts.append(chart.curve(chart.thinned(sorted(device)), x, y, "curve device"))
        legend.append(("device", "of the accelerator's time"))
    left = x.start
    for class_, name in legend:
        parts += [chart.line(left, 11, left + 22, 11, f"curve {class_}"), chart.text(name, left + 28, 15)]
        left += 46 + 6.6 * len(name)
    average = sum(share for _, share in cpus) / len(cpus)
    description = f"The script and its children kept {average:.0%} of {usable:g} usable CPUs busy on average"
    if device:
        share = sum(value for _, value in device) / len(device)
        description += f"; a kernel ran on the accelerator {share:.0%} of the time, however efficiently"
    return Picture(
        title=TITLE, svg=chart.svg(parts, title=TITLE, description=description + "."), caption=description + "."
    )
