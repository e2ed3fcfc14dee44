"""The search for faster settings, in live windows of one session."""

from .recommend import recommend
from .settings import SearchSettings, read
from .space import KEEPS_TRAINING, OpenKnob, Space, open_space
from .study import TRIALS_FILE, Study, told

__all__ = [
    "KEEPS_TRAINING",
    "TRIALS_FILE",
    "OpenKnob",
    "SearchSettings",
    "Space",
    "Study",
    "open_space",
    "read",
    "recommend",
    "told",
]
