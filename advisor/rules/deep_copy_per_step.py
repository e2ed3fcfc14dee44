"""Something large is deep-copied in every step."""

from __future__ import annotations

from ..types import Ceiling, Evidence, HotLine, Place
from ._base import Example, Hit, Judgement, Rule, severity_of
from ._examples import call, healthy_cpu, healthy_cuda, line
from ._read import (
    call_places,
    call_share,
    calls,
    library_of_calls,
    library_of_lines,
    line_places,
    percent,
    phase_share,
    times,
    total_share,
)

MIN_COPY_SHARE = 0.05
"""Share from which it is reported: a full copy of the weights is never needed, as averages can be kept in place."""


def judge(evidence: Evidence) -> Judgement:
    sites = calls(evidence, ("deepcopy",))
    if not sites:
        return None
    lines = _lines_of(evidence)
    share = call_share(evidence, sites) if lines is None else total_share(lines)
    if share < MIN_COPY_SHARE:
        return None
    count = sum(site.calls_per_update for site in sites)
    where: tuple[Place, ...] = line_places(lines or ()) or call_places(sites)
    library = library_of_lines(lines) if lines else library_of_calls(sites)
    by = f" by {library}" if library else ""
    return Hit(
        share=share,
        severity=severity_of(share, least="warning"),
        evidence=f"`copy.deepcopy` is called {times(count)} per update{by} and takes {percent(share)} of the loop.",
        advice=_advice(library),
        where=where,
        library=library,
        # The use of the copy, and the freeing of its memory, lie beside these lines.
        ceiling=Ceiling.from_share(share, high=phase_share(evidence, "other")),
    )


def _advice(library: str) -> str:
    if library:
        return f"Make {library} copy less often, for example only to keep a better result."
    return (
        "Keep one copy and update it in place (`torch._foreach_lerp_`, or `torch.optim.swa_utils.AveragedModel` for an "
        "average of the weights), or copy only to keep a better result."
    )


def _lines_of(evidence: Evidence) -> tuple[HotLine, ...] | None:
    """Return the sampled lines at the sites of the copies: their shares were not slowed by the trace. None if no sample
    was taken there.

    Where a library copies, the user's line may be the call that trains: only samples of copies count there.
    """
    sites = calls(evidence, ("deepcopy",))
    at = {(site.file, site.line) for site in sites}
    own = {(site.file, site.line) for site in sites if not site.library}
    seen = [each for each in evidence.lines if each.where == "loop" and (each.file, each.line) in at]
    if not seen:
        return None
    return tuple(each for each in seen if each.kind == "copy" or (each.file, each.line) in own)


RULE = Rule(
    id="deep_copy_per_step",
    title="something large is deep-copied in every update",
    headline="spends {share} of its time copying its model",
    library_headline="spends {share} of its time on copies by {library}",
    looks_at="Traced calls of `copy.deepcopy` with their lines, and the share of samples on these lines.",
    thresholds=("MIN_COPY_SHARE", "CRITICAL_SHARE"),
    source="Public scripts keep averages of weights with deep copies; no published tool checks for them.",
    url="https://docs.pytorch.org/docs/stable/optim.html",
    judge=judge,
    examples=(
        Example(
            name="the model copied for an average, a third of the loop",
            evidence=healthy_cpu(
                phases={"other": 0.36},
                lines=(line("python", 0.33, line=57),),
                trace={"calls": (call("deepcopy", line=57, seconds_per_update=0.05),)},
            ),
            fires=True,
        ),
        Example(
            name="the state copied on an accelerator, line not sampled",
            evidence=healthy_cuda(trace={"calls": (call("deepcopy", seconds_per_update=0.012),)}),
            fires=True,
        ),
        Example(
            name="copied by a trainer's callback, on the line that trains",
            evidence=healthy_cpu(
                phases={"other": 0.36},
                lines=(
                    line("torch", 0.6, line=57, library="transformers"),
                    line("copy", 0.3, line=57, library="transformers"),
                ),
                trace={"calls": (call("deepcopy", line=57, seconds_per_update=0.05, library="transformers"),)},
            ),
            fires=True,
        ),
        Example(
            name="a small state copied by a trainer, on the line that trains",
            evidence=healthy_cpu(
                lines=(line("torch", 0.9, line=57, library="transformers"),),
                trace={"calls": (call("deepcopy", line=57, seconds_per_update=0.02, library="transformers"),)},
            ),
            fires=False,
        ),
        Example(
            name="a small configuration copied in each step",
            evidence=healthy_cpu(trace={"calls": (call("deepcopy", seconds_per_update=0.0004),)}),
            fires=False,
        ),
        Example(
            name="a rare copy",
            evidence=healthy_cpu(
                trace={"calls": (call("deepcopy", calls_per_update=0.01, seconds_per_update=0.0003),)}
            ),
            fires=False,
        ),
    ),
)
