"""The verdict in one sentence, and the next step."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from ... import enough
from ...plural import plural
from ...storage.run_store import runs_root
from ...types import Command, Finding, Profile, Steps
from .. import format
from .failures import once_mended, what_failed
from .health import busy_machine, only_compiled, open_questions, unproven_gain

LITTLE_UPDATES = 30
"""Updates below which an interval of the rate says little; a default window holds more."""
IN_SECONDS = 90.0
"""Longest budget written in seconds; longer ones are written in minutes."""
TIMES_LONGER = 2.0
"""Ratio of the advised budget to the one in which nothing was decided."""
LONGEST_ADVISED_S = 3600.0
NARROW = 1.1
"""Upper over lower end of the rate's interval, up to which the rate is not rough, however few the updates."""
NO_GAIN = 1.02
"""Ceiling below which there is no gain: 2% is the least noise floor of a comparison."""

BUSY = 0.85
"""Fraction of an update (of the usable cores) in which a healthy script's device (or its CPUs) works."""
DOMINATES = 0.5
"""Share of an update from which one kind of work is more than all others together."""
MOSTLY_WORK = 0.8
"""Share of forward, backward and optimizer in an update, below which something else may be the cost."""
MANY = 5
"""Number of abstaining rules that little data explains."""

MOST_SCATTER = 2.0
"""Upper over lower end of the rate's interval: a script whose speed is not known to a factor of two is not judged."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Summary for a reader of one sentence."""

    sentence: str
    tone: Literal["good", "warning", "critical", "failed"]
    next_command: str
    why_next: str


def verdict_of(profile: Profile) -> Verdict:
    """Return the verdict on a profile, from its first finding that asks for action."""
    if profile.failure is not None:
        return _failed(profile)
    if profile.steps is None:
        return Verdict(
            sentence="Nothing was measured: no update was seen.",
            tone="failed",
            next_command=_command("profile", profile),
            why_next="measures again, once the script trains",
        )
    first = format.worst(profile.findings)
    busy = busy_machine(profile)
    if busy is not None:
        return _on_a_busy_machine(profile, busy, first)
    if first is None:
        return _healthy(profile)
    sentence = finding_sentence(first)
    return Verdict(
        sentence=sentence,
        tone="critical" if first.severity == "critical" else "warning",
        next_command=_command("tune", profile) if first.knobs else explain_command(first),
        why_next="tries settings that can help, and verifies the gain" if first.knobs else "explains this rule",
    )


def explain_command(finding: Finding) -> str:
    return f"advisor explain {format.one_line(finding.rule)}"


def finding_sentence(first: Finding) -> str:
    """Return a finding as a verdict: what the script does, and what a fix gains."""
    return f"Your script {format.headline(first)}{_gain(first)}" if first.headline else _own_words(first)


def inside(sentence: str) -> str:
    """Return the sentence as it stands behind a comma."""
    return sentence[:1].lower() + sentence[1:]


def _on_a_busy_machine(profile: Profile, busy: str, first: Finding | None) -> Verdict:
    """Return the verdict beside programs that take the script's time: their part of it is not known."""
    if first is not None:
        said = f"Measured beside them, {inside(finding_sentence(first))}"
    else:
        shown = _what_phases_show(profile)
        said = f"{shown}, and no cost can be ruled out here" if shown else "No cost can be ruled out here"
    return Verdict(
        sentence=f"The machine is busy: {busy}. {said.rstrip('.')}.",
        tone="critical" if first is not None and first.severity == "critical" else "warning",
        next_command=_command("profile", profile),
        why_next="measures again, once these programs have ended",
    )


def little_data(profile: Profile) -> str | None:
    """Describe in a sentence how little was measured, if it was little."""
    steps = profile.steps
    if steps is None or not _is_little(steps) or (steps.steady and _spread(steps) <= NARROW):
        return None
    counted = plural(steps.updates, "update")
    if steps.updates < LITTLE_UPDATES:
        return f"Only {counted} counted: the numbers are rough."
    return f"No steady state was found in {counted}: the numbers are rough."


def _is_little(steps: Steps | None) -> bool:
    return steps is not None and (steps.updates < LITTLE_UPDATES or not steps.steady)


def _failed(profile: Profile) -> Verdict:
    failure = profile.failure
    assert failure is not None
    measured = profile.steps.updates if profile.steps is not None else 0
    before = "" if failure.kind in ("nan", "no_steps") else " before"
    counted = f"the results below are from the {plural(measured, 'update')}{before}"
    rest = counted if measured else "nothing was measured"
    return Verdict(
        sentence=f"Your script {what_failed(failure)}; {rest}.",
        tone="failed",
        next_command=_command("profile", profile),
        why_next=f"measures again, {once_mended(failure, profile)}",
    )


def _healthy(profile: Profile) -> Verdict:
    """Return the verdict if nothing was found on a quiet machine: healthy only if nothing that matters is open."""
    if len(profile.abstained) >= MANY and _is_little(profile.steps):
        return _too_little(profile)
    if scattered(profile):
        return _too_noisy(profile)
    if open_questions(profile):
        return _undecided(profile)
    doubt = _doubt(profile)
    if doubt is not None:
        return _nothing_found(profile, f"but {doubt}", sure=False)
    return _busy_device(profile) if _on_accelerator(profile) else _busy_cpus(profile)


def _doubt(profile: Profile) -> str | None:
    """Return what may still be gained, though no rule warns; None if nothing is known of it."""
    hint = unproven_gain(profile)
    if hint is not None and hint.ceiling is not None:
        measured = hint.ceiling.basis != "share"
        gain = format.times(hint.ceiling.speedup) if measured else format.estimated(hint.ceiling)
        return f"what {format.one_line(hint.rule)} advises may make it {gain} as fast"
    if only_compiled(profile):
        return "the compiled model was not compared with an uncompiled one"
    work = sum(profile.phases.get(name, 0.0) for name in ("forward", "backward", "optimizer"))
    return f"only {format.percent(work)} of each update is the model's work" if work < MOSTLY_WORK else None


def _on_accelerator(profile: Profile) -> bool:
    return profile.workload is not None and profile.workload.device != "cpu"


def _busy_device(profile: Profile) -> Verdict:
    """Return the verdict if nothing was found on an accelerator: healthy only if it works nearly all of the time."""
    use = profile.device_use
    if use is None:
        why = format.one_line(profile.why_no_device_use or "the device was not traced").rstrip(".")
        return _nothing_found(profile, f"but it is not known how busy the device is: {why}", sure=False)
    busy = format.percent(use.busy_fraction)
    if use.busy_fraction >= BUSY:
        return _nothing_found(profile, f"and the device is busy {busy} of each update", sure=True)
    idle = max(use.idle_s, key=lambda name: use.idle_s[name], default="")
    where = f", and idles most in {format.phase_name(idle)} ({format.percent(use.idle_fraction(idle))})" if idle else ""
    return _nothing_found(profile, f"but the device is busy only {busy} of each update{where}", sure=False)


def _busy_cpus(profile: Profile) -> Verdict:
    """Return the verdict if nothing was found on a CPU: healthy if its cores work, or if no setting uses more."""
    cpu, system = profile.hardware.cpu, profile.system
    busy = None if system is None else system.tree_cpus if system.tree_cpus is not None else system.main_cpus
    if busy is None or profile.workload is None:
        return _nothing_found(profile, "but it is not known how busy the CPUs are", sure=False)
    cores = cpu.usable_cpus
    if cpu.cores_physical and cpu.cores_physical < cpu.cores_logical:
        cores *= cpu.cores_physical / cpu.cores_logical  # torch starts one thread for each core
    ranks, threads = max(1, profile.workload.world_size), profile.workload.flags.num_threads
    used = f"{format.number(min(busy, cpu.usable_cpus))} of {cpu.usable_cpus:g} usable CPUs"
    if busy * ranks >= BUSY * cores:
        return _nothing_found(profile, f"and {used} are busy", sure=True)
    if busy < BUSY:
        waits = "the script waits for something that was not looked at"
        return _nothing_found(profile, f"but only {used} are busy, less than one: {waits}", sure=False)
    if threads * ranks < BUSY * cores:
        of = plural(threads, "thread")
        return _nothing_found(profile, f"but only {used} are busy, as torch computes with {of}", sure=False)
    why = "torch has a thread for each core, and the operators do not use more"
    return _nothing_found(profile, f"and {used} are busy: {why}", sure=True)


def _nothing_found(profile: Profile, rest: str, *, sure: bool) -> Verdict:
    begin = "Your script is healthy: no avoidable cost was found" if sure else "No avoidable cost was found"
    return Verdict(
        sentence=f"{begin}, {rest}.",
        tone="good" if sure else "warning",
        next_command=_command("tune", profile),
        why_next="searches for faster settings anyway",
    )


def scattered(profile: Profile) -> bool:
    """Return whether the rate is too uncertain for a script to be called healthy."""
    steps = profile.steps
    return steps is not None and steps.high is not None and _spread(steps) > MOST_SCATTER


def _spread(steps: Steps) -> float:
    """Return the upper over the lower end of the rate's interval; infinite if one is not known."""
    if steps.low is None or steps.high is None or steps.low <= 0:
        return math.inf
    return steps.high / steps.low


def _too_noisy(profile: Profile) -> Verdict:
    steps = profile.steps
    assert steps is not None
    value = steps.samples_per_s if steps.samples_per_s is not None else steps.updates_per_s
    unit = "samples/s" if steps.samples_per_s is not None else "updates/s"
    low, high = format.number(steps.low), format.number(steps.high)
    return Verdict(
        sentence=f"Too noisy to judge: {format.number(value)} {unit} may be anything from {low} to {high}.",
        tone="warning",
        next_command=_command("profile", profile),
        why_next="measures again; run it on an idle machine, as with shared CPUs fewer threads may be faster",
    )


def _too_little(profile: Profile) -> Verdict:
    steps = profile.steps
    assert steps is not None
    steady = "" if steps.steady else " and never became steady"
    counted = f"{plural(steps.updates, 'update')} counted{steady}"
    shown = _what_phases_show(profile)
    begin = f"{shown}; too little was measured to judge the rest" if shown else "Too little was measured to judge"
    return Verdict(
        sentence=f"{begin}: {counted}.",
        tone="warning",
        next_command=_command(f"profile --budget {_longer_budget(profile)}", profile),
        why_next=_why_longer(profile, "measures longer; stop other programs that keep the machine busy"),
    )


def _what_phases_show(profile: Profile) -> str | None:
    """Name the work that takes most of each update, if its interval leaves no doubt; None if it does."""
    steps = profile.steps
    if steps is None or steps.share_error is None:
        return None
    compute = profile.phases.get("forward", 0.0) + profile.phases.get("backward", 0.0)
    shares = {name: share for name, share in profile.phases.items() if name not in ("forward", "backward")}
    named = {"forward and backward": compute, **{format.phase_name(name): share for name, share in shares.items()}}
    most = max(named, key=lambda name: named[name])
    if not enough.stands_out(named[most], steps.share_error, steps.updates, least=DOMINATES):
        return None
    return f"{format.percent(named[most])} of each update is {most}"


def _why_longer(profile: Profile, why: str) -> str:
    """Return the reason to measure longer, which shows nothing if the script ended by itself."""
    ended = profile.script_runs and all(script_run.end == "finished" for script_run in profile.script_runs)
    return "measures again; let the script train longer, as it ended by itself" if ended else why


def _longer_budget(profile: Profile) -> str:
    """Return a budget, as text for `--budget`, in which enough updates of this length are counted.

    It is larger than the one that was not enough.
    """
    update_s = profile.steps.mean_s if profile.steps is not None else 0.0
    needed_s = enough.budget_s(update_s) if update_s < LONGEST_ADVISED_S else LONGEST_ADVISED_S
    seconds = max(needed_s, TIMES_LONGER * (profile.budget_s or 0.0))
    if not seconds < LONGEST_ADVISED_S:
        seconds = LONGEST_ADVISED_S
    return f"{seconds:.0f}" if seconds <= IN_SECONDS else f"{math.ceil(seconds / 60)}m"


def _undecided(profile: Profile) -> Verdict:
    """Return the verdict if nothing was found but some rules abstained: that is not the same as healthy."""
    open_ones = open_questions(profile)
    first = max(open_ones, key=lambda one: one.most_share)
    others = f" (and {plural(len(open_ones) - 1, 'more rule')})" if len(open_ones) > 1 else ""
    shown = _what_phases_show(profile) if _is_little(profile.steps) else None
    why = format.one_line(first.why).rstrip(".")
    left = f"No avoidable cost was shown, but {format.one_line(first.rule)}{others} could not judge: {why}."
    return Verdict(
        sentence=f"{shown}. {left}" if shown else left,
        tone="warning",
        next_command=_command(f"profile --budget {_longer_budget(profile)}", profile),
        why_next=_why_longer(profile, "measures longer"),
    )


def _own_words(finding: Finding) -> str:
    evidence = format.one_line(finding.evidence).rstrip(".")
    return f"{evidence}{_gain(finding)}" if evidence else f"{format.one_line(finding.rule)} was found."


def _gain(finding: Finding) -> str:
    ceiling, fix = finding.ceiling, finding.fix
    if ceiling is None:
        return "."
    if not ceiling.speedup > NO_GAIN:
        return "; fixing that alone gains little."
    span = format.interval(ceiling.low, ceiling.high)
    if ceiling.basis == "measured fix" and fix is not None:
        return f"; {format.one_line(fix.setting)} made it {format.times(fix.speedup)} as fast (measured, {span})."
    if ceiling.basis == "measured":
        return f"; fixing that can make it {format.times(ceiling.speedup)} as fast (measured, {span})."
    return f"; fixing that can make it {format.estimated(ceiling)} as fast (estimated from its share of the time)."


def _command(verb: str, profile: Profile) -> str:
    if profile.command.function:
        return function_call(profile.command, verb)
    return format.one_line(f"advisor {verb} {options(profile.run_options)}{profile.command.display}")


def options(words: Sequence[str]) -> str:
    """Return options of the user as the part of a command line before the script."""
    return f"{shlex.join(words)} " if words else ""


def function_call(command: Command, verb: str, *before: str) -> str:
    """Return the call of advisor for a function that trains; `before` are arguments that precede the function.

    `verb` may have options behind it, as on a command line: `profile --budget 60`.
    """
    name, *options = verb.split()
    named = [
        f"{option.lstrip('-')}={_literal(value)}" for option, value in zip(options[::2], options[1::2], strict=False)
    ]
    function = command.function.partition("(")[0]
    return format.one_line(f"advisor.{name}({', '.join([*map(json.dumps, before), function, *named])})")


def _literal(value: str) -> str:
    """Return an option's value in Python: a number, or a string as in `--budget 10m`."""
    return value if value.isdecimal() else json.dumps(value)


def page_command(profile: Profile) -> str:
    """Return the command that makes the page of this run; by its path if it is not kept in the usual place."""
    return f"advisor report {_run_name(profile)} --html"


def export_command(profile: Profile) -> str:
    """Return the command that writes the settings of the search with this profile."""
    return f"advisor export {_run_name(profile)}"


def _run_name(profile: Profile) -> str:
    """Return the name of the run on a command line."""
    name = format.one_line(profile.run_id) or "latest"
    if profile.run_folder and PurePath(profile.run_folder).parent != PurePath(runs_root()):
        name = format.one_line(profile.run_folder)
    return shlex.quote(name)
