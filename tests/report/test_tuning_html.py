"""The page of a search: whole, offline, safe with whatever a script is called, and small."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from advisor.report.pictures import TUNING, Missing, Picture, by_knob, history, pareto
from advisor.report.search.html import tune_fragment, tune_page
from advisor.report.trial_rows import front
from advisor.types import TrialOutcome, TuneResult

from . import hostile, sample_tuning
from .markup import NUMBERS, Page, colours_of, contrast

SIZE_LIMIT = 300_000


def dots(picture: Picture | Missing, class_: str = "dot") -> list[tuple[float, float]]:
    """Where the circles of exactly that class stand."""
    assert isinstance(picture, Picture)
    found = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="[\d.]+" class="([^"]*)"', picture.svg)
    return [(float(x), float(y)) for x, y, kind in found if kind == class_]


def bare(result: TuneResult) -> TuneResult:
    """The same with nothing recommended, so that all dots are alike."""
    return replace(result, recommendation=replace(result.recommendation, config=result.trials[0].config))


@pytest.mark.parametrize("shape", sample_tuning.ALL)
def test_every_shape_is_a_well_formed_page(shape: str) -> None:
    assert "How this was measured" in Page(tune_page(sample_tuning.ALL[shape]())).words


def test_a_failure_shows_the_scripts_last_words() -> None:
    assert "ValueError: labels hold 11" in Page(tune_page(sample_tuning.crashed())).words


@pytest.mark.parametrize("shape", sample_tuning.ALL)
def test_nothing_is_asked_of_the_network(shape: str) -> None:
    page = tune_page(sample_tuning.ALL[shape]())
    assert not re.search(r"(?:src|href)=[\"'](?!data:|#)", page)
    assert "url(" not in page
    assert not any(tag == "script" for tag, _ in Page(page).tags)


@pytest.mark.parametrize("render", [tune_page, tune_fragment])
@pytest.mark.parametrize("shape", ["faster", "on_device", "for_memory", "crashed"])
def test_hostile_text_stays_text(shape: str, render: Callable[[TuneResult], str]) -> None:
    page = Page(render(hostile.tuned_with_text(sample_tuning.ALL[shape]())))
    assert not {"script", "img", "iframe"} & {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "7*7" in page.words


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("shape", sample_tuning.ALL)
def test_wild_numbers_never_reach_the_drawing(shape: str, numbers: str) -> None:
    page = Page(tune_page(hostile.tuned_with_numbers(sample_tuning.ALL[shape](), NUMBERS[numbers])))
    assert page.wild_places == []


@pytest.mark.parametrize("peak", [0, -1, 10**400], ids=["zero", "negative", "beyond floats"])
def test_a_wild_count_of_bytes_never_reaches_the_drawing(peak: int) -> None:
    base = sample_tuning.faster()
    trials = tuple(replace(one, outcome=replace(one.outcome, peak_bytes=peak)) for one in base.trials)
    assert Page(tune_page(replace(base, trials=trials))).wild_places == []


def test_a_thousand_trials_make_a_small_page() -> None:
    page = tune_page(sample_tuning.long_search(1000))
    assert len(page.encode()) < SIZE_LIMIT
    assert "600 more: " in Page(page).words


def test_a_picture_that_cannot_be_drawn_says_why() -> None:
    for draw in TUNING:
        missing = draw(sample_tuning.crashed())
        assert isinstance(missing, Missing) or draw.__module__.endswith("ceilings")
    text = Page(tune_page(sample_tuning.nothing_tried())).words
    assert "Not drawn: the search, trial by trial (nothing was tried)" in text


def test_every_picture_has_words_for_those_who_do_not_see_it() -> None:
    page = Page(tune_page(sample_tuning.faster()))
    drawn = [attributes for tag, attributes in page.tags if tag == "svg"]
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert len(drawn) == len(TUNING)
    for picture in drawn:
        assert picture["role"] == "img"
        assert set((picture["aria-labelledby"] or "").split()) <= ids


def test_the_history_has_a_dot_for_each_trial_that_was_measured_and_a_cross_for_each_other() -> None:
    picture = history.draw(bare(sample_tuning.faster()))
    assert len(dots(picture)) == 5
    assert len(dots(picture, "dot training")) == 1
    assert isinstance(picture, Picture)
    assert picture.svg.count('class="failed"') == 2


def test_the_history_is_higher_where_a_trial_was_faster() -> None:
    heights = [y for _, y in sorted(dots(history.draw(bare(sample_tuning.on_device()))))]
    speeds = [one.ratio.speedup for one in sample_tuning.on_device().trials if one.ratio]
    assert sorted(range(4), key=lambda place: -heights[place]) == sorted(range(4), key=lambda place: speeds[place])


def test_the_best_so_far_leaves_out_what_changes_the_training() -> None:
    result = sample_tuning.faster()
    picture = history.draw(result)
    assert isinstance(picture, Picture)
    line = re.search(r'd="M([^"]*)" class="curve best"', picture.svg)
    assert line is not None
    highest = min(float(point.split(",")[1]) for point in line[1].split("L"))
    (chosen,), (training,) = dots(picture, "dot chosen"), dots(picture, "dot training")
    assert (chosen[1], training[1] < highest) == (highest, True)


def test_intervals_are_drawn_until_they_would_cover_each_other() -> None:
    few, many = (history.draw(sample_tuning.long_search(count)) for count in (40, 240))
    assert isinstance(few, Picture)
    assert isinstance(many, Picture)
    assert "whisker" in few.svg
    assert "whisker" not in many.svg
    assert "intervals are in the table" in many.caption


def test_what_is_not_drawn_is_counted() -> None:
    picture = history.draw(sample_tuning.long_search(350))
    assert isinstance(picture, Picture)
    assert "50 later trials not drawn" in picture.caption


def test_the_front_holds_what_no_other_beats_in_both() -> None:
    assert [one.number for one in front(sample_tuning.faster().trials)] == [2, 5, 6]
    assert [one.number for one in front(sample_tuning.for_memory().trials)] == [4, 3]


def test_of_equals_in_memory_the_faster_is_on_the_front() -> None:
    base = sample_tuning.on_device()
    same = tuple(replace(one, outcome=replace(one.outcome, peak_bytes=2**30)) for one in base.trials)
    assert [one.number for one in front(same)] == [3]


def test_without_known_peaks_there_is_no_front() -> None:
    base = sample_tuning.faster()
    blind = tuple(replace(one, outcome=TrialOutcome(kind="measured")) for one in base.trials)
    assert isinstance(pareto.draw(replace(base, trials=blind)), Missing)


def test_one_setting_has_no_split() -> None:
    missing = by_knob.draw(sample_tuning.undecided())
    assert isinstance(missing, Missing)
    assert "single recommended setting" in missing.why


def test_two_fragments_in_one_notebook_share_no_id() -> None:
    ids = re.findall(r' id="([^"]+)"', tune_fragment(sample_tuning.faster()) + tune_fragment(sample_tuning.faster()))
    assert len(ids) == len(set(ids))


def test_a_fragment_is_no_page() -> None:
    assert "<html" not in tune_fragment(sample_tuning.faster())


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_marks_stand_out_from_their_card(scheme: int) -> None:
    colours = colours_of(tune_page(sample_tuning.faster()))[scheme]
    for mark in ("accent", "data-wait", "good", "critical", "optimizer", "soft"):
        assert contrast(colours[mark], colours["card"]) >= 3, mark
