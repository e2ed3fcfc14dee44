"""Output of `--json`: stable and versioned, so that other programs can rely on it.

Names and units are those of the values. Values that were not measured or that JSON cannot express are null.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from ..types import PROFILE_VERSION, Command, Finding, Profile

RATIO = ("speedup", "low", "high")
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
FAILURE = ("kind", "message", "stderr_tail")
_FINDING = ("rule", "severity", "share", "ceiling", "fix", "evidence", "where", "knobs", "advice")
_FIX = ("knob", "value", "effect", *RATIO, "rounds")
_COMPUTE = ("flops_per_update", "achieved_flops_per_s", "peak_fraction", "peak_from", "peak_dtype")


def profile_json(profile: Profile) -> dict[str, Any]:
    """Return the profile as a dict for `json.dumps(…, allow_nan=False)`; `failure` is present only if there was one."""
    document: dict[str, Any] = {
        "version": PROFILE_VERSION,
        "command": command_json(profile.command),
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
        "fixes": [chosen(fix, _FIX) for fix in profile.fixes],
        "losses": profile.losses,
        "early_stop": profile.early_stop,
        "noise_scale": profile.noise_scale,
        "findings": [finding_json(finding) for finding in profile.findings],
        "abstained": [chosen(one, ("rule", "why")) for one in profile.abstained],
        "overhead_fraction": profile.overhead.fraction,
    }
    if profile.failure is not None:
        document["failure"] = chosen(profile.failure, FAILURE)
    safe: dict[str, Any] = json_safe(document)
    return safe


def json_safe(value: Any) -> Any:
    """Return plain JSON values: NaN and infinities become null, tuples lists, and text outside UTF-8 is escaped."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {json_safe(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [json_safe(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return json_safe(_fields(value))
    return value


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def chosen(value: object, names: tuple[str, ...]) -> dict[str, Any] | None:
    """Return these attributes of a value; None for None."""
    return None if value is None else {name: getattr(value, name) for name in names}


def command_json(command: Command) -> dict[str, Any]:
    """Return the command's fields, with the words as typed."""
    return {**_fields(command), "display": command.display}


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return a finding as every command prints it."""
    return {**{name: getattr(finding, name) for name in _FINDING}, "fix": chosen(finding.fix, _FIX)}
