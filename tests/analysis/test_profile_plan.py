"""Which windows a profile asks for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor import wire
from advisor.analysis import pace, profile_plan
from advisor.rules._examples import healthy_cpu
from advisor.runtime.session import Planner
from advisor.types import Workload

from .windows import done


def plan_after(
    update_s: float, left_s: float = 20.0, workload: Workload | None = None, walls: list[float] | None = None
) -> list[wire.Window]:
    """The windows asked for once the first was reported, without further rounds of the same."""
    known = workload or healthy_cpu().workload
    planner = profile_plan.profile_plan(lambda: known, lambda: left_s)
    batch, asked, outcomes = next(planner), [], {}
    while not batch[0].id.startswith("base round"):
        asked += batch
        outcomes |= {window.id: done(window.id, walls or [update_s] * 20) for window in batch}
        try:
            batch = planner.send(dict(outcomes))
        except StopIteration:
            break
    return asked[1:]


def cost_s(windows: list[wire.Window], update_s: float) -> float:
    """About what they take when nothing goes wrong."""
    return sum(
        window.max_s
        if window.kind == "drain"
        else max(window.min_s, window.min_updates * update_s) + window.warm_up_updates * update_s
        for window in windows
    )


def test_the_first_window_is_the_script_as_written() -> None:
    first = profile_plan.first_window()
    assert first.natural
    assert first.config == {}
    assert first.what_if is None


@pytest.mark.parametrize("update_s", [0.001, 0.01, 0.1, 0.3, 0.5])
def test_the_plan_fits_into_the_time_that_is_left(update_s: float) -> None:
    # 20 s are left of 26; a profile may take 30, and the last windows fall away when the time is up.
    assert cost_s(plan_after(update_s), update_s) <= 22.0


def test_a_few_updates_that_take_far_longer_leave_time_for_fewer_rounds() -> None:
    def rounds(walls: list[float]) -> int:
        return sum(window.kind == "bare" for window in plan_after(0.02, walls=walls))

    assert rounds([0.02] * 20) > 1
    assert rounds([0.02] * 18 + [1.0] * 2) == 1


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
    workload = replace(healthy_cpu().workload, loaders=())
    asked = {window.what_if for window in plan_after(0.02, workload=workload)}
    assert asked == {None, "no_optimizer"}


def test_a_script_that_no_later_window_suits_is_never_held() -> None:
    known = replace(healthy_cpu().workload, loaders=(), optimizers=())
    batches = talk(0.02, [60.0] * 9, known)
    assert len(batches) > 1
    assert all(batches)


def test_nothing_is_asked_for_when_the_first_window_was_refused() -> None:
    planner = profile_plan.profile_plan(lambda: healthy_cpu().workload, lambda: 20.0)
    (first,) = next(planner)
    with pytest.raises(StopIteration):
        planner.send({first.id: wire.WindowRefused(0, first.id, "crash", "it broke")})


def test_window_ids_are_unique() -> None:
    ids = [window.id for window in plan_after(0.02)]
    assert len(ids) == len(set(ids))


def talk(update_s: float, left_s: list[float], workload: Workload | None = None) -> list[list[wire.Window]]:
    """All batches of windows asked for, each answered at once; `left_s` is what each question of the time gives."""
    answers = iter(left_s)
    known = workload or healthy_cpu().workload
    planner = profile_plan.profile_plan(lambda: known, lambda: next(answers))
    asked, outcomes = [next(planner)], {}
    while True:
        for window in asked[-1]:
            outcomes[window.id] = done(window.id, [update_s] * 20)
        try:
            asked.append(planner.send(dict(outcomes)))
        except StopIteration:
            return asked


def test_time_that_is_left_buys_more_rounds_until_there_are_enough() -> None:
    # So little time that the plan begins with one round, and then much more than was thought.
    batches = talk(0.02, [30.0, 6.0, *[60.0] * 6])
    rounds = [window.id for batch in batches for window in batch if window.kind == "bare"]
    assert rounds == [f"bare {number}" for number in range(pace.MOST_ROUNDS)]
    assert batches[5][0].id == "base round 1"


def test_a_round_that_does_not_fit_is_not_begun() -> None:
    assert len(talk(0.02, [30.0, 9.0, 5.0, 5.0, 5.0, 0.5])) == 5


def test_a_round_of_another_look_fits_into_the_time() -> None:
    for left_s in (3.0, 6.0, 12.0):
        batches = talk(0.1, [30.0, 9.0, 5.0, 5.0, 5.0, left_s, 0.0])
        assert sum(cost_s(batch, 0.1) for batch in batches[5:]) <= left_s


def test_windows_that_took_longer_than_planned_leave_the_rest_of_the_time_to_the_search() -> None:
    batches = talk(0.1, [30.0, 9.0, 0.0])
    assert not {"drain", "epoch_end"} & {window.kind for batch in batches for window in batch}
    assert any(window.what_if == "no_data_wait" for window in batches[-1])


def test_a_first_window_that_was_not_steady_is_looked_at_again() -> None:
    planner = profile_plan.profile_plan(lambda: healthy_cpu().workload, lambda: 20.0)
    (first,) = next(planner)
    (again,) = planner.send({first.id: done(first.id, [1.0] * 30 + [0.1] * 20)})
    assert (again.id, again.natural, again.config) == (profile_plan.AGAIN, True, {})


def test_the_second_look_speaks_where_only_it_was_steady() -> None:
    unsteady = done(profile_plan.FIRST, [1.0] * 30 + [0.1] * 20)
    again = done(profile_plan.AGAIN, [0.1] * 40)
    assert profile_plan.first_baseline({profile_plan.FIRST: unsteady, profile_plan.AGAIN: again}) is again
    assert profile_plan.first_baseline({profile_plan.FIRST: unsteady}) is unsteady


@pytest.mark.parametrize(("update_s", "count"), [(0.001, 200), (0.05, 7), (0.5, 2)])
def test_windows_are_counted_in_updates_and_seconds(update_s: float, count: int) -> None:
    found = pace.Pace.for_update(update_s, 3600.0, 10)
    assert found.window_s == max(pace.WINDOW_S, pace.FEW_UPDATES * update_s)
    assert found.count >= min(count, 2)
    assert found.cost_s == pytest.approx(max(found.window_s, found.count * update_s) + found.settle * update_s)


def test_windows_get_shorter_with_the_time_but_not_too_short() -> None:
    lengths = [pace.Pace.for_update(0.001, left_s, 10).window_s for left_s in (100.0, 5.0, 0.1)]
    assert lengths == [pace.WINDOW_S, pytest.approx(0.5, abs=0.01), pace.SHORTEST_WINDOW_S]


def test_slow_updates_are_traced_once() -> None:
    def traced(update_s: float) -> int:
        return next(window.max_updates for window in plan_after(update_s) if window.kind == "trace")

    assert (traced(0.02), traced(0.5)) == (profile_plan.TRACED_UPDATES, 1)


def test_short_updates_are_sampled_in_a_window_of_their_own() -> None:
    assert any(window.id == "lines" and window.sampler_hz > 0 for window in plan_after(0.001))
    assert not any(window.id == "lines" for window in plan_after(0.1))


def test_an_end_of_an_epoch_that_took_long_leaves_out_what_may_break_the_script() -> None:
    batches = talk(0.02, [30.0, 9.0, 5.0, 5.0, 0.0, 0.0])
    assert batches[-1][0].kind == "epoch_end"
    assert not any(window.what_if == "micro_batch_doubled" for batch in batches for window in batch)


def test_settings_are_tried_before_an_epoch_is_ended() -> None:
    def fixes() -> Planner:
        yield [wire.Window(id="tried")]

    planner = profile_plan.profile_plan(lambda: healthy_cpu().workload, lambda: 20.0, fixes=fixes)
    names, batch, outcomes = [], next(planner), {}
    while not any(window.kind == "epoch_end" for window in batch):
        names += [window.id for window in batch]
        outcomes |= {window.id: done(window.id, [0.02] * 20) for window in batch}
        batch = planner.send(dict(outcomes))
    assert names[-2:] == ["loader_alone inside", "tried"]


@pytest.mark.parametrize(("waits", "looked_into"), [(0.6, "first"), (0.4, "later")])
def test_a_loader_that_takes_most_of_the_time_is_looked_into_first(waits: float, looked_into: str) -> None:
    planner = profile_plan.profile_plan(lambda: healthy_cpu().workload, lambda: 20.0)
    (first,) = next(planner)
    window = done(first.id, [0.02] * 20)
    phases_s = {**window.phases_s, "data_wait": [waits * 0.02] * 20}
    asked = planner.send({first.id: replace(window, phases_s=phases_s)})
    assert ("first" if asked[0].kind == "drain" else "later") == looked_into


def after_the_what_ifs(evaluation_s: float, left_s: float) -> list[wire.Window]:
    """What is asked for next once an epoch's end has held an evaluation of this length."""
    left = [30.0]
    planner = profile_plan.profile_plan(lambda: healthy_cpu().workload, lambda: left[0])
    outcomes: dict[str, wire.WindowDone | wire.WindowRefused] = {}
    asked = next(planner)
    while not any(window.kind == "epoch_end" for window in asked):
        outcomes.update({window.id: done(window.id, [0.02] * 20) for window in asked})
        asked = planner.send(dict(outcomes))
    for window in asked:
        spent_s = evaluation_s if window.kind == "epoch_end" else 0.0
        outcomes[window.id] = done(window.id, [0.02 + spent_s, 0.02, 0.02], evaluation_s=[spent_s, 0.0, 0.0])
    left[0] = left_s
    return planner.send(dict(outcomes))


def test_an_evaluation_at_an_epochs_end_is_seen_twice_if_there_is_time() -> None:
    assert [window.kind for window in after_the_what_ifs(1.0, 5.0)] == ["epoch_end", "measure"]


@pytest.mark.parametrize(("evaluation_s", "left_s"), [(4.0, 5.0), (0.0, 5.0)])
def test_one_that_is_too_long_or_none_is_not(evaluation_s: float, left_s: float) -> None:
    try:
        asked = after_the_what_ifs(evaluation_s, left_s)
    except StopIteration:
        asked = []
    assert "epoch_end" not in [window.kind for window in asked]


def test_lines_are_sampled_again_where_updates_become_longer() -> None:
    planner = profile_plan.profile_plan(lambda: healthy_cpu().workload, lambda: 12.0)
    (first,) = next(planner)
    rising = [0.02 + 0.0002 * index for index in range(80)]
    outcomes = {first.id: replace(done(first.id, rising), updates_before=3)}
    asked = planner.send(dict(outcomes))
    outcomes.update({window.id: replace(done(window.id, [0.05] * 5), updates_before=200) for window in asked})
    assert planner.send(dict(outcomes))[0].id == profile_plan.LATER
