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


def profile(document: dict[str, Any]) -> dict[str, Any]:
    """Return a profile with the roles of its windows."""
    windows = document.get("windows")
    return {**document, "windows": [_window(window) for window in windows]} if isinstance(windows, list) else document


def search(document: dict[str, Any]) -> dict[str, Any]:
    """Return a search with its profile in the present form."""
    found = document.get("profile")
    return {**document, "profile": profile(found)} if isinstance(found, dict) else document


def _window(window: Any) -> Any:
    return {**window, "role": _role(window)} if isinstance(window, dict) else window


def _role(window: dict[str, Any]) -> WindowRole:
    name = str(window.get("id"))
    for beginning, role in _BY_BEGINNING:
        if name.startswith(beginning):
            return role
    entered = window.get("what_if") is not None and window.get("kind") == "measure"
    return WindowRole.WHAT_IF if entered else WindowRole.OBSERVATION
