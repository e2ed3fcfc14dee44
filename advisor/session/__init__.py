"""The controller's side of a running script: isolation, processes, lives, windows, and what is made of them."""

from __future__ import annotations

from .life import Life, LifeRecord, Limits
from .result import SessionResult
from .session import AS_WRITTEN, InLife, Session, Setup

__all__ = ["AS_WRITTEN", "InLife", "Life", "LifeRecord", "Limits", "Session", "SessionResult", "Setup"]
