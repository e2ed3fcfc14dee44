"""Space of a search: the knobs that the diagnosis opens, with their values, and why the others are closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .. import knobs, rules
from ..errors import UsageError
from ..spelling import parameter
from ..target.script_options import ArgumentKnob, CommandLine
from ..types import (
    Abstention,
    Config,
    Diagnosis,
    Finding,
    Hardware,
    KnobSpace,
    SettingValue,
    Skipped,
    Workload,
)
from ..unknown_name import UnknownNameError
from .doubts import LEAST_SEEN, why_it_may_close, why_it_may_open

WORTH_COMPUTING = 0.2
"""Fraction of an update: once other limits of the script are gone, a fifth is the larger part of the rest."""
TRIAL_S = 4.0
"""Usual seconds of a trial beside its set-up: two windows, and what settles before them."""
PROMISE_WITHOUT_FINDING = 0.05
"""Gain expected of a knob that no finding points to."""
BY_LOSS = "its gain is a loss that is reached sooner, which this search by speed does not measure; see advisor lr"
"""Reason why knobs are closed that are judged by the loss."""
UNPROMPTED = "trying it costs next to nothing"
"""Reason why knobs are open that no finding names."""
KEEPS_TRAINING = ("exact", "resampled", "numerics")
"""Effects on training that leave the training what it is."""


@dataclass(frozen=True, kw_only=True)
class KnobSelection:
    """User's choices that overrule the diagnosis; `of` builds it from the user's options."""

    only: tuple[str, ...] | None = None
    """These knobs and no others, in this order, whatever the findings say."""
    without: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    """Knobs besides those that a finding points to: they are known to matter in the script's domain."""

    def asks_for(self, name: str) -> bool:
        """Return whether the user's choices open the knob, whatever the findings say."""
        return name in self.also if self.only is None else name in self.only

    @classmethod
    def of(cls, only: Sequence[str] | None, without: Sequence[str] = (), also: Sequence[str] = ()) -> KnobSelection:
        """Create a selection; raise UsageError for an unknown knob, and for one both wanted and left out."""
        known = [knob.id for knob in knobs.all_knobs()]
        for name in (*(only or ()), *without):
            if name not in known:
                raise UnknownNameError(f"unknown knob {name!r}", known, name=name)
        for name in only or ():
            if name in without:
                raise UsageError(
                    f"{name} is in both {parameter('knobs')} and {parameter('no_knobs')}: give one of them"
                )
        return cls(
            only=None if only is None else tuple(dict.fromkeys(only)),
            without=tuple(dict.fromkeys(without)),
            also=tuple(name for name in also if name in known),
        )


@dataclass(frozen=True, kw_only=True)
class Space:
    knobs: tuple[KnobSpace, ...]
    """Open knobs, the largest possible gain first."""
    closed: tuple[Skipped, ...] = ()
    command_line: CommandLine = field(default_factory=CommandLine)
    """Knobs that the script takes by its own options."""

    def effect(self, config: Config) -> str:
        """Return the strongest effect among the settings; `exact` for the baseline."""
        effects = {knob.id: knob.effect for knob in self.knobs}
        found = [effects.get(name, knobs.EFFECTS[-1]) for name, _value in config.settings]
        return max(found, key=knobs.EFFECTS.index, default="exact")

    def contains(self, config: Config) -> bool:
        """Return whether all its settings are among the values here."""
        values = {knob.id: knob.values for knob in self.knobs}
        return all(value in values.get(name, ()) for name, value in config.settings)

    def at_launch(self, config: Config) -> Config:
        """Return the settings that need a new process."""
        launched = {knob.id for knob in self.knobs if knob.scope == "launch"}
        return Config.of({name: value for name, value in config.settings if name in launched})

    def meaningful(self, config: Config) -> Config:
        """Drop settings that need another one which is missing, or which a third one turns off."""
        given = config.as_dict()
        turned_off = {name for knob in self.knobs if given.get(knob.id) for name in knob.excludes}
        idle = {
            knob.id
            for knob in self.knobs
            if knob.needs is not None and (knob.needs in turned_off or not given.get(knob.needs, knob.needed_is_on))
        }
        return Config.of({name: value for name, value in given.items() if name not in idle})

    def added(self, base: Config, name: str, value: SettingValue) -> Config:
        """Return the configuration with one setting more, and without those that cannot stand beside it."""
        return self.meaningful(self._compatible(base.with_setting(name, value), name))

    def possible(self, config: Config) -> Config:
        """Return the configuration without settings that cannot stand beside each other, or mean nothing."""
        for name, _value in config.settings:
            config = self._compatible(config, name) if name in config.as_dict() else config
        return self.meaningful(config)

    def _compatible(self, config: Config, kept: str) -> Config:
        """Drop the settings that exclude the kept one, and those that it excludes."""
        excluded = {knob.id: knob.excludes for knob in self.knobs}
        settings = config.as_dict()
        return Config.of(
            {
                name: value
                for name, value in settings.items()
                if not (value and name in excluded.get(kept, ()))
                and not (settings[kept] and kept in excluded.get(name, ()))
            }
        )

    @property
    def dependents(self) -> Mapping[str, tuple[str, ...]]:
        """Knob → knobs that mean nothing without it."""
        needed = {knob.needs for knob in self.knobs if knob.needs is not None}
        return {name: tuple(knob.id for knob in self.knobs if knob.needs == name) for name in needed}

    @property
    def size(self) -> int:
        """Number of configurations, including the baseline."""
        product = 1
        for knob in self.knobs:
            product *= len(knob.values) + 1
        return product


def open_space(
    hardware: Hardware,
    workload: Workload,
    diagnosis: Diagnosis,
    selection: KnobSelection | None = None,
    command_line: CommandLine | None = None,
    computing_fraction: float | None = None,
    start_up_s: float = 0.0,
) -> Space:
    """Open the knobs that a finding names, or that a rule without a verdict would name.

    What promises most for a second of the search comes first. `selection` may name the knobs instead, in its order.
    `computing_fraction` is the share of an update that forward and backward take.
    """
    selection, line = selection or KnobSelection(), command_line or CommandLine()
    opened, closed = [], []
    reasons = _reasons(diagnosis.findings, diagnosis.abstained, selection)
    every = {knob.id: knob.values(hardware, workload) for knob in knobs.all_knobs()}
    pointed_to = frozenset(reasons)
    reasons = {**reasons, **_reasons_of_sharing(every, reasons), **_reasons_of_growing(reasons)}
    reasons = {**reasons, **_reasons_of_computing(workload, computing_fraction, reasons)}
    reasons = {**reasons, **_reasons_unprompted(workload, line, reasons)}
    for knob in knobs.all_knobs():
        why = _unwanted(knob.id, selection) or _unjudged(knob, reasons, diagnosis)
        values = every[knob.id]
        by_argument = line.of(knob.id)
        if (
            why is not None
            and values.why_closed is not None
            and by_argument is None
            and knob.id not in selection.without
        ):
            why = (
                _closed_by_options(knob.id, line) or values.why_closed
            )  # An impossible setting is a better reason than one that nobody asked for
        if why is not None:
            closed.append(Skipped(what=knob.id, why=why))
        elif by_argument is not None:
            opened.append(_by_argument(by_argument, reasons[knob.id]))
        elif values.why_closed is not None:
            closed.append(Skipped(what=knob.id, why=_closed_by_options(knob.id, line) or values.why_closed))
        else:
            opened.append(
                KnobSpace(
                    id=knob.id,
                    values=values.values,
                    effect=knob.effect(hardware, workload),
                    scope=knob.scope,
                    opened_by=reasons[knob.id],
                    may_close="" if selection.asks_for(knob.id) else why_it_may_close(knob.id, diagnosis),
                    needs=knob.needs or None,
                    excludes=knob.excludes,
                    needed_is_on=values.needed_is_on,
                    shares_cpus_with=values.shares_cpus_with,
                    usual=knob.usual_on_accelerator and workload.device != "cpu",
                    beside_the_best=knob.set_up_s > 0 and knob.id not in pointed_to,
                    unprompted=reasons[knob.id] == UNPROMPTED,
                )
            )
    ids = {knob.id for knob in opened}
    for alone in [one for one in opened if one.needs is not None and one.needs not in ids and not one.needed_is_on]:
        opened.remove(alone)
        closed.append(Skipped(what=alone.id, why=f"it has no effect while {alone.needs} is off, as in the script"))
    ordered = sorted(opened, key=lambda knob: list(reasons).index(knob.id))
    if selection.only is None:
        ordered.sort(
            key=lambda knob: (-_promise(knob.id, diagnosis) / _cost_s(knob, start_up_s), -_unsure(knob.id, diagnosis))
        )
    return Space(knobs=tuple(ordered), closed=tuple(closed), command_line=line)


def _promise(name: str, diagnosis: Diagnosis) -> float:
    """Return the gain expected of a knob, from the findings that point to it."""
    promised = [rules.worth(finding) - 1 for finding in diagnosis.findings if name in finding.knobs]
    return max([PROMISE_WITHOUT_FINDING, *promised])


def _unsure(name: str, diagnosis: Diagnosis) -> float:
    """Return the time, as shares of the loop, that rules without a verdict leave open which name the knob."""
    open_questions = [one for one in diagnosis.abstained if name in rules.get(one.rule).helpful_knobs]
    return sum(one.most_share for one in open_questions)


def _cost_s(knob: KnobSpace, start_up_s: float) -> float:
    """Return about how long a trial of the knob takes."""
    starts_s = 2 * start_up_s if knob.scope == "launch" else 0.0
    return TRIAL_S + knobs.get(knob.id).set_up_s + starts_s


def widened(
    space: Space,
    hardware: Hardware,
    workload: Workload,
    diagnosis: Diagnosis,
    selection: KnobSelection,
    *,
    config: Config,
    computing_fraction: float,
) -> Space:
    """Return the space with the knobs, too, that the diagnosis of this configuration opens."""
    more = open_space(hardware, workload, diagnosis, selection, space.command_line, computing_fraction)
    known = {knob.id for knob in space.knobs}
    added = [
        replace(knob, opened_by=f"{knob.opened_by}, with {config}", usual=False)
        for knob in more.knobs
        if knob.id not in known
    ]
    opened = {knob.id for knob in added}
    closed = tuple(skipped for skipped in space.closed if skipped.what not in opened)
    return replace(space, knobs=(*space.knobs, *added), closed=closed)


def _reasons_of_sharing(values: Mapping[str, knobs.Values], reasons: Mapping[str, str]) -> Mapping[str, str]:
    """Return knobs that no finding points to, but whose CPUs an open one would take."""
    found = {}
    for name, known in values.items():
        shared = known.shares_cpus_with
        if name in reasons and known.values and shared is not None and shared[0] not in reasons:
            found[shared[0]] = f"it shares the CPUs with {name}"
    return found


def _reasons_of_growing(reasons: Mapping[str, str]) -> Mapping[str, str]:
    """Return knobs for a part of the update that is small in the baseline, but not once the rest is faster."""
    grown = {}
    for knob in knobs.all_knobs():
        faster = next((other for other in knob.grows_with if other in reasons), None)
        if knob.id not in reasons and faster is not None:
            grown[knob.id] = f"its share grows if {faster} makes the rest faster"
    return grown


def _reasons_of_computing(
    workload: Workload, computing_fraction: float | None, reasons: Mapping[str, str]
) -> Mapping[str, str]:
    """Return knobs that make an accelerator compute faster, if that is worthwhile, whatever else limits the script."""
    if workload.device == "cpu" or computing_fraction is None or computing_fraction < WORTH_COMPUTING:
        return {}
    why = f"forward and backward take {computing_fraction:.0%} of an update on {workload.device}"
    found = [knob for knob in knobs.all_knobs() if knob.shortens_computing and knob.id not in reasons]
    return {knob.id: why for knob in sorted(found, key=lambda knob: knob.set_up_s)}


def _reasons_unprompted(workload: Workload, line: CommandLine, reasons: Mapping[str, str]) -> Mapping[str, str]:
    """Return knobs that are switched live in no time, and whose gain on a CPU is hard to predict: a profile tries them,
    too."""
    if workload.device != "cpu":
        return {}
    cheap = [knob for knob in knobs.all_knobs() if knob.tried_unprompted and line.of(knob.id) is None]
    found = [knob for knob in cheap if knob.id not in reasons]
    return {knob.id: UNPROMPTED for knob in sorted(found, key=lambda knob: knob.tried_unprompted)}


def _unwanted(name: str, selection: KnobSelection) -> str | None:
    if name in selection.without:
        return f"excluded by {parameter('no_knobs')}"
    if selection.only is not None and name not in selection.only:
        return f"not among {parameter('knobs')}: {', '.join(selection.only)}"
    return None


def _unjudged(knob: knobs.Knob, reasons: Mapping[str, str], diagnosis: Diagnosis) -> str | None:
    """Return why nobody asks for the knob; None if somebody does."""
    if knob.judged_by_loss:
        return BY_LOSS
    if knob.id in reasons:
        return None
    may_open = why_it_may_open(knob.id, diagnosis)
    return f"no finding suggests it; {may_open}" if may_open else "no finding suggests it"


def _by_argument(knob: ArgumentKnob, opened_by: str) -> KnobSpace:
    return KnobSpace(
        id=knob.knob,
        values=knob.values,
        effect=knob.effect,
        scope="launch",
        opened_by=f"{opened_by}; by {knob.why}",
    )


def _closed_by_options(name: str, line: CommandLine) -> str | None:
    return next((one.why for one in line.closed if one.what == name), None)


def _reasons(
    findings: Sequence[Finding], abstained: Sequence[Abstention], selection: KnobSelection
) -> Mapping[str, str]:
    """Return knob → why it is open; knobs named by findings come before those of rules that could not judge."""
    reasons: dict[str, str] = {}
    for finding in findings:
        for name in finding.knobs:
            reasons.setdefault(name, f"{finding.rule} suggests it")
    for abstention in abstained:
        if abstention.seen_share is not None and abstention.seen_share < LEAST_SEEN:
            continue
        for name in rules.get(abstention.rule).helpful_knobs:
            reasons.setdefault(name, f"{abstention.rule} could not judge")
    for name in selection.also:
        reasons.setdefault(name, "usual in this domain")
    if selection.only is not None:
        return {name: reasons.get(name, f"requested with {parameter('knobs')}") for name in selection.only}
    return reasons
