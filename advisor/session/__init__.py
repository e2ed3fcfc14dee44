"""The controller's side of a running script: isolation, processes, lives, windows, and what is made of them."""

from __future__ import annotations

from .life import Life, LifeRecord, Limits
from .session import Session, SessionResult

__all__ = ["Life", "LifeRecord", "Limits", "Session", "SessionResult"]
