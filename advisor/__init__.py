"""advisor: finds what makes a PyTorch training script slow, without an edit to the script.

Importing the package is light: neither torch nor Optuna is loaded before a function needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import apply, load, profile, tune, verify

__version__ = "0.1.1"
__all__ = ["__version__", "apply", "hardware", "load", "profile", "tune", "verify"]

_FACADE = ("apply", "load", "profile", "tune", "verify")
"""Not the name of any submodule: importing one puts it in the place of the function. (`hardware` is one that can be
called.)"""


def __getattr__(name: str) -> Any:
    if name == "hardware":
        import importlib

        return importlib.import_module(f"{__name__}.hardware")  # which can be called
    if name in _FACADE:
        from . import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
