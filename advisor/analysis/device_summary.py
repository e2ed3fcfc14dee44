"""Use of the device, from the window on its own clock."""

from __future__ import annotations

import functools
from typing import Any

from pydantic import TypeAdapter, ValidationError

from .. import wire
from ..runtime.session_result import SessionResult
from ..types import DeviceUse, Steps, Workload
from .profile_plan import DEVICE_TRACE


def ready() -> None:
    """Build the reader, which takes a while."""
    _reader()


@functools.cache
def _reader() -> TypeAdapter[DeviceUse]:
    return TypeAdapter(DeviceUse)


def device_use(result: SessionResult, steps: Steps, workload: Workload) -> tuple[DeviceUse | None, str]:
    """Return the device's figures for the baseline's update, or the reason why there are none; neither on a CPU."""
    if workload.device == "cpu":
        return None, ""
    outcome = result.outcomes.get(DEVICE_TRACE)
    if outcome is None:
        return None, "there was no time to trace the device"
    if isinstance(outcome, wire.WindowRefused):
        return None, outcome.message
    found: Any = outcome.extra.get("device")
    if not isinstance(found, dict):
        return None, str(outcome.extra.get("why_no_device") or "the device was not traced")
    try:
        return _reader().validate_python({**found, "update_s": steps.mean_s}), ""
    except ValidationError as error:
        return None, f"the device's trace is unreadable: {error.errors()[0]['msg']}"
