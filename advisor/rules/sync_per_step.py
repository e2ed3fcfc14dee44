"""The host waits for the accelerator in every step, and then the accelerator for the host."""

from __future__ import annotations

from dataclasses import replace

from ..types import CallSite, Ceiling, DeviceUse, Evidence, Place, WhatIf
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, Undecided, clamp, lost_share, severity_of
from ._examples import call, device_use, healthy_cpu, healthy_cuda, line, sync_site, what_if
from ._read import (
    MAX_PLACES,
    call_places,
    call_share,
    calls,
    line_places,
    loop_lines,
    percent,
    step_share,
    total_share,
)

SYNCS = ("item", "cpu", "tolist", "numpy", "bool", "int", "float", "nonzero", "synchronize", "print")
MIN_CALLS = 0.5
"""Synchronisations an update: one in every second is a habit, one in fifty is logging."""
MIN_SHARE = 0.02
"""Share of the loop from which their cost is reported: the least noise floor of a comparison."""
BUSY_ENOUGH = 0.92
"""An accelerator busy for this share has less than WARNING_SHARE to gain from any host-side change."""


def judge(evidence: Evidence) -> Judgement:
    tried, use = evidence.what_ifs.get("no_sync"), evidence.device_use
    sites = calls(evidence, SYNCS)
    if tried is not None:
        return _measured(evidence, tried, sites)
    if use is not None:
        return _by_device(evidence, use, sites)
    return _by_host(evidence, sites)


def _measured(evidence: Evidence, tried: WhatIf, sites: tuple[CallSite, ...]) -> Judgement:
    """Judge by the loop without the waits."""
    share = lost_share(tried.speedup)
    if tried.low <= 1.0 or share < MIN_SHARE:
        use = evidence.device_use
        most = lost_share(tried.high) if use is None else min(lost_share(tried.high), 1 - use.busy_fraction)
        if most < WARNING_SHARE:
            return None  # a busy device leaves nothing to gain, however uncertain the what-if is
        return Undecided(
            why=f"without waiting for values of the device the loop ran {tried.low:.2f} to {tried.high:.2f} times as "
            "fast, which may be no gain; measure longer"
        )
    return _hit(
        evidence,
        share,
        f"{_count(evidence, sites)} With the last known values instead, the loop ran {tried.speedup:.2f} times as fast "
        f"({tried.low:.2f}–{tried.high:.2f}).",
        Ceiling.from_what_if(tried),
    )


def _by_device(evidence: Evidence, use: DeviceUse, sites: tuple[CallSite, ...]) -> Judgement:
    """Judge by the device's idle time after each wait, until the host has launched the next kernel."""
    whole = sum(use.idle_s.values())
    of_idle = min(use.idle_after_reads_s / whole, 1.0) if whole > 0 else 0.0
    share = clamp((1 - use.busy_fraction) * of_idle * step_share(evidence))
    if share < MIN_SHARE:
        return None
    return _hit(
        evidence,
        share,
        f"{_count(evidence, sites)} The device then idles {percent(share)} of the loop, until the next kernels are "
        "launched.",
        Ceiling.from_share(share, high=max(share, 1 - use.busy_fraction)),
    )


def _by_host(evidence: Evidence, sites: tuple[CallSite, ...]) -> Judgement:
    """Judge by the waits themselves, if the device's own clock is not known; they may cost nothing."""
    if evidence.trace is None:
        return Undecided(why="calls that wait for the accelerator were not traced")
    busy = evidence.system.accelerator_busy_fraction
    if sum(site.calls_per_update for site in sites) < MIN_CALLS or (busy is not None and busy >= BUSY_ENOUGH):
        return None
    waited = _waited(evidence, sites)
    share = waited if busy is None else min(waited, clamp(1 - busy))
    if share < WARNING_SHARE:
        return None
    idle = f" It is idle {percent(clamp(1 - busy))} of the time." if busy is not None else ""
    found = _hit(evidence, share, _count(evidence, sites) + idle, Ceiling.from_share(share))
    # Waiting is a loss only while the device idles; if that is not known it is no warning.
    return found if busy is not None else replace(found, severity="info")


def _hit(evidence: Evidence, share: float, words: str, ceiling: Ceiling) -> Hit:
    return Hit(
        share=share,
        severity=severity_of(share),
        evidence=words,
        advice="Keep losses and metrics on the device and read them only occasionally (sum `loss.detach()`, and call "
        "`.item()` once). Replace `if tensor:` by `torch.where`, and build masks without `nonzero`.",
        where=_places(evidence),
        ceiling=ceiling,
    )


def _count(evidence: Evidence, sites: tuple[CallSite, ...]) -> str:
    """Describe how often and how long the host waits."""
    if not sites:
        return "The host waits for values of the accelerator."
    count = sum(site.calls_per_update for site in sites)
    kinds = ", ".join(sorted({site.what for site in sites}))
    waited = percent(_waited(evidence, sites))
    made = "1 call per update waits" if f"{count:.3g}" == "1" else f"{count:.3g} calls per update wait"
    return f"{made} for the accelerator ({kinds}), {waited} of the loop."


def _waited(evidence: Evidence, sites: tuple[CallSite, ...]) -> float:
    """Return the share of the loop in waits: by the device's trace, or else as the traced calls took, which is more."""
    use = evidence.device_use
    seen = [site.seconds_per_update for site in use.syncs if site.what in SYNCS] if use is not None else []
    if use is not None and seen and use.traced_update_s > 0:
        return clamp(sum(seen) / use.traced_update_s * step_share(evidence))
    return max(total_share(loop_lines(evidence, ("sync",))), call_share(evidence, sites))


def _places(evidence: Evidence) -> tuple[Place, ...]:
    """Return the lines that read values, those first after which the device idles longest."""
    use = evidence.device_use
    seen = [site for site in use.syncs if site.file and site.idle_after_s > 0] if use is not None else []
    if use is None or not seen:
        return call_places(calls(evidence, SYNCS)) or line_places(loop_lines(evidence, ("sync",)))
    ranked = sorted(seen, key=lambda site: -site.idle_after_s)[:MAX_PLACES]
    return tuple(
        Place(
            file=site.file,
            line=site.line,
            function=site.function,
            share=clamp(site.idle_after_s / use.traced_update_s) if use.traced_update_s > 0 else None,
        )
        for site in ranked
    )


def _syncs(**changes: object) -> dict[str, object]:
    return {"calls": (call("item", seconds_per_update=0.03, **changes),)}


RULE = Rule(
    id="sync_per_step",
    title="the script synchronizes with the accelerator in every update",
    headline="waits for the device in every update, {share} of its time",
    looks_at="The what-if no_sync, or the device's idle time after each wait, by its own clock; without both, traced "
    "calls that need a value from the device, and how busy it is. A wait alone costs nothing while the device works.",
    thresholds=("MIN_CALLS", "MIN_SHARE", "BUSY_ENOUGH", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="torchtune#522 measured 40 to 50 ms per step lost to synchronization; in another public case 85% were "
    "expected, and 4% measured.",
    url="https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
    applies=lambda evidence: evidence.on_accelerator,
    judge=judge,
    examples=(
        Example(
            name="two reads in each update, 12% faster without the waits",
            evidence=healthy_cuda(trace=_syncs(calls_per_update=2.0), what_ifs=what_if("no_sync", 1.12)),
            fires=True,
        ),
        Example(
            name="the device idles for a tenth of the update after loss.item()",
            evidence=healthy_cuda(
                trace=_syncs(),
                device_use=device_use(
                    busy_s=0.085,
                    idle_s={"forward": 0.012, "other": 0.003},
                    idle_after_reads_s=0.010,
                    syncs=(sync_site(idle_after_s=0.010),),
                ),
            ),
            fires=True,
        ),
        Example(
            name="loss.item() in each update, device not traced, idle for 30%",
            evidence=healthy_cuda(trace=_syncs(), device_use=None, system={"accelerator_busy_fraction": 0.7}),
            fires=True,
        ),
        Example(
            name="four synchronizations per update, utilization of the accelerator unknown",
            evidence=healthy_cuda(
                trace=_syncs(calls_per_update=4.0),
                lines=(line("sync", 0.2, line=57),),
                device_use=None,
                system={"accelerator_busy_fraction": None},
            ),
            fires=True,
        ),
        Example(
            name="30% of the time in loss.item(), but nothing gained without it",
            evidence=healthy_cuda(trace=_syncs(), what_ifs=what_if("no_sync", 1.005, 0.99, 1.02)),
            fires=False,
        ),
        Example(
            name="loss.item() in each update, but the accelerator is always busy",
            evidence=healthy_cuda(trace=_syncs()),
            fires=False,
        ),
        Example(
            name="loss.item() every fifty updates, device not traced",
            evidence=healthy_cuda(
                trace=_syncs(calls_per_update=0.02), device_use=None, system={"accelerator_busy_fraction": 0.7}
            ),
            fires=False,
        ),
        Example(
            name="a what-if that says little, and a device busy for 97%",
            evidence=healthy_cuda(trace=_syncs(), what_ifs=what_if("no_sync", 1.05, 0.9, 1.2)),
            fires=False,
        ),
        Example(name="on a CPU there is nothing to wait for", evidence=healthy_cpu(trace=_syncs()), fires=False),
        Example(
            name="without the waits from 0.95 to 1.3 times as fast",
            evidence=healthy_cuda(
                trace=_syncs(),
                what_ifs=what_if("no_sync", 1.1, 0.95, 1.3),
                device_use=device_use(busy_s=0.06, idle_s={"other": 0.04}),
            ),
            fires="abstains",
        ),
        Example(name="not traced", evidence=healthy_cuda(trace=None, device_use=None), fires="abstains"),
    ),
)
