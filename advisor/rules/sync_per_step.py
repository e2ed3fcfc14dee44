"""The host waits for the accelerator in every step, and then the accelerator for the host."""

from __future__ import annotations

from ..types import CallSite, Ceiling, Evidence, Severity
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, Undecided, clamp, severity_of
from ._examples import call, healthy_cpu, healthy_cuda, line
from ._read import call_places, call_share, calls, line_places, loop_lines, percent, total_share

SYNCS = ("item", "cpu", "tolist", "numpy", "bool", "int", "float", "nonzero", "synchronize", "print")
MIN_CALLS = 0.5
"""Synchronisations an update: one in every second is a habit, one in fifty is logging."""
BUSY_ENOUGH = 0.92
"""An accelerator busy for this share has less than WARNING_SHARE to gain from any host-side change."""


def judge(evidence: Evidence) -> Judgement:
    if evidence.trace is None:
        return Undecided(why="calls that wait for the accelerator were not traced")
    sites = calls(evidence, SYNCS)
    count = sum(site.calls_per_update for site in sites)
    busy = evidence.system.accelerator_busy_fraction
    if count < MIN_CALLS or (busy is not None and busy >= BUSY_ENOUGH):
        return None
    lines = loop_lines(evidence, ("sync",))
    waited = max(total_share(lines), call_share(evidence, sites))
    share = waited if busy is None else min(waited, clamp(1 - busy))
    if share < WARNING_SHARE:
        return None
    return Hit(
        share=share,
        severity=_severity(share, busy),
        evidence=_words(sites, waited, busy),
        advice="Keep losses and metrics on the device and read them only occasionally (sum `loss.detach()`, and call "
        "`.item()` once). Replace `if tensor:` by `torch.where`, and build masks without `nonzero`.",
        where=call_places(sites) or line_places(lines),
        ceiling=Ceiling.from_share(share),
    )


def _words(sites: tuple[CallSite, ...], waited: float, busy: float | None) -> str:
    count = sum(site.calls_per_update for site in sites)
    kinds = ", ".join(sorted({site.what for site in sites}))
    idle = f"; it is idle {percent(clamp(1 - busy))} of the time" if busy is not None else ""
    return f"{count:.3g} calls per update wait for the accelerator ({kinds}), {percent(waited)} of the loop{idle}."


def _severity(share: float, busy: float | None) -> Severity:
    """Return the severity: waiting is a loss only while the device idles; if that is not known it is no warning."""
    return "info" if busy is None else severity_of(share)


def _syncs(**changes: object) -> dict[str, object]:
    return {"calls": (call("item", seconds_per_update=0.03, **changes),)}


RULE = Rule(
    id="sync_per_step",
    title="the script synchronizes with the accelerator in every update",
    headline="waits for the device in every update, {share} of its time",
    looks_at="Traced calls that need a value from the device, their time and lines, and how busy the accelerator is: "
    "waiting costs only the time that it idles afterwards.",
    thresholds=("MIN_CALLS", "BUSY_ENOUGH", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="torchtune#522 measured 40 to 50 ms per step lost to synchronization; no published tool checks for it.",
    url="https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
    applies=lambda evidence: evidence.on_accelerator,
    judge=judge,
    examples=(
        Example(
            name="loss.item() in each update of an accelerator that idles for 30%",
            evidence=healthy_cuda(trace=_syncs(), system={"accelerator_busy_fraction": 0.7}),
            fires=True,
        ),
        Example(
            name="four synchronizations per update, utilization of the accelerator unknown",
            evidence=healthy_cuda(
                trace=_syncs(calls_per_update=4.0),
                lines=(line("sync", 0.2, line=57),),
                system={"accelerator_busy_fraction": None},
            ),
            fires=True,
        ),
        Example(
            name="loss.item() in each update, but the accelerator is always busy",
            evidence=healthy_cuda(trace=_syncs()),
            fires=False,
        ),
        Example(
            name="loss.item() every fifty updates",
            evidence=healthy_cuda(trace=_syncs(calls_per_update=0.02), system={"accelerator_busy_fraction": 0.7}),
            fires=False,
        ),
        Example(name="on a CPU there is nothing to wait for", evidence=healthy_cpu(trace=_syncs()), fires=False),
        Example(name="not traced", evidence=healthy_cuda(trace=None), fires="abstains"),
    ),
)
