"""The public API for scripts and notebooks, reached as `advisor.NAME`."""

from __future__ import annotations

from .settings_file.loaded import LoadedConfig, apply, load
from .types import Hardware
from .workflows.compare import compare, compare_against
from .workflows.export import export
from .workflows.lr import lr
from .workflows.plan import plan
from .workflows.profile import NotebookProfile, profile
from .workflows.run import run
from .workflows.stored import load_profile, load_run
from .workflows.tune import Tuned, tune
from .workflows.tune_learning import Learned, tune_learning
from .workflows.verify import verify

__all__ = [
    "Learned",
    "LoadedConfig",
    "NotebookProfile",
    "Tuned",
    "apply",
    "compare",
    "compare_against",
    "export",
    "hardware",
    "load",
    "load_profile",
    "load_run",
    "lr",
    "plan",
    "profile",
    "run",
    "tune",
    "tune_learning",
    "verify",
]


def hardware(*, calibrate: bool = False, python: str | None = None) -> Hardware:
    """Return the machine's hardware, the part of it that may be used, and its setup problems.

    With `calibrate`, measure the peaks (about 15 s on two cores) and keep them in the cache folder.
    """
    from . import hardware as machines

    return machines.inspect_machine(calibrate=calibrate, python=python)
