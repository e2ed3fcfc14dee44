"""The page of a search as a real browser sees it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from advisor.report.search.html import tune_page
from advisor.types import Config

from . import hostile, sample_tuning
from .browsing import CHROMIUM, CUT_OFF, OVERLAPS, Browser, complaints, corner, probed, seen

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path)


@pytest.mark.parametrize("shape", ["faster", "on_device", "crashed"])
def test_the_page_opens_without_a_complaint_or_a_request(browser: Browser, shape: str) -> None:
    output = browser.run(tune_page(sample_tuning.ALL[shape]()), "--dump-dom")
    assert "How this was measured" in output
    assert complaints(output) == []
    assert browser.asked_for() == set()


def test_hostile_names_run_nothing(browser: Browser) -> None:
    output = browser.run(tune_page(hostile.tuned_with_text(sample_tuning.faster())), "--dump-dom")
    assert "alert(1)" in output
    assert complaints(output) == []
    assert browser.asked_for() == set()


@pytest.mark.parametrize(("dark", "colour"), [(False, (0xFA, 0xF9, 0xF6)), (True, (0x14, 0x17, 0x1B))])
def test_the_page_follows_the_colour_scheme(browser: Browser, dark: bool, colour: tuple[int, ...]) -> None:
    picture = browser.folder / "shot.png"
    browser.run(tune_page(sample_tuning.faster()), f"--screenshot={picture}", dark=dark)
    assert corner(picture) == colour


@pytest.mark.parametrize("width", [340, 400, 700, 1200])
@pytest.mark.parametrize("shape", ["faster", "crashed"])
def test_nothing_sticks_out_of_the_window(browser: Browser, shape: str, width: int) -> None:
    page = probed(tune_page(sample_tuning.ALL[shape]()), "d.documentElement.scrollWidth", width=width)
    assert int(seen(browser.run(page, "--dump-dom"))) <= width


@pytest.mark.parametrize("width", [340, 400])
@pytest.mark.parametrize("shape", ["faster", "on_device", "dry_run"])
def test_on_a_telephone_no_table_is_cut_off_and_a_chart_says_that_it_goes_on(
    browser: Browser, shape: str, width: int
) -> None:
    page = probed(tune_page(sample_tuning.ALL[shape]()), CUT_OFF, width=width)
    assert seen(browser.run(page, "--dump-dom")) == ""


@pytest.mark.parametrize("shape", ["faster", "on_device", "no_gain", "long_search"])
def test_the_words_in_the_pictures_do_not_run_into_each_other(browser: Browser, shape: str) -> None:
    assert seen(browser.run(probed(tune_page(sample_tuning.ALL[shape]()), OVERLAPS), "--dump-dom")) == "0"


@pytest.mark.slow
def test_words_in_the_pictures_stay_in_them(browser: Browser) -> None:
    script = """(() => [...d.querySelectorAll('svg')].flatMap(s => {
        const box = s.getBoundingClientRect();
        return [...s.querySelectorAll('text')].map(t => t.getBoundingClientRect()).filter(t =>
            t.left < box.left - 1 || t.right > box.right + 1); }).length)()"""
    base = sample_tuning.faster()
    long_name = {"x" * 50: sample_tuning.ratio(2.0)}
    found = replace(base.recommendation, config=Config.of(dict.fromkeys(long_name, True)), by_knob=long_name)
    for result in (base, sample_tuning.on_device(), replace(base, recommendation=found, importances={"y" * 50: 0.5})):
        assert seen(browser.run(probed(tune_page(result), script), "--dump-dom")) == "0"


def test_it_prints(browser: Browser) -> None:
    paper = browser.folder / "page.pdf"
    browser.run(tune_page(sample_tuning.faster()), f"--print-to-pdf={paper}", "--no-pdf-header-footer", dark=True)
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 6
