"""Ranks in the report."""

from __future__ import annotations

import re
from dataclasses import replace

from advisor.report.profile.html import as_fragment
from advisor.report.profile.ranks import MOST_ROWS, chosen_ranks, rank_rows, ranks_line
from advisor.rules._rank_examples import communication, rank_facts, ranks
from advisor.types import Profile
from report import sample


def of_ranks(*own_s: float) -> Profile:
    alone = sample.healthy()
    assert alone.workload is not None
    workload = replace(alone.workload, world_size=len(own_s), ranks=rank_facts())
    return replace(alone, workload=workload, ranks=ranks(own_s), communication=communication(own_s))


def test_a_single_process_has_no_ranks() -> None:
    assert ranks_line(sample.healthy()) is None
    assert rank_rows(sample.healthy()) == []


def test_the_waits_of_all_and_the_work_of_each() -> None:
    found = of_ranks(0.060, 0.090)
    line = ranks_line(found)
    assert line is not None
    assert line.startswith("2 ranks · DDP over gloo · ")
    assert "sending that nothing hides 10% of an update, waiting for slower ranks 15%" in line
    assert [row[:3] for row in rank_rows(found)[1:]] == [("0", "60.0 ms", "40.0 ms"), ("1", "90.0 ms", "10.0 ms")]


def test_the_rate_of_all_together_needs_all() -> None:
    found = of_ranks(0.060, 0.090)
    assert "samples/s together" in (ranks_line(found) or "")
    some = replace(found, ranks=found.ranks[:1])
    assert "samples/s" not in (ranks_line(some) or "")
    assert "1 of them measured" in (ranks_line(some) or "")


def test_of_many_ranks_the_slowest_are_shown() -> None:
    shown = chosen_ranks(ranks([0.001 * number for number in range(40)]))
    assert [rank.rank for rank in shown] == list(range(40 - MOST_ROWS, 40))


def test_the_page_shows_them() -> None:
    page = re.sub(r"\s+", " ", as_fragment(of_ranks(0.060, 0.090)))
    assert "<h2>Ranks</h2>" in page
    assert page.count("90.0 ms") == 1
    assert "<h2>Ranks</h2>" not in as_fragment(sample.healthy())
