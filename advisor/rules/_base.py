"""The contract of a rule: what it looks at, when it speaks, and what it says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from .. import enough, knobs
from ..errors import AdvisorError
from ..severity import CRITICAL_SHARE, WARNING_SHARE, lost_share, severity_of
from ..types import Abstention, Ceiling, Evidence, Finding, MeasuredFix, Place, ScriptFacts, Severity, WhatIf
from ._measured_fix import corrected

__all__ = [
    "CRITICAL_SHARE",
    "WARNING_SHARE",
    "BrokenRuleError",
    "Example",
    "Hit",
    "Judgement",
    "Rule",
    "Undecided",
    "always",
    "ceiling_of",
    "clamp",
    "few_updates",
    "lost_share",
    "severity_of",
]


class BrokenRuleError(AdvisorError):
    """A file under `advisor/rules/` that is not a rule. Names the path."""


@dataclass(frozen=True, kw_only=True)
class Hit:
    """Result of a rule that fires; `Rule.check` makes a `Finding` of it."""

    severity: Severity
    evidence: str
    advice: str
    share: float = 0.0
    """Share of the loop's wall time; clamped to [0, 1]. It is 0 for a risk, which costs no time."""
    where: tuple[Place, ...] = ()
    ceiling: Ceiling | None = None
    library: str = ""
    """The installed package that does all of the work; "" if some of it is the script's own."""
    fixed_by: str = ""
    """Knob that is the whole fix: if a setting of it was tried, its gain is the ceiling and decides the severity."""
    least_saved: float = WARNING_SHARE
    """Share of the loop that such a setting must save to be worth a warning."""
    fix: MeasuredFix | None = None
    """The setting that was tried, if the rule itself has read it."""


@dataclass(frozen=True, kw_only=True)
class Undecided:
    """A rule that applies here but cannot judge."""

    why: str
    most_share: float = 1.0
    """Largest share of the loop's time that the cost may have; 1 if that is not known."""


Judgement = Hit | Undecided | None


@dataclass(frozen=True, kw_only=True)
class Example:
    """Evidence with the result expected from the rule: the tests run it, and `advisor explain` shows it."""

    name: str
    evidence: Evidence
    fires: bool | Literal["abstains"]


def always(_evidence: Evidence) -> bool:
    """Return True: for rules that apply to every workload."""
    return True


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One cause of lost time or of risk, as a pure function of the evidence.

    Raises nothing on missing values: None in the evidence means "not measured", and then it abstains or is silent.
    """

    id: str
    title: str
    looks_at: str
    """Description of its input, in a sentence."""
    thresholds: tuple[str, ...]
    """Names of the constants that it compares with. Their docstrings are the reasons that `explain` shows."""
    source: str
    """Origin of the idea and its numbers."""
    judge: Callable[[Evidence], Judgement]
    examples: tuple[Example, ...]
    formerly: tuple[str, ...] = ()
    """Its ids in earlier versions, which stored profiles name."""
    headline: str = ""
    """Description of a script with this finding, as the words after "Your script"; `{share}` stands for its share of
    the time. The report uses the evidence if it is empty."""
    library_headline: str = ""
    """The same if one installed package, `{library}`, does all of the work."""
    url: str | None = None
    """Documentation of the remedy."""
    knobs: tuple[str, ...] = ()
    """Ids of the knobs that can help, besides those that name this rule themselves."""
    establish: Callable[[ScriptFacts, Evidence], ScriptFacts] | None = None
    """Callable (facts, evidence) that adds what holds where the rule fires; knobs choose their values by it."""
    is_choice: bool = False
    """True if what it names is no fault of the script: an option that a user may take or leave, by its rounding or its
    start-up."""
    applies: Callable[[Evidence], bool] = always
    """Predicate for workloads that the rule is about; for others it is silent and does not abstain."""
    needs_updates: bool = True
    """True if the rule judges shares of time, and so needs enough steady updates, unless the share stands out."""

    def check(self, evidence: Evidence) -> Finding | Abstention | None:
        """Judge this evidence; return None if the rule looked and found nothing."""
        if not self.applies(evidence):
            return None
        judgement = self.judge(evidence)
        why = self._too_little(evidence, judgement)
        if why is not None:
            return Abstention(rule=self.id, why=why, seen_share=_share_of(judgement))
        if judgement is None:
            return None
        if isinstance(judgement, Undecided):
            return Abstention(rule=self.id, why=judgement.why, most_share=clamp(judgement.most_share))
        finding = Finding(
            rule=self.id,
            severity=judgement.severity,
            share=clamp(judgement.share),
            evidence=judgement.evidence,
            advice=judgement.advice,
            where=judgement.where,
            ceiling=judgement.ceiling,
            library=judgement.library,
            knobs=self.helpful_knobs,
            url=self.url,
            headline=self.headline_for(judgement.library),
            fix=judgement.fix,
        )
        if finding.fix is not None:
            return finding
        return corrected(finding, evidence.fixes, fixed_by=judgement.fixed_by, least_saved=judgement.least_saved)

    def _too_little(self, evidence: Evidence, judgement: Judgement) -> str | None:
        """Return why too little was measured for this judgement; None if it stands."""
        steps = evidence.steps
        why = enough.too_few_updates(steps.updates, steps.mean_s, steps.steady) if self.needs_updates else None
        share = judgement.share if isinstance(judgement, Hit) else 0.0
        sure = enough.stands_out(share, steps.share_error, steps.updates, least=WARNING_SHARE)
        return None if sure else why

    @property
    def all_examples(self) -> tuple[Example, ...]:
        """Its examples; where it needs updates, also the first one that fires, on too few of them."""
        if not self.needs_updates:
            return self.examples
        firing = next(example.evidence for example in self.examples if example.fires is True)
        return (*self.examples, Example(name="three updates", evidence=few_updates(firing), fires="abstains"))

    @property
    def helpful_knobs(self) -> tuple[str, ...]:
        """Ids of all knobs that can help: those named here, then those that name this rule."""
        added = [knob.id for knob in knobs.all_knobs() if self.id in knob.opened_by and knob.id not in self.knobs]
        return (*self.knobs, *added)

    def headline_for(self, library: str) -> str:
        """Return the headline if this installed package does all of the work; "" is none."""
        return (
            self.library_headline.replace("{library}", library) if library and self.library_headline else self.headline
        )


def _share_of(judgement: Judgement) -> float:
    if judgement is None:
        return 0.0
    return clamp(judgement.most_share if isinstance(judgement, Undecided) else judgement.share)


def few_updates(evidence: Evidence) -> Evidence:
    """Return the same evidence with three updates counted: too few to judge any share of time."""
    return replace(evidence, steps=replace(evidence.steps, updates=3))


def clamp(share: float) -> float:
    """Return the share limited to between 0 and 1."""
    return min(max(share, 0.0), 1.0)


def gain_of(what_if: WhatIf | None) -> WhatIf | None:
    """Return the what-if if it shows a gain; None if its interval holds none."""
    return what_if if what_if is not None and what_if.low > 1.0 else None


HALF_WAY = 0.5
"""Part of the logarithm of the promised speed-up that a what-if must show whose interval holds no gain. An interval of
0.7 to 17 beside 80% of waiting says nothing, and the wait was seen in each update."""


def agrees(what_if: WhatIf, share: float, evidence: Evidence) -> bool:
    """Return whether a what-if whose interval holds no gain still says the same as a share that stands out.

    Windows of few long updates leave the interval wide open, and so does one stalled window. The two agree if the
    likeliest value is at least what the low end of the share promises; for a share that is more than all others
    together, also if that lies in the interval, and the likeliest value is half of the way there.
    """
    steps = evidence.steps
    if steps.share_error is None or not enough.stands_out(share, steps.share_error, steps.updates, WARNING_SHARE):
        return False
    least = min(share - steps.share_error, 0.999)
    promised = 1 / (1 - least)
    on_the_way = least > 0.5 and math.log(max(what_if.speedup, 1.0)) >= HALF_WAY * math.log(promised)
    return what_if.speedup >= promised or (on_the_way and what_if.high >= promised)


def ceiling_of(what_if: WhatIf | None, share: float, *, low: float | None = None, high: float | None = None) -> Ceiling:
    """Return the measured ceiling if there is one, else that of the share.

    `low` and `high` are speed-ups (not shares, as in `Ceiling.from_share`) that fixes really reach; they widen it.
    """
    base = Ceiling.from_share(clamp(share)) if what_if is None else Ceiling.from_what_if(what_if)
    lower = base.low if low is None else min(base.low, low)
    upper = base.high if high is None else max(base.high, high)
    return Ceiling(
        speedup=base.speedup,
        low=min(max(lower, 1.0), base.speedup),
        high=max(upper, base.speedup),
        basis=base.basis,
    )
