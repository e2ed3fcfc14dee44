"""advisor: find what makes a PyTorch training script slow, without editing the script.

Importing the package is cheap: torch and Optuna are loaded only when a function needs them.
"""

from __future__ import annotations

from .version import __version__

TYPE_CHECKING = False  # as in `typing`, which imports modules that a file in PYTHONPATH may shadow
if TYPE_CHECKING:
    from typing import Any

    from . import errors, types
    from .api import apply, compare, export, load, load_run, lr, plan, profile, run, tune, tune_learning, verify

__all__ = [
    "__version__",
    "apply",
    "compare",
    "errors",
    "export",
    "hardware",
    "load",
    "load_run",
    "lr",
    "plan",
    "profile",
    "run",
    "tune",
    "tune_learning",
    "types",
    "verify",
]

_FUNCTIONS = (
    "apply",
    "compare",
    "export",
    "load",
    "load_run",
    "lr",
    "plan",
    "profile",
    "run",
    "tune",
    "tune_learning",
    "verify",
)
"""Functions of `api`. No submodule may share one of these names: importing it would replace the function."""
_MODULES = ("errors", "hardware", "types")
"""Submodules loaded on first access; `hardware` is also callable."""


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    if name in _FUNCTIONS:
        from . import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
