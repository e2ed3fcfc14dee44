"""Reports of measurements: as JSON, in the terminal, as a page; a stored run can be shown as often as wanted.

Importing this is cheap: rich and Jinja2 are loaded by the function that needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparison.runs import Comparison, compare_profiles, comparison_json
    from .comparison.table import render_comparison
    from .comparison.verification import render_verify, verify_json
    from .comparison.versions import render_versions, versions_json
    from .json_contract import profile_json
    from .live import LiveProgress
    from .profile.headline import Verdict, verdict_of
    from .profile.html import as_fragment, as_page
    from .profile.terminal import render_profile
    from .search.html import tune_fragment, tune_page
    from .search.json import recommendation_json, tune_json
    from .search.space import render_space, space_json
    from .search.terminal import render_tune

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
    "Comparison": "comparison.runs",
    "LiveProgress": "live",
    "Verdict": "profile.headline",
    "as_fragment": "profile.html",
    "as_page": "profile.html",
    "compare_profiles": "comparison.runs",
    "comparison_json": "comparison.runs",
    "profile_json": "json_contract",
    "recommendation_json": "search.json",
    "render_comparison": "comparison.table",
    "render_profile": "profile.terminal",
    "render_space": "search.space",
    "render_tune": "search.terminal",
    "render_versions": "comparison.versions",
    "space_json": "search.space",
    "tune_fragment": "search.html",
    "tune_json": "search.json",
    "tune_page": "search.html",
    "verdict_of": "profile.headline",
    "render_verify": "comparison.verification",
    "verify_json": "comparison.verification",
    "versions_json": "comparison.versions",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
