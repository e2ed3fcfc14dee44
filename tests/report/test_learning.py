<<<<<<< HEAD
"""Lines of the report on the learning: the length of the training, and the gradient noise scale."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from advisor.report.profile.learning import early_stop_line, noise_scale_line
from advisor.types import EarlyStop, NoiseScale, Profile

from . import sample

STOP = EarlyStop(
    seen=400, planned=1_000, stop_at=600, low=500, tolerance=0.02, left=0.031, left_low=0.012, left_high=0.05
)
SCALE = NoiseScale(
    updates=48, small_samples=32, large_samples=64, batch_samples=64, samples=192.0, low=120.0, high=300.0
)


def profile(**changes: Any) -> Profile:
    return replace(sample.ALL["healthy"](), **changes)


def test_the_part_that_adds_nothing_is_told_with_what_is_left() -> None:
    assert early_stop_line(profile(early_stop=STOP)) == (
        "updates after 600 (500 at the earliest) of 1,000 are expected to add nothing: 40% of the training. By 400 "
        "updates seen, the loss falls by 0.0310 more (0.0120–0.0500)"
    )


def test_a_training_seen_to_its_end_has_nothing_left() -> None:
    assert early_stop_line(profile(early_stop=replace(STOP, seen=1_000))) == (
        "updates after 600 (500 at the earliest) of 1,000 are expected to add nothing: 40% of the training"
    )


def test_nothing_is_told_where_nothing_is_known() -> None:
    assert early_stop_line(profile()) is None
    assert early_stop_line(profile(early_stop=replace(STOP, stop_at=None))) is None
    assert early_stop_line(profile(early_stop=replace(STOP, why_not="too few"))) is None
    assert noise_scale_line(profile()) is None


def test_the_noise_scale_is_told_with_what_a_larger_batch_saves() -> None:
    assert noise_scale_line(profile(noise_scale=SCALE)) == (
        "192 samples (120–300), the critical batch size here; at 64, a sample does 75% of the work that it does in a "
        "small batch, and twice the batch needs 62% of the updates"
    )


def test_an_open_interval_has_its_low_end_only() -> None:
    assert noise_scale_line(profile(noise_scale=replace(SCALE, samples=None, high=None))) == (
        "at least 120 samples, by 48 updates: larger batches may pay"
    )
=======
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
>>>>>>> ttl
