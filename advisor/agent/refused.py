"""What cannot be done on this script, as an exception whose text is shown to the user."""

from __future__ import annotations


class Refused(Exception):
    """The text says what stood in the way, with the value, and what to do where something can be done."""
