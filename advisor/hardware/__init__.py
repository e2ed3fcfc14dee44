"""The machine: what it has, what of it a script may use, what its devices can do at most, what is set up wrong.

`advisor.hardware()` is this package itself, called: a function of that name would be hidden by it once it is imported.
"""

from __future__ import annotations

import sys
from types import ModuleType

from ..types import Hardware
from ._look import cache_folder, look
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
    "look",
    "probe",
    "render",
    "setup_problems",
]


class _Hardware(ModuleType):
    def __call__(self, *, calibrate: bool = False, python: str | None = None) -> Hardware:
        return look(calibrate=calibrate, python=python)

    __call__.__doc__ = look.__doc__


sys.modules[__name__].__class__ = _Hardware
