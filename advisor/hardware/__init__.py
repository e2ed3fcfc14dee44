"""The machine: what it has, what of it a script may use, what its devices can do at most, what is set up wrong."""

from __future__ import annotations

from ._probe import probe
from .calibrate import CalibrationError, calibrate, calibrated
from .problems import setup_problems
from .show import as_json, from_json, render

__all__ = ["CalibrationError", "as_json", "calibrate", "calibrated", "from_json", "probe", "render", "setup_problems"]
