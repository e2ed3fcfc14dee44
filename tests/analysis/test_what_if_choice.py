"""The what-ifs that a profile tries, by what they can show in the time that there is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor.analysis import what_if_choice
from advisor.analysis.counted import Counted
from advisor.analysis.pace import FEW_UPDATES, MOST_ROUNDS, Pace
from advisor.rules._examples import healthy_cpu, healthy_cuda
from advisor.types import Workload

from .windows import done


def taking(**fractions: float) -> Counted:
    """A window whose loop spends these fractions in these phases, and the rest in the backward pass."""
    window = done("as written", [1.0] * 10)
    phases_s = {phase: [fractions.get(phase, 0.0)] * 10 for phase in window.phases_s}
    phases_s["backward"] = [1.0 - sum(fractions.values())] * 10
    return Counted(replace(window, phases_s=phases_s))


def with_workers(workers: int) -> Workload:
    workload = healthy_cpu().workload
    return replace(workload, loaders=tuple(replace(loader, num_workers=workers) for loader in workload.loaders))


def left_out(workload: Workload, first: Counted) -> set[str]:
    tried = what_if_choice.applying(workload)
    return {what_if.id for what_if in tried} - {
        what_if.id for what_if in what_if_choice.worth_time(tried, workload, first)
    }


def test_a_phase_that_takes_next_to_nothing_bounds_what_its_removal_can_give() -> None:
    assert left_out(with_workers(0), taking(data_wait=0.01, optimizer=0.01)) == {"no_data_wait", "no_optimizer"}
    assert left_out(with_workers(0), taking(data_wait=0.3, optimizer=0.01)) == {"no_optimizer"}
    assert left_out(with_workers(0), taking(data_wait=0.3, optimizer=0.1)) == set()


def test_workers_take_cpus_from_a_loop_that_never_waits_for_them() -> None:
    assert left_out(with_workers(2), taking(data_wait=0.0, optimizer=0.3)) == set()


def test_phases_of_the_cpu_say_nothing_of_a_device() -> None:
    assert left_out(healthy_cuda().workload, taking()) == set()


def paced(update_s: float, left_s: float) -> list[int]:
    """The numbers of what-ifs that plans were asked for, until one was taken."""
    asked: list[int] = []

    def pace(tried: object) -> tuple[Pace, int]:
        asked.append(len(list(tried)))  # type: ignore[call-overload]
        return Pace.in_rounds(update_s, left_s, len(list(tried)), others=3)  # type: ignore[call-overload]

    what_if_choice.safe_rounds(with_workers(0), taking(), pace)
    return asked


def test_time_for_all_rounds_leaves_nothing_out() -> None:
    assert len(paced(0.02, 60.0)) == 1
    everything, chosen = paced(0.5, 10.0)
    assert chosen == everything - 2


@pytest.mark.parametrize("update_s", [0.01, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("left_s", [5.0, 15.0, 60.0, 300.0])
def test_rounds_fit_into_the_time_unless_there_is_but_one(update_s: float, left_s: float) -> None:
    pace, rounds = Pace.in_rounds(update_s, left_s, 4, others=3)
    assert 1 <= rounds <= MOST_ROUNDS
    assert rounds == 1 or (8 * rounds + 3) * pace.cost_s <= 1.01 * left_s


def test_windows_of_a_few_updates_are_made_longer_before_they_are_repeated_a_third_time() -> None:
    pace, rounds = Pace.in_rounds(0.2, 20.0, 4, others=3)
    assert (rounds, pace.updates) == (2, FEW_UPDATES)
    pace, rounds = Pace.in_rounds(0.3, 15.0, 4, others=3)
    assert (rounds, pace.updates) == (1, FEW_UPDATES)
    assert Pace.in_rounds(0.2, 40.0, 4, others=3)[1] == MOST_ROUNDS
