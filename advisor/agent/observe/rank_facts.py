"""Facts on ranks that train together: backend, wrapper of the model, and the messages that it sends."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

MOST_BUCKETS = 500


def rank_facts(models: list[Any]) -> dict[str, Any] | None:
    """Return the fields of `types.RankFacts`; None if no process group exists."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    facts: dict[str, Any] = {"backend": _backend(distributed, models), "wrapper": "none"}
    for model in models:
        for module in model.modules():
            name = type(module).__name__
            if name == "DistributedDataParallel" or hasattr(module, "_get_ddp_logging_data"):
                return {**facts, **_of_ddp(module)}
            if "FSDP" in name or "FullyShardedDataParallel" in name:
                return {**facts, "wrapper": "fsdp"}
    return facts


def _backend(distributed: Any, models: list[Any]) -> str:
    """Return the backend of the default group for the models' device: a group may have one for each device."""
    first = next((parameter for model in models for parameter in model.parameters()), None)
    if first is not None:
        with contextlib.suppress(Exception):
            group = distributed.distributed_c10d._get_default_group()
            return str(group._get_backend(first.device).name()).lower()
    return str(distributed.get_backend())


def _of_ddp(module: Any) -> dict[str, Any]:
    """Return what torch's own log of a DDP module says."""
    facts: dict[str, Any] = {"wrapper": "ddp"}
    with contextlib.suppress(Exception):
        log = dict(module._get_ddp_logging_data())
        sizes = str(log.get("rebuilt_bucket_sizes") or log.get("bucket_sizes") or "")
        facts |= {
            "bucket_bytes": [int(size) for size in sizes.replace(" ", "").split(",") if size.isdigit()][:MOST_BUCKETS],
            "bucket_cap_bytes": int(log.get("bucket_cap_bytes") or 0) or None,
            "find_unused": bool(log.get("find_unused_parameters")),
            "static_graph": bool(getattr(module, "static_graph", False)),
            "unused_bytes": int(log.get("unused_parameter_size") or 0),
            "comm_hook": str(log.get("comm_hook") or ""),
        }
    return facts
