"""The controller's side of a running script: isolation, processes, lives, windows, and what is made of them."""

from __future__ import annotations

from .life import Life, LifeRecord, Limits
from .session import AS_WRITTEN, InLife, Session, SessionResult, Setup

__all__ = ["AS_WRITTEN", "InLife", "Life", "LifeRecord", "Limits", "Session", "SessionResult", "Setup"]
