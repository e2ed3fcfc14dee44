"""The page as a real browser sees it."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import signal
import subprocess
import zlib
from pathlib import Path

import pytest

from advisor.report import as_fragment, as_page

from . import hostile, sample

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


class Browser:
    """One headless run each, with a profile of its own and no way out to the network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, page: str, *options: str, dark: bool = False) -> str:
        """Opens `page`; returns what the browser printed, its own log after it."""
        file = self.folder / "page.html"
        file.write_text(page, encoding="utf-8")
        command = [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={self.folder / 'user'}",
            f"--log-net-log={self.net_log}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--enable-logging=stderr",
            *options,
            file.as_uri(),
        ]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        try:
            return process.communicate(timeout=90)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise

    @property
    def net_log(self) -> Path:
        return self.folder / "net.json"

    def asked_for(self) -> set[str]:
        """Addresses that the page asked for; the browser's own errands have no origin."""
        events = json.loads(self.net_log.read_text())["events"]
        asked = [event["params"] for event in events if "initiator" in event.get("params", {})]
        return {
            one["url"] for one in asked if one["initiator"] != "not an origin" and not one["url"].startswith("data:")
        }


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path)


def corner(picture: Path) -> tuple[int, ...]:
    """The colour of the first pixel of a PNG (whatever its filter, the first pixel of the first row is plain)."""
    data = picture.read_bytes()
    packed = b"".join(
        data[found.end() : found.end() + int.from_bytes(data[found.start() - 4 : found.start()], "big")]
        for found in re.finditer(rb"IDAT", data)
    )
    return tuple(zlib.decompressobj().decompress(packed, 4)[1:4])


def probed(page: str, script: str, *, width: int = 1200) -> str:
    """The page in a frame of that width, without its policy, and a script that writes what it sees into the title."""
    inner = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", page)
    return (
        f'<!DOCTYPE html><title>none</title><iframe style="width:{width}px;height:900px;border:0" '
        f'srcdoc="{html.escape(inner)}"></iframe><script>onload = () => {{ const d = frames[0].document; '
        f"document.title = 'seen ' + ({script}); }}</script>"
    )


def seen(output: str) -> str:
    found = re.search(r"<title>seen ([^<]*)</title>", output)
    assert found is not None, output[-2000:]
    return found[1]


def complaints(output: str) -> list[str]:
    return [line for line in output.splitlines() if ":CONSOLE:" in line]


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


@pytest.mark.parametrize("width", [340, 700, 1200])
@pytest.mark.parametrize("shape", ["input_bound", "crashed"])
def test_nothing_sticks_out_of_the_window(browser: Browser, shape: str, width: int) -> None:
    page = probed(as_page(sample.ALL[shape]()), "d.documentElement.scrollWidth", width=width)
    assert int(seen(browser.run(page, "--dump-dom"))) <= width


def test_the_words_in_the_pictures_do_not_run_into_each_other(browser: Browser) -> None:
    script = """(() => { const boxes = [...d.querySelectorAll('svg')].flatMap(s => {
        const texts = [...s.querySelectorAll('text')].map(t => t.getBoundingClientRect());
        return texts.flatMap((a, i) => texts.slice(i + 1).filter(b =>
            a.left + 1 < b.right && b.left + 1 < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom)); });
        return boxes.length; })()"""
    for shape in ("input_bound", "gpu_transformer"):
        assert seen(browser.run(probed(as_page(sample.ALL[shape]()), script), "--dump-dom")) == "0"


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
