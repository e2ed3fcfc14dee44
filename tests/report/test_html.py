"""The page: whole, offline, safe with whatever a script is called, and small."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from advisor.report.pictures import ALL as PICTURES
from advisor.report.pictures import Missing, Picture
from advisor.report.profile.html import as_fragment, as_page
from advisor.types import WhatIf

from . import hostile, sample
from .markup import NUMBERS, Page, colours_of, contrast

SIZE_LIMIT = 300_000


@pytest.mark.parametrize("shape", sample.ALL)
def test_every_shape_is_a_well_formed_page(shape: str) -> None:
    assert "Your script" in Page(as_page(sample.ALL[shape]())).words


def test_a_failure_shows_the_scripts_last_words() -> None:
    assert "ValueError: labels hold 11" in Page(as_page(sample.crashed())).words


def test_source_lines_stand_with_their_finding() -> None:
    base = sample.input_bound()
    line = replace(base.lines[0], file=sample.SCRIPT, line=17, text="image = Image.open(path)")
    assert "image = Image.open(path)" in Page(as_page(replace(base, lines=(line,)))).words


def test_a_line_that_was_seen_at_several_kinds_of_work_is_one_row() -> None:
    base = sample.input_bound()
    kinds = tuple(replace(base.lines[0], line=17, share=0.2, kind=kind, where="loop") for kind in ("io", "torch"))
    said = Page(as_page(replace(base, lines=kinds, findings=()))).words
    assert said.count("train.py:17") == 1
    assert "40%" in said


def test_nothing_is_asked_of_the_network() -> None:
    page = as_page(sample.input_bound())
    assert not re.search(r"(?:src|href)=[\"'](?!data:|#)", page)
    assert "url(" not in page
    assert "@import" not in page
    assert not any(tag == "script" for tag, _ in Page(page).tags)


@pytest.mark.parametrize("render", [as_page, as_fragment])
def test_hostile_text_stays_text(render: Callable[[object], str]) -> None:
    page = Page(render(hostile.everywhere()))
    assert not {"script", "img", "iframe"} & {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "7*7" in page.words


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("shape", sample.ALL)
def test_wild_numbers_never_reach_the_drawing(shape: str, numbers: str) -> None:
    page = Page(as_page(hostile.with_numbers(sample.ALL[shape](), NUMBERS[numbers])))
    assert page.wild_places == []


def test_two_thousand_updates_make_a_small_page() -> None:
    assert len(as_page(sample.input_bound(updates=2000)).encode()) < SIZE_LIMIT


def test_a_lone_spike_survives_the_thinning() -> None:
    base = sample.healthy()
    wall = [0.05] * 5000
    wall[3210] = 0.09
    window = replace(base.windows[0], wall_s=tuple(wall))
    (picture,) = (draw(replace(base, windows=(window,))) for draw in PICTURES[:1])
    assert isinstance(picture, Picture)
    band = re.search(r'd="M([^"]*)Z" class="band own"', picture.svg)
    assert band is not None
    heights = [float(point.split(",")[1]) for point in band[1].split("L")]
    assert min(heights) < sorted(heights)[5] - 50
    assert "median" in picture.caption


def test_a_picture_that_cannot_be_drawn_says_why() -> None:
    for draw in PICTURES:
        missing = draw(sample.hung())
        assert isinstance(missing, Missing)
        assert missing.why
    assert "Not drawn: time of each update (no update was measured)" in Page(as_page(sample.hung())).words


def test_every_picture_has_words_for_those_who_do_not_see_it() -> None:
    page = Page(as_page(sample.gpu_transformer()))
    pictures = [attributes for tag, attributes in page.tags if tag == "svg"]
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert len(pictures) == 5
    for picture in pictures:
        assert picture["role"] == "img"
        assert set((picture["aria-labelledby"] or "").split()) <= ids


def test_two_fragments_in_one_notebook_share_no_id() -> None:
    ids = re.findall(r' id="([^"]+)"', as_fragment(sample.healthy()) + as_fragment(sample.healthy()))
    assert len(ids) == len(set(ids))


def test_a_fragment_styles_nothing_outside_itself() -> None:
    fragment = as_fragment(sample.healthy())
    assert "<html" not in fragment
    style = re.sub(
        r"/\*.*?\*/", "", fragment[fragment.index("<style>") + 7 : fragment.index("</style>")], flags=re.DOTALL
    )
    selectors = [part.strip() for rule in re.findall(r"([^{}]+)\{", style) for part in rule.split(",")]
    assert all(one.startswith((".advisor-report", "@media")) for one in selectors)


def test_the_roofline_needs_peaks_and_asks_for_them() -> None:
    base = sample.gpu_transformer()
    without = replace(base, hardware=replace(base.hardware, accelerators=()))
    assert "advisor hardware --calibrate" in Page(as_page(without)).words
    assert "57% of what arithmetic allows there (peak of fp32, data sheet)" in Page(as_page(base)).words


def test_the_limit_of_memory_is_drawn_only_where_it_is_near() -> None:
    assert "far above" in Page(as_page(sample.healthy())).words
    assert re.search(r">limit</text>", as_page(sample.gpu_transformer()))


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_the_contrast_that_accessibility_asks_for(scheme: int) -> None:
    colours = colours_of(as_page(sample.healthy()))[scheme]
    for text in ("ink", "soft", "good", "warning", "critical", "accent"):
        for ground in ("ground", "card", "fill"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_phases_stand_out_from_the_ground(scheme: int) -> None:
    colours = colours_of(as_page(sample.healthy()))[scheme]
    for phase in ("data-wait", "host-to-device", "forward", "backward", "optimizer", "other"):
        assert contrast(colours[phase], colours["ground"]) >= 3, phase


def test_what_the_loader_could_deliver_is_a_fact_and_not_drawn_as_a_gain() -> None:
    alone = WhatIf(name="loader_alone", speedup=48.0, low=44.0, high=52.0, rounds=1)
    page = as_page(replace(sample.healthy(), what_ifs=(*sample.healthy().what_ifs, alone)))
    assert "alone it could deliver 48.0× (44.0–52.0) as many batches" in page
    assert page.count("48.0×") == 1


def test_a_page_shows_home_folders_as_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of this user, and of whoever stored the run; the fragment is for the user's own notebook."""
    monkeypatch.setenv("HOME", "/data/o'neill")
    notes = (
        "in /home/mara/photos/train.py",
        "see /data/o'neill/runs/1",
        "and /Users/Ada/x.py",
        "not /data/o'neills nor /srv/home/mara",
    )
    profile = replace(sample.input_bound(), notes=notes)
    page, fragment = as_page(profile), as_fragment(profile)
    assert "~/photos/train.py" in page
    assert "/home/mara" in fragment
    words = Page(page).words
    assert all(text in words for text in ("see ~/runs/1", "and ~/x.py", "not /data/o'neills nor /srv/home/mara"))
    assert re.findall(r"(?<!/srv)/home/|/Users/", page) == []
