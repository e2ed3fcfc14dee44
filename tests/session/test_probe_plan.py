"""Which windows a profile asks for."""

from __future__ import annotations

import pytest

from advisor import wire
from advisor.rules._examples import healthy_cpu
from advisor.session import probe
from advisor.types import Workload

from .windows import done


def plan_after(update_s: float, left_s: float = 20.0, workload: Workload | None = None) -> list[wire.Window]:
    """The windows asked for once the first was reported."""
    known = workload or healthy_cpu().workload
    planner = probe.profile_plan(lambda: known, lambda: left_s)
    (first,) = next(planner)
    return planner.send({first.id: done(first.id, [update_s] * 20)})


def cost_s(windows: list[wire.Window], update_s: float) -> float:
    """About what they take when nothing goes wrong."""
    return sum(
        window.max_s
        if window.kind == "drain"
        else max(window.min_s, window.min_updates * update_s) + window.warm_up_updates * update_s
        for window in windows
    )


def test_the_first_window_is_the_script_as_written() -> None:
    first = probe.first_window()
    assert first.natural
    assert first.config == {}
    assert first.what_if is None


@pytest.mark.parametrize("update_s", [0.001, 0.01, 0.1, 0.3, 0.5])
def test_the_plan_fits_into_the_time_that_is_left(update_s: float) -> None:
    # 20 s are left of 26; a profile may take 30, and the last windows fall away when the time is up.
    assert cost_s(plan_after(update_s), update_s) <= 22.0


def test_every_what_if_stands_between_windows_of_the_script_as_written() -> None:
    windows = [window for window in plan_after(0.02) if window.kind != "drain"]
    for before, window, after in zip(windows, windows[1:], windows[2:], strict=False):
        if window.what_if or window.kind == "bare":
            assert before.id.startswith("base")
            assert after.id.startswith("base")


def test_what_may_break_the_script_comes_last() -> None:
    names = [window.what_if for window in plan_after(0.02)]
    first_risky = names.index("micro_batch_doubled")
    assert "no_data_wait" not in names[first_risky:]
    assert "loader_alone" not in names[first_risky:]


def test_a_script_without_a_loader_gets_no_loader_what_ifs() -> None:
    from dataclasses import replace

    workload = replace(healthy_cpu().workload, loaders=())
    asked = {window.what_if for window in plan_after(0.02, workload=workload)}
    assert asked == {None, "no_optimizer"}


def test_nothing_is_asked_for_when_the_first_window_was_refused() -> None:
    planner = probe.profile_plan(lambda: healthy_cpu().workload, lambda: 20.0)
    (first,) = next(planner)
    with pytest.raises(StopIteration):
        planner.send({first.id: wire.WindowRefused(0, first.id, "crash", "it broke")})


def test_window_ids_are_unique() -> None:
    ids = [window.id for window in plan_after(0.02)]
    assert len(ids) == len(set(ids))
