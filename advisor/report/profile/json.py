"""A profile as JSON: what `profile --json` prints."""

from __future__ import annotations

from typing import Any

from ...types import PROFILE_VERSION, Profile
from ..json_contract import FAILURE, FIX, RATIO, chosen, command_json, finding_json, json_safe
from .headline import verdict_of
from .health import busy_machine, looked_at

_VERDICT = ("sentence", "tone", "next_command", "why_next")
_STEPS = (
    "updates",
    "warm_up",
    "micro_steps_per_update",
    "mean_s",
    "median_s",
    "samples_per_s",
    "low",
    "high",
    "samples_per_update",
    "samples_from",
)
_MEMORY = (
    "peak_bytes",
    "limit_bytes",
    "parameters_bytes",
    "gradients_bytes",
    "optimizer_bytes",
    "activations_bytes",
    "creep_bytes_per_update",
)
_COMPUTE = ("flops_per_update", "achieved_flops_per_s", "peak_fraction", "peak_from", "peak_dtype")


def profile_json(profile: Profile) -> dict[str, Any]:
    """Return the profile as a dict for `json.dumps(…, allow_nan=False)`; `failure` is present only if there was one."""
    document: dict[str, Any] = {
        "version": PROFILE_VERSION,
        "command": command_json(profile.command),
        "verdict": chosen(verdict_of(profile), _VERDICT),
        "busy_machine": busy_machine(profile),
        "environment": profile.environment,
        "hardware": profile.hardware,
        "isolation": profile.isolation,
        "steps": chosen(profile.steps, _STEPS),
        "phases": profile.phases,
        "off_step": profile.off_step,
        "memory": chosen(profile.memory, _MEMORY),
        "compute": chosen(profile.compute, _COMPUTE),
        "device_use": profile.device_use,
        "why_no_device_use": profile.why_no_device_use,
        "ranks": profile.ranks,
        "communication": profile.communication,
        "what_ifs": [chosen(what_if, ("name", *RATIO)) for what_if in profile.what_ifs],
        "fixes": [chosen(fix, FIX) for fix in profile.fixes],
        "losses": profile.losses,
        "early_stop": profile.early_stop,
        "noise_scale": profile.noise_scale,
        "findings": [finding_json(finding) for finding in profile.findings],
        "abstained": [chosen(one, ("rule", "why")) for one in profile.abstained],
        "looked_at": looked_at(profile),
        "overhead_fraction": profile.overhead.fraction,
    }
    if profile.failure is not None:
        document["failure"] = chosen(profile.failure, FAILURE)
    safe: dict[str, Any] = json_safe(document)
    return safe
