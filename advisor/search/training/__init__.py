"""The search by the time to a loss: whole trainings in processes of their own, first short ones, then longer ones."""

from .horizon import Horizon
from .log import TrainingLog
from .rungs import Plan, Rung, plan_of
from .search import Found, TrainingSearch, paced
from .space import TrainingSpace, open_training_space
from .suitable import unsuitable

__all__ = [
    "Found",
    "Horizon",
    "Plan",
    "Rung",
    "TrainingLog",
    "TrainingSearch",
    "TrainingSpace",
    "open_training_space",
    "paced",
    "plan_of",
    "unsuitable",
]
