"""The search for faster settings, in live windows of one session."""

from ..target.script_options import options_told, parse_mapped
from .goals import Goal
from .knowledge import Knowledge, ProfileSummary, Standing
from .preset import SearchSettings, read
from .recommend import recommend
from .space import KEEPS_TRAINING, KnobSelection, Space, as_diagnosed, open_space
from .study import Asked, Study

__all__ = [
    "KEEPS_TRAINING",
    "Asked",
    "Goal",
    "KnobSelection",
    "Knowledge",
    "ProfileSummary",
    "SearchSettings",
    "Space",
    "Standing",
    "Study",
    "as_diagnosed",
    "open_space",
    "options_told",
    "parse_mapped",
    "read",
    "recommend",
]
