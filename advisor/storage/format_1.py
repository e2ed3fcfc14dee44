"""Documents of advisor 0.1 (format 1), brought to the present form before they are validated."""

from __future__ import annotations

from typing import Any

from ..wire import WindowRole

_BY_BEGINNING = (
    ("as written", WindowRole.PROFILE),
    ("base", WindowRole.BASELINE),
    ("bare", WindowRole.BARE),
    ("trial", WindowRole.TRIAL),
    ("final", WindowRole.FINAL),
    ("by knob all", WindowRole.ABLATION),
    ("by knob without", WindowRole.LEFT_OUT),
)
"""Beginnings of the windows' names, which told their roles."""
_TRUTHS = ("closures", "compiled_code", "checkpointing", "triton", "dataset_draws", "collate_draws")
"""Facts that were "yes" or "no"."""
_NUMBERS = ("micro_steps", "loader_starts")
_TEXTS = ("repeated_blocks", "generators_fault")


def profile(document: dict[str, Any]) -> dict[str, Any]:
    """Return a profile with the roles of its windows, and typed facts."""
    windows, workload = document.get("windows"), document.get("workload")
    upgraded = dict(document)
    if isinstance(windows, list):
        upgraded["windows"] = [_window(window) for window in windows]
    if isinstance(workload, dict) and isinstance(workload.get("facts"), dict):
        upgraded["workload"] = {**workload, "facts": _facts(workload["facts"])}
    return upgraded


def search(document: dict[str, Any]) -> dict[str, Any]:
    """Return a search with its profile in the present form."""
    found = document.get("profile")
    return {**document, "profile": profile(found)} if isinstance(found, dict) else document


def _facts(told: dict[str, Any]) -> dict[str, Any]:
    """Return typed facts; texts of all other names are versions of packages."""
    facts: dict[str, Any] = {name: told[name] == "yes" for name in _TRUTHS if name in told}
    facts |= {name: int(str(told[name])) for name in _NUMBERS if name in told}
    facts |= {name: told[name] for name in _TEXTS if name in told}
    if "cxx" in told:
        facts["cxx"] = told["cxx"] != ""
    if "dataset_generators" in told:
        facts["dataset_generators"] = [path for path in str(told["dataset_generators"]).split(", ") if path]
    known = {*_TRUTHS, *_NUMBERS, *_TEXTS, "cxx", "dataset_generators"}
    return {**facts, "packages": {name: version for name, version in told.items() if name not in known}}


def _window(window: Any) -> Any:
    return {**window, "role": _role(window)} if isinstance(window, dict) else window


def _role(window: dict[str, Any]) -> WindowRole:
    name = str(window.get("id"))
    for beginning, role in _BY_BEGINNING:
        if name.startswith(beginning):
            return role
    entered = window.get("what_if") is not None and window.get("kind") == "measure"
    return WindowRole.WHAT_IF if entered else WindowRole.OBSERVATION
