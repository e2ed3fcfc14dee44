"""The search for faster settings, in live windows of one session."""

from ..target.option_roles import describe_options, parse_mapped
from .final_result import FinalResult
from .goals import Goal
from .knowledge import Knowledge
from .preset import SearchSettings, read
from .profile_summary import ProfileSummary
from .recommend import recommend
from .search_request import SearchRequest
from .space import KEEPS_TRAINING, KnobSelection, Space, open_space
from .study import Study

__all__ = [
    "KEEPS_TRAINING",
    "FinalResult",
    "Goal",
    "KnobSelection",
    "Knowledge",
    "ProfileSummary",
    "SearchRequest",
    "SearchSettings",
    "Space",
    "Study",
    "describe_options",
    "open_space",
    "parse_mapped",
    "read",
    "recommend",
]
