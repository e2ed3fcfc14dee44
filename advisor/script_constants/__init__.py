"""Constants of a training script: found in its text, and set before it runs. The file itself stays unchanged."""

from __future__ import annotations

from .files import ByModule, SourceFile, by_module, constants_by_name, source_files
from .syntax import Constant, Plain, Unsettable, edited, parse, with_constants

__all__ = [
    "ByModule",
    "Constant",
    "Plain",
    "SourceFile",
    "Unsettable",
    "by_module",
    "constants_by_name",
    "edited",
    "parse",
    "source_files",
    "with_constants",
]
