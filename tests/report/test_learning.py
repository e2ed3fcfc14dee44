"""What a reader sees of a search by losses: the verdict, the pairs, the curves."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console
from snapshot import Snapshot

from advisor.report.pictures import LEARNING, Missing, Picture
from advisor.report.search.learning import learning_json, render_learning, sentence_of_learning
from advisor.report.search.learning_html import learning_page
from advisor.settings_file.loaded import learned_yaml
from advisor.types import LearningResult

from . import hostile, sample_learning

RESULTS = {
    "faster": sample_learning.faster,
    "loses at the end": sample_learning.loses_at_the_end,
    "better at a time": sample_learning.better_at_a_time,
    "overfits": sample_learning.overfits,
    "nothing better": sample_learning.nothing_better,
    "refused": sample_learning.refused,
}


def printed(result: LearningResult) -> str:
    file = io.StringIO()
    render_learning(result, Console(file=file, width=100))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


@pytest.mark.parametrize("name", RESULTS)
def test_in_the_terminal(name: str, snapshot: Snapshot) -> None:
    snapshot(f"learning/{name.replace(' ', '_')}", printed(RESULTS[name]()))


def test_the_settings_file_holds_the_schedules_length(snapshot: Snapshot) -> None:
    text = learned_yaml(sample_learning.faster())
    assert "updates: 900" in text
    snapshot("learning/advisor.yaml", text)
    without = sample_learning.nothing_better()
    empty = replace(without, recommendation=sample_learning.loses_at_the_end().recommendation)
    assert "updates:" not in learned_yaml(empty)


@pytest.mark.parametrize("name", RESULTS)
def test_json_has_the_curves_and_no_number_that_json_lacks(name: str) -> None:
    found = json.loads(json.dumps(learning_json(RESULTS[name]()), allow_nan=False))
    assert found["version"] == 1
    assert ("failure" in found) == (name == "refused")
    for pair in found["verdict"]["pairs"]:
        assert len(pair["baseline"]["losses"]) == len(pair["candidate"]["seconds"]) == 30


@pytest.mark.parametrize("name", RESULTS)
def test_the_page_is_whole(name: str) -> None:
    page = learning_page(RESULTS[name]())
    assert sentence_of_learning(RESULTS[name]()).sentence.split("=")[0] in page
    assert page.count("<svg") == (0 if name == "refused" else 3)
    assert "{{" not in page


def test_a_picture_has_a_line_for_each_seed_and_side_and_the_target() -> None:
    for draw in LEARNING:
        found = draw(sample_learning.faster())
        assert isinstance(found, Picture)
        assert found.svg.count('class="curve roof"') == 3
        assert found.svg.count('class="curve best"') == 3
        assert found.svg.count('class="limit"') == 1


def test_without_pairs_the_searchs_own_trainings_are_drawn_and_without_those_nothing() -> None:
    found = LEARNING[0](replace(sample_learning.nothing_better(), best=sample_learning.SETTINGS))
    assert isinstance(found, Picture)
    assert found.svg.count('class="curve roof"') == found.svg.count('class="curve best"') == 1
    assert isinstance(LEARNING[0](sample_learning.refused()), Missing)


def test_a_scripts_words_are_text_on_the_page() -> None:
    bad = replace(sample_learning.refused(), notes=(hostile.TEXT,) if hasattr(hostile, "TEXT") else ("<script>x",))
    assert not re.search(r"<script>", learning_page(bad))
