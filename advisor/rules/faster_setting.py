"""A setting that no finding points to made the loop faster when it was tried."""

from __future__ import annotations

from dataclasses import replace

from .. import knobs
from ..types import Ceiling, Evidence, MeasuredFix
from ._base import Example, Hit, Judgement, Rule, lost_share
from ._examples import healthy_cpu, measured_fix
from ._measured_fix import in_words, severity_of_fix

MIN_ROUNDS = 2
"""Windows of the setting: of one alone, another program may have slowed those beside it."""
MIN_SAVED = 0.05
"""Share of the loop that it must save for certain: less is within what two processes of a script differ by."""
SURE_SAVED = 0.20
"""Saving from which it is a warning: such a setting changes the rounding, and nothing in the script asks for it."""


def judge(evidence: Evidence) -> Judgement:
    fixes = [fix for fix in evidence.fixes if not fix.prompted and fix.rounds >= MIN_ROUNDS]
    found = [fix for fix in fixes if lost_share(fix.low) >= MIN_SAVED]
    if not found:
        return None
    found.sort(key=lambda fix: -fix.expected)
    best = found[0]
    return Hit(
        share=lost_share(best.low),
        severity=severity_of_fix(best, SURE_SAVED),
        evidence=" ".join(in_words(fix) for fix in found),
        advice=_advice(best),
        ceiling=Ceiling.from_fix(best),
        fix=best,
    )


def _advice(fix: MeasuredFix) -> str:
    by_hand = knobs.get(fix.knob).described_by_hand(fix.value)
    rounds = "; its rounding differs, so compare the losses" if fix.effect == "numerics" else ""
    return f"Set it yourself ({by_hand}), or let `advisor tune` verify it in fresh processes{rounds}."


RULE = Rule(
    id="faster_setting",
    title="a setting that was tried made the loop faster",
    headline="runs faster with another setting",
    looks_at="Settings that cost next to nothing to switch, each tried for a few windows beside the baseline's at the "
    "end of a profile, where no other finding names them.",
    thresholds=("MIN_ROUNDS", "MIN_SAVED", "SURE_SAVED"),
    source="pytorch/examples' mnist: no share of its time predicted the gain of bf16 on a CPU that has instructions "
    "for it.",
    knobs=tuple(knob.id for knob in knobs.all_knobs() if knob.tried_unprompted),
    is_choice=True,
    judge=judge,
    needs_updates=False,
    examples=(
        Example(
            name="another number of threads, 1.9 times as fast",
            evidence=healthy_cpu(fixes=(measured_fix("threads", 1, 1.9),)),
            fires=True,
        ),
        Example(
            name="two settings",
            evidence=healthy_cpu(
                fixes=(measured_fix("precision", "bf16", 1.4), measured_fix("fused_optimizer", "fused", 1.15))
            ),
            fires=True,
        ),
        Example(
            name="a gain that its interval does not show",
            evidence=healthy_cpu(fixes=(measured_fix("threads", 1, 1.2, 0.95, 1.5),)),
            fires=False,
        ),
        Example(
            name="1.04 times as fast for certain",
            evidence=healthy_cpu(fixes=(measured_fix("threads", 1, 1.06, 1.04, 1.08),)),
            fires=False,
        ),
        Example(
            name="a setting that another finding names",
            evidence=healthy_cpu(
                workload={"flags": {"num_threads": 1}},
                system={"main_cpus": 1.0, "tree_cpus": 1.1},
                fixes=(measured_fix("threads", 8, 1.9, prompted=True),),
            ),
            fires=False,
        ),
        Example(
            name="one window",
            evidence=healthy_cpu(fixes=(replace(measured_fix("threads", 1, 1.9), rounds=1),)),
            fires=False,
        ),
        Example(name="nothing was tried", evidence=healthy_cpu(), fires=False),
    ),
)
