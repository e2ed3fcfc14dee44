"""Settings that must be there before torch starts its threads: they are set right after the script's `import torch`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base import imports


def set_on_import(settings: Mapping[str, Any]) -> None:
    """Set those of these settings when torch is imported; `Knob.apply` checks later that they are in force."""
    imports.when_imported("torch", lambda _torch: _set(settings))


def _set(settings: Mapping[str, Any]) -> None:
    from ... import knobs  # not before the script's first import

    for name, value in settings.items():
        on_import = knobs.get(name).on_import
        if on_import is not None:
            on_import(value)
