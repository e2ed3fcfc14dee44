"""Traced operators to build examples from."""

from __future__ import annotations

from typing import Any

from ..types import AttentionUse, FrozenPart, OperatorUse, UnusedGradients

_PLACE: dict[str, Any] = {"file": "train.py", "line": 48, "function": "forward"}


def operators(**changes: Any) -> dict[str, OperatorUse]:
    """Return the change of a trace whose operators took 90 ms of an update, all in float32."""
    given: dict[str, Any] = {"seconds": 0.09, "seconds_by_dtype": {"float32": 0.09}}
    return {"operators": OperatorUse(**{**given, **changes})}


def frozen_part(**changes: Any) -> FrozenPart:
    """Return a backbone whose forward is 85% of an update."""
    given: dict[str, Any] = {"name": "backbone", "class_name": "Backbone", **_PLACE, "draws_before": False}
    return FrozenPart(**{**given, "seconds_fraction": 0.85, "flops_fraction": 0.9, **changes})


def unused_gradients(**changes: Any) -> UnusedGradients:
    """Return those of a backbone in front of a trained head."""
    given: dict[str, Any] = {"names": ("backbone",), "parameters": 11_000_000, "leading": True, **_PLACE}
    return UnusedGradients(**{**given, "seconds_fraction": 0.28, "flops_fraction": 0.3, **changes})


def attention(**changes: Any) -> AttentionUse:
    """Return attention of twelve layers over 1,024 tokens that takes 60 ms of an update."""
    given: dict[str, Any] = {**_PLACE, "library": "", "rows": 1024, "columns": 1024, "calls_per_update": 12.0}
    given |= {"seconds_per_update": 0.06, "score_bytes": 400 * 2**20, "dropout": False, "weights_used": False}
    return AttentionUse(**{**given, **changes})
