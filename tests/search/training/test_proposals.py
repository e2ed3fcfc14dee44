"""What an expert tries first, and what TPE makes of it: on functions of the rate whose best is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest

from advisor.search.training.proposals import Proposer
from advisor.search.training.space import RateRange, TrainingSpace
from advisor.types import Config, SettingValue

RATE = "learning_rate"


def space(rate: float | None = 0.01, **choices: tuple[SettingValue, ...]) -> TrainingSpace:
    found = None if rate is None else RateRange(baseline=rate, low=rate / 100, high=rate * 100, source="")
    return TrainingSpace(rate=found, choices=choices)


def tried(
    space: TrainingSpace, loss: Callable[[Mapping[str, SettingValue]], float | None], most: int = 14, together: int = 1
) -> list[Config]:
    """All configurations, asked and told as a search does."""
    at_first = loss({})
    proposer = Proposer(space, math.inf if at_first is None else at_first, most)
    found: list[Config] = []
    while len(found) < most:
        room = min(most - len(found), proposer.at_once(together))
        batch = [one for _ in range(room) if (one := proposer.ask()) is not None]
        if not batch:
            break
        for one in batch:
            proposer.tell(one.config.as_dict(), loss(one.config.as_dict()))
            found.append(one.config)
    return found


def parabola(best: float, own: float = 0.01) -> Callable[[Mapping[str, SettingValue]], float]:
    """A loss with its least at the best rate, on a logarithmic scale."""

    def loss(settings: Mapping[str, SettingValue]) -> float:
        rate = settings.get(RATE, own)
        assert isinstance(rate, int | float)
        return 1 + math.log10(rate / best) ** 2

    return loss


def rates(configs: list[Config]) -> list[float]:
    found = [config.as_dict().get(RATE) for config in configs]
    return [float(rate) for rate in found if isinstance(rate, int | float)]


def test_the_first_are_three_times_ten_times_and_a_third_of_the_rate() -> None:
    assert rates(tried(space(), parabola(0.01), most=3)) == [0.03, 0.1, 0.0033]


def test_after_a_range_test_its_suggestion_comes_first() -> None:
    tested = TrainingSpace(
        rate=RateRange(baseline=0.01, low=0.003, high=1.0, source="", suggestion=0.2), choices={"momentum": (0.9,)}
    )
    found = tried(tested, parabola(0.2))
    assert rates(found)[:3] == [0.2, 0.6, 0.067]
    assert Config.of({RATE: 0.2, "momentum": 0.9}) in found


def test_the_rate_goes_further_where_that_helps_and_stops_at_the_range() -> None:
    assert rates(tried(space(), parabola(10.0)))[3:5] == [0.3, 0.9]
    assert max(rates(tried(space(), parabola(1e6)))) <= 1.0
    assert min(rates(tried(space(), parabola(1e-9)))) >= 1e-4


@pytest.mark.parametrize("best", [0.0003, 0.01, 0.3])
def test_a_best_rate_within_thirty_times_is_found(best: float) -> None:
    found = rates(tried(space(), parabola(best)))
    nearest = min(abs(math.log10(rate / best)) for rate in [*found, 0.01])
    assert nearest < math.log10(1.8)


def test_a_diverging_rate_is_the_worst_and_not_followed() -> None:
    def loss(settings: Mapping[str, SettingValue]) -> float | None:
        rate = settings.get(RATE, 0.01)
        assert isinstance(rate, int | float)
        return None if rate > 0.02 else parabola(1.0)(settings)

    found = rates(tried(space(), loss))
    assert max(found[3:]) < 0.03


def test_schedule_and_momentum_are_tried_at_the_best_rate_so_far() -> None:
    whole = space(lr_schedule=("constant", "cosine"), warm_up_fraction=(0.0, 0.05), momentum=(0.9,), global_batch=(64,))
    found = [config.as_dict() for config in tried(whole, parabola(0.1), most=8)]
    assert {RATE: 0.1, "lr_schedule": "cosine", "warm_up_fraction": 0.05} in found
    assert {RATE: 0.1, "momentum": 0.9} in found
    assert {RATE: 0.033, "momentum": 0.9} in found
    assert {RATE: 0.1, "global_batch": 64} in found


def test_a_warm_up_without_a_schedule_means_nothing() -> None:
    assert space().config({"warm_up_fraction": 0.05, RATE: 0.1}) == Config.of({RATE: 0.1})


def test_nothing_is_tried_twice_and_a_small_space_ends() -> None:
    found = tried(space(rate=None, momentum=(0.8, 0.95)), lambda _settings: 1.0)
    assert sorted(map(str, found)) == ["momentum=0.8", "momentum=0.95"]
    many = tried(space(momentum=(0.9,)), parabola(0.1), most=20)
    assert len(set(many)) == len(many) == 20


def test_side_by_side_the_first_rates_are_asked_for_at_once_and_what_depends_on_them_is_not() -> None:
    proposer = Proposer(space(), 1.0, 14)
    assert proposer.at_once(4) == 3
    for _ in range(3):
        proposer.ask()
    assert proposer.at_once(4) == 1
    assert rates(tried(space(), parabola(10.0), together=4))[3:5] == [0.3, 0.9]


def test_the_sampler_goes_where_the_losses_are_low() -> None:
    found = rates(tried(space(), parabola(0.1), most=24))[8:]
    near = [rate for rate in found if 0.02 < rate < 0.5]  # a third of the range, on its logarithmic scale
    assert len(near) > len(found) / 3
