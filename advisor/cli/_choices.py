"""Values of the options that have a few fixed ones, for help texts and completion."""

from __future__ import annotations

from enum import StrEnum


class IsolationName(StrEnum):
    """Protections of the user's files, best first after `auto`."""

    AUTO = "auto"
    OVERLAY = "overlay"
    LANDLOCK = "landlock"
    COPY = "copy"
    NONE = "none"


class Preset(StrEnum):
    """Files of `profiles/search`: three lengths, and three domains."""

    QUICK = "quick"
    BALANCED = "balanced"
    THOROUGH = "thorough"
    VISION = "vision"
    LANGUAGE = "language"
    TABULAR = "tabular"


class ObjectiveName(StrEnum):
    """Quantities that a search can improve."""

    THROUGHPUT = "throughput"
    MEMORY = "memory"
    ENERGY = "energy"
    COST = "cost"
    TIME_TO_LOSS = "time_to_loss"
    LOSS_AT_TIME = "loss_at_time"


class Precision(StrEnum):
    """Precisions of the products of a plan."""

    BF16 = "bf16"
    FP16 = "fp16"
    FP8 = "fp8"
    TF32 = "tf32"
    FP32 = "fp32"


class Allowed(StrEnum):
    """Effects that a search may take only if the user allows them."""

    TRAINING = "training"
