"""Hardware of the machine: its parts, a script's share of them, the devices' peaks, and set-up problems.

`advisor.hardware()` calls this package itself: once imported, the package would hide a function of that name.
"""

from __future__ import annotations

import sys
from types import ModuleType

from ..types import Hardware
from ._inspect import cache_folder, inspect_machine
from ._probe import probe
from .calibrate import CalibrationError, calibrate, calibrated
from .problems import setup_problems
from .show import as_json, from_json, render

__all__ = [
    "CalibrationError",
    "as_json",
    "cache_folder",
    "calibrate",
    "calibrated",
    "from_json",
    "inspect_machine",
    "probe",
    "render",
    "setup_problems",
]


class _Hardware(ModuleType):
    def __call__(self, *, calibrate: bool = False, python: str | None = None) -> Hardware:
        return inspect_machine(calibrate=calibrate, python=python)

    __call__.__doc__ = inspect_machine.__doc__


sys.modules[__name__].__class__ = _Hardware
