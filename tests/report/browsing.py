"""A real browser, for what only it can say of a page."""

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

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


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


OVERLAPS = """(() => { const boxes = [...d.querySelectorAll('svg')].flatMap(s => {
        const texts = [...s.querySelectorAll('text')].map(t => t.getBoundingClientRect());
        return texts.flatMap((a, i) => texts.slice(i + 1).filter(b =>
            a.left + 1 < b.right && b.left + 1 < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom)); });
        return boxes.length; })()"""
"""How many words in pictures run into each other."""


CUT_OFF = """(() => { const wide = d.documentElement.clientWidth;
        const cells = [...d.querySelectorAll('th, td, code')].filter(c => {
            const box = c.getBoundingClientRect(); return box.width > 1 && box.right > wide + 1; });
        const silent = [...d.querySelectorAll('.scroll')].filter(s => s.scrollWidth > s.clientWidth + 1 &&
            !(s.nextElementSibling && s.nextElementSibling.matches('.swipe') && s.nextElementSibling.offsetHeight));
        return [...cells, ...silent].map(e => e.textContent.trim().slice(0, 20)).join('|'); })()"""
"""What stands right of the window's edge, and what can be scrolled without a word that says so."""
