"""Entry point of the script's process."""

from __future__ import annotations

from pathlib import Path

BOOTSTRAP = Path(__file__).resolve().parent.parent / "agent" / "bootstrap.py"
