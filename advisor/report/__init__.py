"""Shows what was measured: as JSON, in the terminal, as a page; one stored run can be shown as often as wanted.

Importing this is light: rich and Jinja2 are loaded by the function that needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compare import Comparison, compare_profiles, comparison_json, render_comparison
    from .html import as_fragment, as_page
    from .json_contract import profile_json
    from .live import LiveProgress
    from .terminal import render_profile
    from .tuning import render_tune
    from .tuning_html import tune_fragment, tune_page
    from .tuning_json import recommendation_json, tune_json
    from .verdict import Verdict, verdict_of
    from .versions import render_versions, versions_json

__all__ = [
    "Comparison",
    "LiveProgress",
    "Verdict",
    "as_fragment",
    "as_page",
    "compare_profiles",
    "comparison_json",
    "profile_json",
    "recommendation_json",
    "render_comparison",
    "render_profile",
    "render_tune",
    "render_versions",
    "tune_fragment",
    "tune_json",
    "tune_page",
    "verdict_of",
    "versions_json",
]

_HOME = {
    "Comparison": "compare",
    "LiveProgress": "live",
    "Verdict": "verdict",
    "as_fragment": "html",
    "as_page": "html",
    "compare_profiles": "compare",
    "comparison_json": "compare",
    "profile_json": "json_contract",
    "recommendation_json": "tuning_json",
    "render_comparison": "compare",
    "render_profile": "terminal",
    "render_tune": "tuning",
    "render_versions": "versions",
    "tune_fragment": "tuning_html",
    "tune_json": "tuning_json",
    "tune_page": "tuning_html",
    "verdict_of": "verdict",
    "versions_json": "versions",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
