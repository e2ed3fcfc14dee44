"""Facts and losses of a script that learns as it should; parts of the healthy evidence."""

from __future__ import annotations

from ..types import LearningFacts, LossTrend

LEARNING = LearningFacts(
    scans=8,
    owned_elements=12_000_000,
    moved=(1.1e-3, 9e-4, 1.2e-3, 1e-3),
    first_loss=4.7,
    first_rate=3e-4,
    largest_rate=3e-4,
    planned_updates=10_000,
    planned_epochs=20,
)
LOSSES = LossTrend(
    updates=160,
    first=3,
    last=175,
    start=4.1,
    end=2.6,
    error=0.05,
    noise=0.15,
    early_slope=-0.012,
    late_slope=-0.005,
    late_low=-0.007,
    late_high=-0.003,
    highest=4.6,
    alternation=0.02,
)
