"""The page as a real browser sees it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from advisor.report.profile.html import as_fragment, as_page

from . import hostile, sample
from .browsing import CHROMIUM, CUT_OFF, OVERLAPS, Browser, complaints, corner, probed, seen

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path)


@pytest.mark.parametrize("shape", ["input_bound", "gpu_transformer", "crashed", "hung"])
def test_the_page_opens_without_a_complaint_or_a_request(browser: Browser, shape: str) -> None:
    output = browser.run(as_page(sample.ALL[shape]()), "--dump-dom")
    assert "Your script" in output
    assert complaints(output) == []
    assert browser.asked_for() == set()


def test_the_check_for_requests_and_complaints_can_see_them(browser: Browser) -> None:
    output = browser.run("<img src='http://evil.example/y'><script>console.log('heard')</script>", "--dump-dom")
    assert "http://evil.example/y" in browser.asked_for()
    assert "heard" in complaints(output)[0]


def test_hostile_names_run_nothing(browser: Browser) -> None:
    output = browser.run(as_page(hostile.everywhere()), "--dump-dom")
    assert "alert(1)" in output
    assert complaints(output) == []
    assert browser.asked_for() == set()


@pytest.mark.parametrize(("dark", "colour"), [(False, (0xFA, 0xF9, 0xF6)), (True, (0x14, 0x17, 0x1B))])
def test_the_page_follows_the_colour_scheme(browser: Browser, dark: bool, colour: tuple[int, ...]) -> None:
    picture = browser.folder / "shot.png"
    browser.run(as_page(sample.input_bound()), f"--screenshot={picture}", dark=dark)
    assert corner(picture) == colour


@pytest.mark.parametrize("width", [340, 400, 700, 1200])
@pytest.mark.parametrize("shape", ["input_bound", "crashed"])
def test_nothing_sticks_out_of_the_window(browser: Browser, shape: str, width: int) -> None:
    page = probed(as_page(sample.ALL[shape]()), "d.documentElement.scrollWidth", width=width)
    assert int(seen(browser.run(page, "--dump-dom"))) <= width


@pytest.mark.parametrize("width", [340, 400])
def test_on_a_telephone_no_table_is_cut_off(browser: Browser, width: int) -> None:
    page = probed(as_page(sample.input_bound()), CUT_OFF, width=width)
    assert seen(browser.run(page, "--dump-dom")) == ""


@pytest.mark.slow
def test_the_words_in_the_pictures_do_not_run_into_each_other(browser: Browser) -> None:
    for shape in ("input_bound", "gpu_transformer"):
        assert seen(browser.run(probed(as_page(sample.ALL[shape]()), OVERLAPS), "--dump-dom")) == "0"


@pytest.mark.slow
def test_a_fragment_leaves_the_notebook_around_it_as_it_is(browser: Browser) -> None:
    around = "<html><body><h2 id='own'>mine</h2>{}</body></html>"
    style = "frames[0].getComputedStyle(d.getElementById('own'))"
    script = f"['color', 'font', 'margin', 'border', 'background'].map(name => {style}[name]).join()"
    alone = seen(browser.run(probed(around.format(""), script), "--dump-dom"))
    beside = seen(browser.run(probed(around.format(as_fragment(sample.healthy())), script), "--dump-dom"))
    assert alone == beside


def test_it_prints(browser: Browser) -> None:
    paper = browser.folder / "page.pdf"
    browser.run(as_page(sample.input_bound()), f"--print-to-pdf={paper}", "--no-pdf-header-footer", dark=True)
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 5
