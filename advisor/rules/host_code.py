"""The user's own code takes time, between the phases of the update or inside them, and the device waits."""

from __future__ import annotations

from dataclasses import replace

from ..types import Ceiling, Evidence, HotLine, Place
from ._base import Example, Hit, Judgement, Rule, Undecided, clamp, severity_of
from ._examples import call, device_use, healthy_cpu, healthy_cuda, line
from ._read import (
    METRIC_LIBRARIES,
    calls,
    library_of_lines,
    line_places,
    loop_lines,
    percent,
    phase_share,
    step_share,
    total_share,
)

PYTHON_SHARE = 0.10
"""Share of the loop in lines that run Python, copy or wait: less is ordinary bookkeeping."""
TORCH_SHARE = 0.25
"""Share of the loop in lines that call torch: losses, clipping and averages of weights are the training itself, and
take 10 to 20% of healthy updates on a CPU."""
INSIDE_SHARE = 0.15
"""Share of the loop in such lines inside forward, backward or the optimizer's step, on a CPU: a model of small
operators has a tenth in the lines of its loops, which overhead_bound judges."""
NUMERIC = ("", "numpy", "scipy", "pandas", "PIL")
"""Libraries whose work inside a phase is the script's: it calls them by itself; "" is its own code. Libraries of models
call torch."""
MIN_LINE_SHARE = 0.01
"""Share below which a line is left out: at 100 samples per second it was seen once or twice."""
NAMED_ELSEWHERE = ("deepcopy", "gc.collect", "empty_cache", "print")
"""Calls with their own rules."""


INSIDE = ("forward", "backward", "optimizer")
"""Phases inside which a script's hooks, models and optimizers run code of their own."""
RL_PACKAGES = frozenset({"gym", "gymnasium", "pettingzoo", "stable_baselines3", "tianshou"})
"""Packages of environments that the model acts in: its data come from its own outputs."""


def judge(evidence: Evidence) -> Judgement:
    python = _lines(evidence, _python_kinds(evidence))
    # Without any model that is called, the lines that call torch are the forward pass itself.
    torch = _lines(evidence, ("torch",)) if evidence.phases.get("forward", 0.0) > 0 else ()
    python_share, torch_share = total_share(python), total_share(torch)
    speaking = python if python_share >= PYTHON_SHARE else ()
    if torch_share >= TORCH_SHARE or (speaking and torch_share >= PYTHON_SHARE):
        speaking = tuple(sorted((*speaking, *torch), key=lambda each: -each.share))
    inside = _inside(evidence)
    if not speaking and not inside:
        return _unnamed(evidence)
    speaking = tuple(sorted((*speaking, *inside), key=lambda each: -each.share))
    share = total_share(speaking)
    if evidence.device_use is not None:
        # On an accelerator the script's code costs only the time that the device idles meanwhile.
        idle = clamp(evidence.device_use.idle_fraction("other", "logging") * step_share(evidence))
        if idle < PYTHON_SHARE:
            return None
        if idle < share:
            speaking = tuple(replace(each, share=each.share * idle / share) for each in speaking)
            share = idle
    where, library = line_places(speaking), library_of_lines(speaking)
    return Hit(
        share=share,
        severity=severity_of(share),
        evidence=_words(share, where, speaking, library),
        advice=_advice(evidence, library, speaking),
        library=library,
        where=where,
        ceiling=Ceiling.from_share(share, high=max(share, clamp(phase_share(evidence, "other") + total_share(inside)))),
    )


def _words(share: float, where: tuple[Place, ...], lines: tuple[HotLine, ...], library: str) -> str:
    first = where[0]
    text = next((each.text for each in lines if (each.file, each.line) == (first.file, first.line)), "")
    named = f"`{text}`" if text else f"line {first.line} of {first.file}"
    whose = f"calls of the script into {library}" if library else "the script's own lines"
    return (
        f"{percent(share)} of the loop is spent in {whose} {_when(lines)}; {named} in "
        f"{first.function} alone takes {percent(first.share or 0.0)}."
    )


def _when(lines: tuple[HotLine, ...]) -> str:
    """Describe the phases of these lines."""
    inside = [name for name in INSIDE if any(line.phase == name for line in lines)]
    if not inside:
        return "between forward, backward and optimizer"
    within = f"inside {' and '.join(inside)}"
    return within if len({line.phase for line in lines}) == len(inside) else f"{within}, and between the phases"


def _advice(evidence: Evidence, library: str, lines: tuple[HotLine, ...]) -> str:
    if all(line.phase in INSIDE for line in lines):
        called = "The hooks do it in every update" if lines[0].phase == "backward" else "It runs in every update"
        return (
            f"{called}: do it less often, vectorize it, or do once, before the loop or in the dataset, what does not "
            "depend on the parameters."
        )
    if library:
        return f"Configure {library} to do less of this work, or to do it less often."
    return f"Move the work out of the loop, vectorize it, or do it less often.{_prefetching(evidence)}"


def _prefetching(evidence: Evidence) -> str:
    """Return the advice to prepare batches beside the update; empty where they may depend on the model's own outputs.

    A loop that also calls models without training, as reinforcement learning does, may make its data by them.
    """
    if evidence.off_step.get("evaluation", 0.0) > 0 or not RL_PACKAGES.isdisjoint(evidence.workload.facts.packages):
        return ""
    if evidence.workload.train_loader is not None:
        return " If it prepares batches, let the dataset or its collate function do it, in workers beside the update."
    return " If it prepares batches, a `DataLoader` with workers can do it beside the update."


def _python_kinds(evidence: Evidence) -> tuple[str, ...]:
    """Return the kinds that count as Python work.

    On an accelerator, copies and synchronisations belong to sync_per_step and blocking_copy; on a CPU they are plain
    work.
    """
    kinds: tuple[str, ...] = ("python", "sleep")
    if evidence.workload.train_loader is not None:
        kinds = (*kinds, "io")
    return kinds if evidence.on_accelerator else (*kinds, "copy", "sync")


def _lines(evidence: Evidence, kinds: tuple[str, ...]) -> tuple[HotLine, ...]:
    covered = {(site.file, site.line) for site in calls(evidence, NAMED_ELSEWHERE)}
    return tuple(
        each
        for each in loop_lines(evidence, kinds, ("other",))
        if each.share >= MIN_LINE_SHARE
        and (each.file, each.line) not in covered
        and each.library not in METRIC_LIBRARIES
    )


def _inside(evidence: Evidence) -> tuple[HotLine, ...]:
    """Return the lines that run no torch inside a phase, if they take long; a device works on meanwhile."""
    if evidence.on_accelerator:
        return ()
    found = tuple(
        each
        for each in loop_lines(evidence, ("python", "copy", "sleep", "io"), INSIDE)
        if each.share >= MIN_LINE_SHARE and each.library in NUMERIC
    )
    return found if total_share(found) >= INSIDE_SHARE else ()


def _unnamed(evidence: Evidence) -> Undecided | None:
    share = phase_share(evidence, "other")
    if share < TORCH_SHARE or evidence.lines:
        return None
    return Undecided(
        why=f"{percent(share)} of the loop is between the phases, and no line was sampled there", most_share=share
    )


RULE = Rule(
    id="host_code",
    title="the script's own code takes time",
    headline="spends {share} of its time in its own code",
    library_headline="spends {share} of its time in {library}",
    looks_at="The lines sampled between the phases, by the kind of work, and on a CPU those inside a phase that call "
    "no torch. Lines that other rules cover are excluded: deep copies, logging, checkpoints, garbage collection, and "
    "reads of a script that makes its own batches. On an accelerator, only time in which it idles counts.",
    thresholds=(
        "PYTHON_SHARE",
        "TORCH_SHARE",
        "INSIDE_SHARE",
        "NUMERIC",
        "MIN_LINE_SHARE",
        "NAMED_ELSEWHERE",
        "CRITICAL_SHARE",
    ),
    source="A sampling thread attributes time to lines, as in py-spy and scalene; here lines that compute the training "
    "do not count.",
    judge=judge,
    examples=(
        Example(
            name="a Python loop over the batch's labels takes 40%",
            evidence=healthy_cpu(phases={"other": 0.44}, lines=(line("python", 0.4, text="for label in labels:"),)),
            fires=True,
        ),
        Example(
            name="get_batch stacks slices with torch for a third of the loop",
            evidence=healthy_cpu(
                phases={"other": 0.38}, workload={"loaders": ()}, lines=(line("torch", 0.34, function="get_batch"),)
            ),
            fires=True,
        ),
        Example(
            name="nested loops in the model build a mask for a quarter of the loop",
            evidence=healthy_cpu(lines=(line("python", 0.25, phase="forward", text="while j >= 0:"),)),
            fires=True,
        ),
        Example(
            name="a hook on gradients calls NumPy",
            evidence=healthy_cpu(lines=(line("python", 0.5, phase="backward", function="hook", library="numpy"),)),
            fires=True,
        ),
        Example(
            name="the loop over time steps of a recurrent network",
            evidence=healthy_cpu(lines=(line("python", 0.1, phase="forward"), line("torch", 0.5, phase="forward"))),
            fires=False,
        ),
        Example(
            name="a model of a library, which calls torch",
            evidence=healthy_cpu(lines=(line("python", 0.3, phase="forward", library="transformers"),)),
            fires=False,
        ),
        Example(
            name="a sleep in the loop, on an accelerator",
            evidence=healthy_cuda(
                phases={"other": 0.2},
                lines=(line("sleep", 0.18),),
                device_use=device_use(busy_s=0.08, idle_s={"other": 0.019, "forward": 0.001}),
            ),
            fires=True,
        ),
        Example(
            name="the same while the device is busy with work of before",
            evidence=healthy_cuda(phases={"other": 0.2}, lines=(line("sleep", 0.18),)),
            fires=False,
        ),
        Example(
            name="a forward pass of plain functions, without a model",
            evidence=healthy_cpu(
                phases={"forward": 0.0, "backward": 0.6, "other": 0.35}, lines=(line("torch", 0.33, function="layer"),)
            ),
            fires=False,
        ),
        Example(
            name="loss and clipping, 15% in torch",
            evidence=healthy_cpu(
                phases={"other": 0.17}, lines=(line("torch", 0.09, line=61), line("torch", 0.06, line=63))
            ),
            fires=False,
        ),
        Example(
            name="a deep copy of the model, which another rule reports",
            evidence=healthy_cpu(
                phases={"other": 0.3},
                lines=(line("python", 0.28, line=57),),
                trace={"calls": (call("deepcopy", line=57, seconds_per_update=0.03),)},
            ),
            fires=False,
        ),
        Example(
            name="waiting for the device, which another rule reports",
            evidence=healthy_cuda(phases={"other": 0.3}, lines=(line("sync", 0.28),)),
            fires=False,
        ),
        Example(
            name="30% between the phases and no line sampled",
            evidence=healthy_cpu(phases={"other": 0.3}, lines=()),
            fires="abstains",
        ),
    ),
)
