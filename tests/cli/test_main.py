"""The command line: what is printed where, and what it says of itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import forked
import pytest
from report import sample, sample_tuning

from advisor import knobs, rules
from advisor.storage import run_store

TIMEOUT_S = 60


def advisor(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return forked.advisor(Path.cwd(), *words, limit_s=TIMEOUT_S, environment={**os.environ, **environment})


@pytest.fixture
def stored(tmp_path: Path) -> run_store.RunFolder:
    folder = run_store.new_run(tmp_path, "train.py")
    run_store.save_profile(sample.input_bound(), folder)
    return folder


def test_help_names_every_command() -> None:
    words = advisor("--help").stdout.split()
    for command in ("profile", "hardware", "report", "compare", "explain", "tune", "verify", "run", "demo"):
        assert command in words


def test_report_shows_a_stored_run_again(stored: run_store.RunFolder) -> None:
    shown = advisor("report", str(stored.path))
    assert shown.returncode == 0
    assert "input_bound" in shown.stdout


@pytest.mark.slow
def test_json_is_all_that_stands_on_stdout(stored: run_store.RunFolder) -> None:
    shown = advisor("report", str(stored.path), "--json")
    assert json.loads(shown.stdout)["findings"][0]["rule"] == "input_bound"


@pytest.mark.slow
def test_the_page_goes_into_the_runs_folder(stored: run_store.RunFolder) -> None:
    shown = advisor("report", str(stored.path), "--html")
    page = stored.path / "report.html"
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert str(page) in shown.stderr
    assert "your script waits for data" in " ".join(shown.stdout.split()).lower()
    assert "next  advisor tune" in shown.stdout
    assert "1. " not in shown.stdout  # the findings are in the page


def test_a_file_that_is_given_to_html_is_refused_with_the_option_that_takes_one() -> None:
    shown = advisor("report", "--html", "page.html")
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "write the page to page.html with --page page.html" in shown.stderr


@pytest.mark.slow
def test_the_page_goes_where_it_is_asked_for(stored: run_store.RunFolder, tmp_path: Path) -> None:
    advisor("report", str(stored.path), "--html", "-o", str(tmp_path / "page.html"))
    assert (tmp_path / "page.html").is_file()


@pytest.fixture
def searched(stored: run_store.RunFolder) -> run_store.RunFolder:
    run_store.save_tune(sample_tuning.faster(), stored)
    return stored


def test_report_shows_a_stored_search_again(searched: run_store.RunFolder) -> None:
    shown = advisor("report", str(searched.path))
    assert shown.returncode == 0
    assert shown.stdout.startswith("With num_workers=4, precision=bf16 your script is 2.3× as fast")


@pytest.mark.slow
def test_the_json_of_a_stored_search_is_its_contract(searched: run_store.RunFolder) -> None:
    shown = advisor("report", str(searched.path), "--json")
    assert json.loads(shown.stdout)["verdict"]["status"] == "faster"


@pytest.mark.slow
def test_the_page_of_a_search_goes_into_the_runs_folder(searched: run_store.RunFolder) -> None:
    shown = advisor("report", str(searched.path), "--html")
    page = searched.path / "report.html"
    assert "Trials" in page.read_text()
    assert str(page) in shown.stderr


@pytest.mark.slow
def test_the_profile_that_a_search_began_with_is_shown_by_its_path(searched: run_store.RunFolder) -> None:
    shown = advisor("report", str(searched.profile_path))
    headline = shown.stdout.partition("\n\n")[0]
    assert "your script waits for data" in " ".join(headline.split()).lower()  # other tests may keep the machine busy


@pytest.mark.slow
def test_a_damaged_search_is_one_line_and_exit_code_7(searched: run_store.RunFolder) -> None:
    searched.tune_path.write_bytes(searched.tune_path.read_bytes()[:-9])
    shown = advisor("report", str(searched.path))
    assert (shown.returncode, shown.stderr.count("\n")) == (7, 1)
    assert "tune again" in shown.stderr


def test_an_unknown_name_is_followed_by_the_known_ones_in_columns() -> None:
    shown = advisor("explain", "worker_count", COLUMNS="72")
    first, *columns = shown.stderr.splitlines()
    assert first.startswith("advisor: unknown rule or knob 'worker_count': did you mean ")
    assert len(columns) > 10
    assert max(map(len, columns)) <= 72
    assert all(line == line.rstrip() for line in columns)
    assert "input_bound" in shown.stderr.split()


def test_explain_lists_all_rules_and_knobs() -> None:
    listed = advisor("explain").stdout
    for entry in (*rules.all_rules(), *knobs.all_knobs()):
        assert f"{entry.id} " in listed


def test_explain_tells_what_a_knob_changes() -> None:
    shown = advisor("explain", "num_workers")
    assert shown.returncode == 0
    assert "scope" in shown.stdout


def test_explain_of_nothing_known_names_what_is_near() -> None:
    shown = advisor("explain", "input_bund")
    assert shown.returncode == 2
    assert "input_bound" in shown.stderr.splitlines()[0]


def test_an_error_cannot_steer_the_terminal(tmp_path: Path) -> None:
    folder = tmp_path / "a\x1b[2Jb\nadvisor: c"
    folder.mkdir()
    shown = advisor("profile", str(folder))
    assert (shown.returncode, shown.stderr.count("\n"), "\x1b" in shown.stderr) == (2, 1, False)
    assert "ab advisor: c is a folder" in shown.stderr
