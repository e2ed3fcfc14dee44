"""Makes docs/images/report.png anew: the profile of `tests/workloads/image_augment.py`, as a browser shows its page.

    python docs/picture.py [--height 1150] [--from page.html]

The text that is printed is that of the README, which shortens it; the machine should be quiet.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "report.png"
WIDTH = 1000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--height", type=int, default=1150, help="pixels: to the end of the first finding")
    parser.add_argument("--from", dest="page", type=Path, metavar="PAGE", help="a report that was written before")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="advisor-picture-") as folder:
        shoot(arguments.page or profiled(Path(folder)), arguments.height, Path(folder) / "browser")


def profiled(folder: Path) -> Path:
    """Profile the workload by the name that the README gives it; return the page."""
    shutil.copy(ROOT / "tests" / "workloads" / "image_augment.py", folder / "train.py")
    options = ["--runs", "runs", "-o", "page.html"]
    subprocess.run([sys.executable, "-m", "advisor", "profile", *options, "train.py"], cwd=folder, check=True)
    return folder / "page.html"


def shoot(page: Path, height: int, own: Path) -> None:
    """Let a browser without a window draw the top of the page."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise SystemExit(f"picture.py: none of {', '.join(BROWSERS)} is installed")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
               "--host-resolver-rules=MAP * ~NOTFOUND", "--blink-settings=preferredColorScheme=1"]  # fmt: skip
    drawn = [f"--user-data-dir={own}", f"--window-size={WIDTH},{height}", f"--screenshot={PICTURE}"]
    subprocess.run([browser, *options, *drawn, page.resolve().as_uri()], check=True, capture_output=True, timeout=120)


if __name__ == "__main__":
    main()
