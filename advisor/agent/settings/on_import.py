"""Settings that must be there before torch starts its threads: they are set right after the script's `import torch`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from ... import knobs
from ..base import imports


def set_on_import(settings: Mapping[str, Any]) -> None:
    """Set those of these settings when torch is imported; `Knob.apply` checks later that they are in force."""
    for name, value in settings.items():
        on_import = knobs.get(name).on_import
        if on_import is not None:
            imports.when_imported("torch", functools.partial(_set, on_import, value))


def _set(on_import: Any, value: Any, _torch: Any) -> None:
    on_import(value)
