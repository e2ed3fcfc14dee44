"""What is tried next, and what is not tried any more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from advisor.search.expert import Limit
from advisor.search.goals import Goal
from advisor.search.proposals import Proposer
from advisor.search.space import Space
from advisor.search.tpe import Sampler
from advisor.types import Config, KnobSpace, Ratio, Trial, TrialOutcome


def knob(name: str, *values: Any, effect: str = "exact") -> KnobSpace:
    return KnobSpace(id=name, values=values, effect=effect, scope="live", opened_by="a finding points to it")


SPACE = Space(knobs=(knob("a", 1, 2), knob("b", True), knob("c", "x", "y", "z")))


def trial(number: int, score: float | None, kind: Any = "measured", **settings: Any) -> Trial:
    ratio = Ratio(speedup=score, low=score - 0.01, high=score + 0.01, rounds=1) if score is not None else None
    outcome = TrialOutcome(kind=kind, message="" if kind == "measured" else "because")
    return Trial(
        number=number, config=Config.of(settings), reason="", effect="exact", outcome=outcome, ratio=ratio, score=score
    )


def proposed(proposer: Proposer, *trials: Trial) -> list[dict[str, Any]]:
    """Everything that is proposed, one after the other, with nothing told."""
    found = []
    while (proposal := proposer.ask(trials)) is not None and len(found) < 50:
        found.append(proposal.config.as_dict())
    return found


def test_each_knob_is_tried_alone_first() -> None:
    assert proposed(Proposer(SPACE))[:5] == [{"a": 1}, {"b": True}, {"c": "x"}, {"a": 2}, {"c": "y"}]


def test_then_the_best_with_what_helped_alone_too_then_with_other_changes() -> None:
    proposer = Proposer(SPACE)
    known = [trial(1, 1.3, a=1), trial(2, 1.2, b=True), trial(3, 0.9, c="x")]
    for one in known:
        proposer.tell(one)
    assert proposed(proposer, *known)[:3] == [{"a": 1, "b": True}, {"a": 1, "c": "x"}, {"a": 2}]


def test_changes_are_made_to_what_is_best_by_then() -> None:
    proposer = Proposer(SPACE)
    known = [trial(1, 1.3, a=1), trial(2, 1.2, b=True), trial(3, 0.9, c="x"), trial(4, 1.5, a=1, b=True)]
    for one in known:
        proposer.tell(one)
    changed = [{"a": 1, "b": True, "c": "x"}, {"a": 2, "b": True}, {"a": 1, "b": True, "c": "y"}]
    assert proposed(proposer, *known)[:3] == changed


def test_what_changes_the_training_is_no_best_to_start_from() -> None:
    proposer = Proposer(SPACE)
    known = [trial(1, 1.3, a=1), replace(trial(2, 1.9, b=True), effect="training"), trial(3, 0.9, c="x")]
    for one in known:
        proposer.tell(one)
    together = next(proposal for proposal in proposed(proposer, *known) if len(proposal) > 1 and "c" in proposal)
    assert together == {"a": 1, "c": "x"}


def test_a_setting_may_stand_in_the_way_of_another() -> None:
    proposer = Proposer(Space(knobs=(knob("a", 1), knob("b", 1))))
    known = [trial(1, 0.9, a=1), trial(2, 1.1, a=1, b=1)]
    for one in known:
        proposer.tell(one)
    assert {"b": 1} in proposed(proposer, *known)


LEANS = Space(
    knobs=(
        KnobSpace(id="leans", values=(True,), effect="exact", scope="live", opened_by="a finding", needs="a"),
        knob("a", 4, 0),
    )
)


def test_what_needs_another_setting_is_tried_with_the_best_of_that() -> None:
    proposer = Proposer(LEANS)
    known = (trial(1, 1.5, a=4), trial(2, 0.5, a=0))
    for one in known:
        proposer.tell(one)
    assert proposed(proposer, *known) == [{"a": 4, "leans": True}]


def test_what_needs_another_setting_is_never_tried_without() -> None:
    assert all("leans" not in found or found.get("a") for found in proposed(Proposer(LEANS)))
    assert LEANS.meaningful(Config.of({"a": 0, "leans": True})) == Config.of({"a": 0})


def test_where_the_other_is_on_as_written_it_stands_alone_but_not_beside_its_off() -> None:
    space = Space(knobs=(replace(LEANS.knobs[0], needed_is_on=True), knob("a", 4, 0)))
    found = proposed(Proposer(space))
    assert found[:2] == [{"leans": True}, {"a": 4}]
    assert {"a": 0, "leans": True} not in found
    assert space.meaningful(Config.of({"a": 0, "leans": True})) == Config.of({"a": 0})
    assert space.meaningful(Config.of({"leans": True})) == Config.of({"leans": True})


def test_it_stands_in_what_is_put_together_only_where_it_gained() -> None:
    space = Space(knobs=(*LEANS.knobs, knob("b", True)))
    for score, together in ((1.8, {"a": 4, "leans": True, "b": True}), (1.2, {"a": 4, "b": True})):
        proposer = Proposer(space)
        known = (trial(1, 1.5, a=4), trial(2, 1.3, b=True), trial(3, score, a=4, leans=True), trial(4, 0.9, a=0))
        for one in known:
            proposer.tell(one)
        proposal = proposer.ask(known)
        assert proposal is not None
        assert proposal.config == Config.of(together)


SHARES = Space(
    knobs=(
        KnobSpace(
            id="a", values=(2, 1), effect="exact", scope="live", opened_by="a finding", shares_cpus_with=("b", 1)
        ),
        knob("b", 2, 1),
        knob("c", True),
        KnobSpace(id="leans", values=(True,), effect="exact", scope="live", opened_by="a finding", needs="a"),
    )
)


def test_knobs_that_share_the_cpus_are_tried_together_whatever_each_gives_alone() -> None:
    assert proposed(Proposer(SHARES))[:4] == [{"a": 2}, {"b": 2}, {"c": True}, {"a": 2, "b": 1}]


def test_such_a_pair_stands_together_with_what_helped_alone() -> None:
    proposer = Proposer(SHARES)
    known = [trial(1, 0.8, a=2), trial(2, 0.9, b=2), trial(3, 1.1, c=True), trial(4, 1.3, a=2, b=1)]
    for one in known:
        proposer.tell(one)
    assert proposed(proposer, *known)[:2] == [{"a": 2, "b": 1, "leans": True}, {"a": 2, "b": 1, "c": True}]


def test_a_pair_that_gains_less_than_one_of_it_alone_does_not() -> None:
    proposer = Proposer(SHARES)
    known = [trial(1, 1.4, a=2), trial(2, 0.9, b=2), trial(3, 1.1, c=True), trial(4, 1.3, a=2, b=1)]
    for one in known:
        proposer.tell(one)
    assert proposed(proposer, *known)[:2] == [{"a": 2, "leans": True}, {"a": 2, "c": True}]


def test_where_the_other_knob_is_closed_there_is_no_pair() -> None:
    assert proposed(Proposer(Space(knobs=SHARES.knobs[:1]))) == [{"a": 2}, {"a": 1}]


def test_what_was_told_before_is_not_proposed() -> None:
    proposer = Proposer(SPACE)
    proposer.tell(trial(1, 1.2, a=1))
    assert {"a": 1} not in proposed(proposer)


def test_what_others_are_trying_is_not_proposed() -> None:
    proposal = Proposer(SPACE).ask((), {Config.of({"a": 1})})
    assert proposal is not None
    assert proposal.config == Config.of({"b": True})


def test_the_sampler_finds_the_rest_of_a_small_space() -> None:
    assert len(proposed(Proposer(Space(knobs=SPACE.knobs[:2])))) == 5


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("crash", "broke the script"),
        ("hang", "broke the script"),
        ("nan", "broke the script"),
        ("refused", "was refused"),
    ],
)
def test_a_knob_that_broke_the_script_twice_is_closed_with_the_reason(kind: str, what: str) -> None:
    proposer = Proposer(SPACE)
    for number, value in ((1, "x"), (2, "y")):
        proposer.tell(trial(number, None, kind, c=value))
    assert proposer.closed == {"c": f"it {what} 2 times ({kind}: because)"}
    assert not any("c" in config for config in proposed(proposer))


def test_once_may_have_been_the_values_fault() -> None:
    proposer = Proposer(SPACE)
    proposer.tell(trial(1, None, "crash", c="x"))
    assert proposer.closed == {}


def test_running_out_of_memory_speaks_against_a_size_not_against_a_knob() -> None:
    proposer = Proposer(SPACE)
    for number, value in ((1, "x"), (2, "y")):
        proposer.tell(trial(number, None, "oom", c=value))
    assert proposer.closed == {}


def test_of_several_settings_those_that_work_alone_are_not_to_blame() -> None:
    proposer = Proposer(SPACE)
    proposer.tell(trial(1, 1.5, a=1))
    for number, value in ((2, "x"), (3, "y")):
        proposer.tell(trial(number, None, "crash", a=1, c=value))
    assert list(proposer.closed) == ["c"]


def test_settings_that_fail_together_though_each_works_are_not_tried_in_a_larger_set() -> None:
    proposer = Proposer(SPACE)
    known = [trial(1, 1.5, a=1), trial(2, 1.4, b=True), trial(3, None, "crash", a=1, b=True)]
    for one in known:
        proposer.tell(one)
    assert proposer.closed == {}
    assert not any(config.get("a") == 1 and config.get("b") for config in proposed(proposer, *known))


@pytest.mark.parametrize(
    ("message", "again"), [("c=x: it compiles nothing", False), ("c=x: a=1 stands in its way", True)]
)
def test_a_setting_that_the_script_cannot_take_is_not_tried_beside_others(message: str, again: bool) -> None:
    proposer = Proposer(SPACE)
    refused = trial(1, None, "refused", a=1, c="x")
    refused = replace(refused, outcome=replace(refused.outcome, message=message))
    proposer.tell(refused)
    assert any(config.get("c") == "x" for config in proposed(proposer, refused)) == again


def test_settings_refused_together_are_not_tried_with_more_beside_them() -> None:
    proposer = Proposer(SPACE)
    known = [trial(1, 1.5, a=1), trial(2, None, "refused", a=1, c="x")]
    for one in known:
        proposer.tell(one)
    found = proposed(proposer, *known)
    assert not any(config.get("a") == 1 and config.get("c") == "x" for config in found)
    assert any(config.get("a") == 2 and config.get("c") == "x" for config in found)


CACHE = Space(knobs=(knob("workers", 2), replace(knob("cache", True), excludes=("workers",)), knob("c", "x")))


def test_a_setting_takes_the_place_of_what_it_cannot_stand_beside() -> None:
    proposer = Proposer(CACHE)
    known = [trial(1, 1.5, workers=2, c="x")]
    proposer.tell(known[0])
    found = proposed(proposer, *known)
    assert found[0] == {"cache": True, "c": "x"}
    assert not any(config.get("cache") and config.get("workers") for config in found)


def test_what_needs_the_setting_that_another_turns_off_is_not_tried_beside_it() -> None:
    prefetch = replace(knob("prefetch", 4), needs="workers", needed_is_on=True)
    space = Space(knobs=(*CACHE.knobs, prefetch))
    proposer = Proposer(space)
    known = [trial(1, 1.5, cache=True), trial(2, 1.4, prefetch=4)]
    for one in known:
        proposer.tell(one)
    found = proposed(proposer, *known)
    assert {"workers": 2, "prefetch": 4} in found
    assert not any(config.get("cache") and config.get("prefetch") for config in found)


def test_the_sampler_comes_back_to_what_was_good() -> None:
    space = Space(knobs=tuple(knob(name, *range(1, 6)) for name in "abc"))
    sampler = Sampler(space, Goal())
    number = 0
    for a in range(1, 6):
        for b in range(1, 6):
            sampler.tell(trial(number, 3.0 if a == 4 else 1.0, a=a, b=b))
            number += 1
    suggested = [sampler.suggest().as_dict().get("a") for _ in range(30)]
    assert suggested.count(4) > 15


def test_the_sampler_leaves_what_gave_nothing() -> None:
    """Also where everything that works is slower than as written: a failure's value says nothing."""
    space = Space(knobs=(knob("a", 1, 2), knob("b", *range(1, 9))))
    sampler = Sampler(space, Goal())
    for b in range(1, 9):
        sampler.tell(trial(b, None, "oom", a=2, b=b))
        sampler.tell(trial(b, 0.5 + b / 100, a=1, b=b))
    suggested = [sampler.suggest().as_dict().get("a") for _ in range(40)]
    assert suggested.count(1) > suggested.count(2)


def test_a_knob_is_tried_beside_the_best_so_far() -> None:
    proposer = Proposer(SPACE)
    known = [trial(1, 1.3, a=1)]
    proposer.tell(known[0])
    assert proposed(proposer, *known)[:2] == [{"a": 1, "b": True}, {"a": 1, "c": "x"}]


def test_a_gain_that_may_be_a_loss_is_nothing_to_build_on() -> None:
    proposer = Proposer(SPACE)
    lucky = replace(trial(1, 7.8, a=1), ratio=Ratio(speedup=7.8, low=0.7, high=80.0, rounds=1))
    proposer.tell(lucky)
    assert proposed(proposer, lucky)[:2] == [{"b": True}, {"c": "x"}]


def test_what_limits_the_best_comes_next_even_if_it_gave_nothing_before() -> None:
    proposer = Proposer(SPACE)
    known = [trial(1, 0.9, c="x"), trial(2, 1.5, a=1)]
    for one in known:
        proposer.tell(one)
    limit = Limit(config=Config.of({"a": 1}), knobs=("c",), why="slow_collate limits it now")
    proposal = proposer.ask(known, limit=limit)
    assert proposal is not None
    assert (proposal.config, proposal.reason) == (
        Config.of({"a": 1, "c": "x"}),
        "the best so far with c=x: slow_collate limits it now",
    )


def test_a_limit_of_an_earlier_best_says_nothing_of_this_one() -> None:
    proposer = Proposer(SPACE)
    known = [trial(1, 1.3, a=1), trial(2, 1.6, a=1, b=True)]
    for one in known:
        proposer.tell(one)
    limit = Limit(config=Config.of({"a": 1}), knobs=("c",), why="slow_collate limits it now")
    proposal = proposer.ask(known, limit=limit)
    assert proposal is not None
    assert proposal.reason == "the best so far with c=x: a finding points to it"


def test_a_knob_without_what_it_needs_is_tried_with_it_though_that_gave_nothing_alone() -> None:
    proposer = Proposer(LEANS)
    known = [trial(1, 0.9, a=4)]
    proposer.tell(known[0])
    assert proposed(proposer, *known)[0] == {"a": 4, "leans": True}


def test_importances_name_the_knob_that_mattered() -> None:
    sampler = Sampler(SPACE, Goal())
    trials = [
        trial(number, 2.0 if c == "z" else 1.0, a=a, c=c)
        for number, (a, c) in enumerate((a, c) for a in (1, 2) for c in "xyz" for _ in range(2))
    ]
    shares = sampler.importances(trials)
    assert max(shares, key=lambda name: shares[name]) == "c"


def test_few_trials_have_no_importances() -> None:
    assert Sampler(SPACE, Goal()).importances([trial(number, 1.0 + number, a=1) for number in range(7)]) == {}


def test_trials_that_are_all_alike_have_no_importances() -> None:
    assert Sampler(SPACE, Goal()).importances([trial(number, 1.0, a=1) for number in range(9)]) == {}
