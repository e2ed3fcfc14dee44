"""Location of advisor's own files, which distinguishes its frames from the script's."""

from __future__ import annotations

import os

AGENT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGE = os.path.dirname(AGENT)
