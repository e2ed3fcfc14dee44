"""The search for faster settings, in live windows of one session."""

from .arguments import options_told, parse_mapped
from .goals import Goal
from .knowledge import Knowledge, Seen, Standing, told
from .recommend import recommend
from .settings import SearchSettings, read
from .space import KEEPS_TRAINING, Space, Wishes, as_diagnosed, open_space
from .study import Asked, Study

__all__ = [
    "KEEPS_TRAINING",
    "Asked",
    "Goal",
    "Knowledge",
    "SearchSettings",
    "Seen",
    "Space",
    "Standing",
    "Study",
    "Wishes",
    "as_diagnosed",
    "open_space",
    "options_told",
    "parse_mapped",
    "read",
    "recommend",
    "told",
]
