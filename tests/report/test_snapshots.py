"""Reports in the terminal and the words of the page, whole: read the files, and the diff where one changes."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console
from snapshot import Snapshot

from advisor.report.comparison.runs import compare_profiles
from advisor.report.comparison.table import render_comparison
from advisor.report.comparison.verification import render_verify
from advisor.report.comparison.versions import render_versions
from advisor.report.profile.html import as_page
from advisor.report.profile.terminal import render_profile
from advisor.report.search.html import tune_page
from advisor.report.search.space import render_space
from advisor.report.search.terminal import render_tune

from . import sample, sample_tuning
from .markup import Page
from .test_verification import FASTER, TENFOLD, result
from .test_versions import comparison, ratio

WIDTH = 100
VERIFIED = {
    "faster": result(files=("advisor.yaml",)),
    "losses_differ": result(replace(FASTER, quality="failed", quality_evidence="the loss was NaN in 3 of 150 updates")),
    "undecided": result(TENFOLD),
    "two_rounds": result(replace(TENFOLD, rounds=2, own_spread=0.034)),
    "rounds_decide": result(replace(FASTER, status="undecided", low=0.9, high=4.0, rounds_to_decide=17)),
    "as_good_as_equal": result(replace(FASTER, status="undecided", low=0.999, high=1.001, rounds_to_decide=None)),
    "unverified": result(replace(FASTER, status="unverified", rounds=0, quality="failed", quality_evidence="no batch")),
}
VERSIONS = {
    "faster": comparison("faster", ratio(value=2.0, low=1.9, high=2.1)),
    "slower": replace(comparison("slower", ratio(value=0.8, low=0.7, high=0.9)), gate="failed", threshold=0.95),
    "no_difference": replace(
        comparison("no difference", ratio(value=1.0, low=0.99, high=1.01)), gate="passed", threshold=0.95
    ),
    "undecided": replace(comparison("undecided", ratio()), rounds_to_decide=17, gate="undecided", threshold=0.95),
    "one_round": comparison("undecided", ratio(low=None, high=None, confidence=None), (100,)),
}


def printed(render_to: Callable[[Console], None]) -> str:
    file = io.StringIO()
    render_to(Console(file=file, width=WIDTH))
    return file.getvalue()


@pytest.mark.parametrize("shape", sample.ALL)
def test_a_profile_in_the_terminal(shape: str, snapshot: Snapshot) -> None:
    snapshot(f"report/profile/{shape}", printed(lambda console: render_profile(sample.ALL[shape](), console)))


@pytest.mark.parametrize("shape", sample_tuning.ALL)
def test_a_search_in_the_terminal(shape: str, snapshot: Snapshot) -> None:
    snapshot(f"report/search/{shape}", printed(lambda console: render_tune(sample_tuning.ALL[shape](), console)))


def test_a_dry_run_in_the_terminal(snapshot: Snapshot) -> None:
    snapshot("report/search/space", printed(lambda console: render_space(sample_tuning.dry_run(), console)))


@pytest.mark.parametrize("shape", VERIFIED)
def test_a_verification_in_the_terminal(shape: str, snapshot: Snapshot) -> None:
    found = VERIFIED[shape]
    snapshot(f"report/verify/{shape}", printed(lambda console: render_verify(found, console)))


@pytest.mark.parametrize("shape", VERSIONS)
def test_two_versions_in_the_terminal(shape: str, snapshot: Snapshot) -> None:
    found = VERSIONS[shape]
    snapshot(f"report/versions/{shape}", printed(lambda console: render_versions(found, console)))


@pytest.mark.parametrize(("earlier", "later"), [("input_bound", "healthy"), ("healthy", "gpu_transformer")])
def test_two_stored_runs_in_the_terminal(earlier: str, later: str, snapshot: Snapshot) -> None:
    found = compare_profiles(sample.ALL[earlier](), sample.ALL[later]())
    snapshot(f"report/runs/{earlier}_{later}", printed(lambda console: render_comparison(found, console)))


@pytest.mark.parametrize("shape", ["input_bound", "gpu_transformer"])
def test_the_words_of_a_profiles_page(shape: str, snapshot: Snapshot) -> None:
    snapshot(f"report/page/{shape}", Page(as_page(sample.ALL[shape]())).lines)


def test_the_words_of_a_searchs_page(snapshot: Snapshot) -> None:
    snapshot("report/page/search", Page(tune_page(sample_tuning.faster())).lines)
