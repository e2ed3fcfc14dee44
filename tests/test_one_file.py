"""A knob, a rule, a what-if and an emitter are one file each: four files are added to a copy of the package, nothing is
edited, and every command knows them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from search import thin

pytestmark = pytest.mark.slow(3)

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 240
SCRIPT = """
import time
import torch

PAUSE_MS = 20

class Pausing(torch.nn.Linear):
    def forward(self, inputs):
        time.sleep(PAUSE_MS / 1e3)
        return super().forward(inputs)

if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = Pausing(16, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(STEPS):
        scores = model(torch.randn(8, 16))
        loss = torch.nn.functional.cross_entropy(scores, torch.arange(8) % 4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("pause at the end:", PAUSE_MS)
"""
ADDED = {
    "knobs/short_pause.py": '''
        """Milliseconds that the loop pauses for."""

        from __future__ import annotations

        import sys

        from ._base import Knob, PlainObjects, Values, key, noticing, whole_number


        def _apply(controls, value):
            controls.saved.setdefault("short_pause", sys.modules["__main__"].PAUSE_MS)
            sys.modules["__main__"].PAUSE_MS = value


        def _restore(controls):
            if "short_pause" in controls.saved:
                sys.modules["__main__"].PAUSE_MS = controls.saved.pop("short_pause")


        def _plain(objects, value):
            return None if hasattr(objects.model, "pause") else "the model does not pause"


        KNOB = Knob(
            id="short_pause",
            title="length of a pause",
            scope="live",
            values=lambda hardware, workload: Values(values=(2,), why="a pause need not be long"),
            example=1,
            effect=lambda hardware, workload: "exact",
            apply=_apply,
            restore=_restore,
            wrong=whole_number(0, 100),
            hooks=(),
            opened_by=("long_pauses",),
            by_hand="PAUSE_MS = {value}",
            chosen_for=("cpus",),
            noticed=noticing("Pauses", "the loop rests for less time"),
            rounding={2: "sums rest less, too"},
            plain=_plain,
            formats={
                "python": lambda value, training: {"set_up": [f"PAUSE_MS = {value}"]},
                "torchrun": key("environment", "PAUSE_MS"),
            },
            changes="The loop gets less rest.",
        )
        ''',
    "rules/long_pauses.py": '''
        """The loop pauses for no reason."""

        from __future__ import annotations

        from ..types import Ceiling
        from ._base import Example, Hit, Rule, lost_share
        from ._examples import healthy_cpu, what_if


        MIN_GAIN = 1.5
        """Least gain: shorter pauses do not matter."""


        def judge(evidence):
            measured = evidence.what_ifs.get("no_pause")
            if measured is None or measured.low < MIN_GAIN:
                return None
            return Hit(
                share=lost_share(measured.speedup),
                severity="critical",
                evidence=f"Without its pauses the loop is {measured.speedup:.1f} times as fast.",
                advice="Pause for less time.",
                ceiling=Ceiling.from_what_if(measured),
            )


        RULE = Rule(
            id="long_pauses",
            title="the loop pauses",
            headline="pauses for {share} of its time",
            looks_at="The what-if no_pause.",
            thresholds=("MIN_GAIN",),
            source="This test.",
            judge=judge,
            examples=(
                Example(name="mostly pauses", evidence=healthy_cpu(what_ifs=what_if("no_pause", 9.0)), fires=True),
            ),
        )
        ''',
    "whatif/no_pause.py": '''
        """Loop without its pauses."""

        from __future__ import annotations

        import sys

        from ._base import WhatIf


        def _enter(controls):
            controls.saved["no_pause"] = sys.modules["__main__"].PAUSE_MS
            sys.modules["__main__"].PAUSE_MS = 0


        def _leave(controls):
            sys.modules["__main__"].PAUSE_MS = controls.saved.pop("no_pause")


        WHAT_IF = WhatIf(id="no_pause", title="no pauses at all", applies=lambda workload: None, enter=_enter,
                         leave=_leave)
        ''',
    "settings_file/exports/plain_json.py": '''
        """Settings as plain JSON."""

        from __future__ import annotations

        import json

        from ._base import Emitter


        def _emit(draft):
            return json.dumps({"pause_ms": draft.take("short_pause")})


        EMITTER = Emitter(
            id="plain_json", title="plain JSON", file_name="settings.json", usage="json.load(open('settings.json'))",
            emit=_emit,
        )
        ''',
}

Advisor = Callable[..., str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the four files."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "advisor", folder / "advisor", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    for name, text in ADDED.items():
        lines = [line.removeprefix(" " * 8) for line in text.strip("\n").splitlines()]
        with (folder / "advisor" / name).open("x") as file:
            file.write("\n".join(lines) + "\n")
    return folder


def environment(site: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), os.environ["PYTHONPATH"]])}


@pytest.fixture(scope="module")
def advisor(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Advisor:
    """The command of the copy, in a folder with the script; returns what it prints."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "train.py").write_text(SCRIPT.replace("STEPS", "20_000"))
    (folder / "short.py").write_text(SCRIPT.replace("STEPS", "30"))

    def call(*words: str) -> str:
        done = subprocess.run(
            [*thin.COMMAND, *words],
            cwd=folder,
            env=environment(site),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    call.folder = folder  # type: ignore[attr-defined]
    return call


@pytest.fixture(scope="module")
def folder(advisor: Advisor) -> Path:
    found: Path = advisor.folder  # type: ignore[attr-defined]
    return found


@pytest.fixture(scope="module")
def profile(advisor: Advisor) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(advisor("profile", "--runs", "profiles", "--budget", "4s", "--json", "train.py"))
    return found


@pytest.fixture(scope="module")
def search(advisor: Advisor, profile: dict[str, Any]) -> dict[str, Any]:
    words = ["--runs", "searches", "--budget", "16s", "--json", "--emit", "plain_json", "train.py"]
    found: dict[str, Any] = json.loads(advisor("tune", *words))
    return found


def test_the_copy_is_what_runs(advisor: Advisor, site: Path) -> None:
    assert all((site / "advisor" / name).is_file() for name in ADDED)
    assert "long_pauses" in advisor("explain")


def test_the_profile_tries_the_what_if_and_asks_the_rule(profile: dict[str, Any]) -> None:
    assert "no_pause" in {one["name"] for one in profile["what_ifs"]}
    (finding,) = [one for one in profile["findings"] if one["rule"] == "long_pauses"]
    assert finding["knobs"] == ["short_pause"]


def test_reports_name_them(advisor: Advisor, folder: Path, profile: dict[str, Any]) -> None:
    shown = advisor("report", "--runs", "profiles")
    advisor("report", "--runs", "profiles", "--html", "-o", "page.html")
    page = (folder / "page.html").read_text()
    for text in (shown, page):
        words = " ".join(text.split())
        assert "your script pauses for" in words.lower()  # in the middle of the sentence where the machine is busy
        assert "no pauses at all" in words
        assert "Pause for less time." in words


def test_the_search_tries_the_knob_and_recommends_it(search: dict[str, Any]) -> None:
    tried = {name for trial in search["trials"] for name in trial["config"]}
    assert "short_pause" in tried
    assert search["config"]["short_pause"] == 2


def test_the_search_describes_what_the_knob_changes(advisor: Advisor, folder: Path, search: dict[str, Any]) -> None:
    shown = advisor("report", "--runs", "searches")
    advisor("report", "--runs", "searches", "--html", "-o", "search.html")
    for text in (shown, (folder / "search.html").read_text()):
        words = " ".join(text.split())
        assert "the loop rests for less time" in words
        assert "sums rest less, too" in words
    assert "length of a pause. The loop gets less rest." in (folder / "advisor.yaml").read_text()


def test_the_training_runs_with_it(advisor: Advisor, search: dict[str, Any]) -> None:
    assert "pause at the end: 2\n" in advisor("run", "--config", "advisor.yaml", "short.py")


def test_formats_that_know_it_hold_it_and_others_list_it(
    advisor: Advisor, folder: Path, search: dict[str, Any]
) -> None:
    assert json.loads((folder / "settings.json").read_text()) == {"pause_ms": 2}
    made = json.loads(advisor("export", "advisor.yaml", "--to", "python,torchrun,lightning", "--json", "-f"))
    left = {one["target"]: {item["what"] for item in one["not_expressed"]} for one in made["files"]}
    assert "    PAUSE_MS = 2\n" in (folder / "fast_settings.py").read_text()
    assert "export PAUSE_MS=2\n" in (folder / "torchrun.sh").read_text()
    assert "short_pause=2" in left["lightning"]
    assert not {what for target in ("python", "torchrun") for what in left[target]} & {"short_pause=2"}
    assert isinstance(yaml.safe_load((folder / "lightning.yaml").read_text()), dict)


def test_they_are_explained(advisor: Advisor) -> None:
    listed = advisor("explain")
    assert "the loop pauses" in listed
    assert "length of a pause" in listed
    page = advisor("explain", "long_pauses")
    assert "short_pause" in page
    assert "MIN_GAIN = 1.5: Least gain: shorter pauses do not matter." in page
    assert "The loop gets less rest." in advisor("explain", "short_pause")


def test_plain_torch_asks_the_knob(site: Path, folder: Path) -> None:
    code = (
        "import warnings, advisor.settings_file.loaded as loaded\n"
        "with warnings.catch_warnings(record=True) as said:\n"
        "    warnings.simplefilter('always')\n"
        "    loaded.LoadedConfig(settings={'short_pause': 2}).apply(object())\n"
        "print(said[0].message)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment(site),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    assert done.stdout == "not applied: short_pause=2: the model does not pause\n"


def test_a_value_that_the_knob_refuses_is_refused(site: Path, folder: Path) -> None:
    (folder / "wrong.yaml").write_text("version: 1\nsettings:\n  short_pause: 101\n")
    done = subprocess.run(
        [sys.executable, "-m", "advisor", "run", "--config", "wrong.yaml", "short.py"],
        cwd=folder,
        env=environment(site),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "short_pause: 101 is not an integer from 0 to 100" in done.stderr
