"""Rules that could not judge: why, and what they had seen of their cost."""

from __future__ import annotations

from dataclasses import replace

from advisor.report.profile.unjudged import unjudged
from advisor.types import Abstention

from . import sample

FEW = "only 5 updates were counted"


def test_rules_of_one_reason_share_a_line_and_a_share_that_stands_out_is_told() -> None:
    small = [Abstention(rule=f"rule_{number}", why=FEW, seen_share=0.0) for number in range(6)]
    waits = Abstention(rule="input_bound", why=FEW, seen_share=0.22)
    other = Abstention(rule="plateau", why="too few losses were seen.")
    profile = replace(sample.input_bound(), abstained=(*small, other, waits))
    assert list(unjudged(profile)) == [
        f"input_bound (22% so far), rule_0, rule_1, rule_2, 3 more: {FEW}",
        "plateau: too few losses were seen",
    ]
