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
    from .space import render_space, space_json
    from .terminal import render_profile
    from .tuning import render_tune
    from .tuning_html import tune_fragment, tune_page
    from .tuning_json import recommendation_json, tune_json
    from .verdict import Verdict, verdict_of
    from .verification import render_verify, verify_json
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
    "render_space",
    "render_tune",
    "render_verify",
    "render_versions",
    "space_json",
    "tune_fragment",
    "tune_json",
    "tune_page",
    "verdict_of",
    "verify_json",
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
    "render_space": "space",
    "render_tune": "tuning",
    "render_versions": "versions",
    "space_json": "space",
    "tune_fragment": "tuning_html",
    "tune_json": "tuning_json",
    "tune_page": "tuning_html",
    "verdict_of": "verdict",
    "render_verify": "verification",
    "verify_json": "verification",
    "versions_json": "versions",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
