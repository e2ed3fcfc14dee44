"""Exception for a setting or a what-if that is impossible on this script; its text is shown to the user."""

from __future__ import annotations


class Refused(Exception):
    """Refusal whose text names the obstacle with its value, and a remedy if there is one."""
