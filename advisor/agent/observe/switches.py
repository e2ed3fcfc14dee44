"""Current switches of torch and of the interpreter, and profilers that were left on."""

from __future__ import annotations

import os
import sys
from typing import Any, Callable

from .kineto import Kineto


def switches() -> dict[str, Any]:
    """Return the fields of `types.Flags` that can be read at any time."""
    import torch

    cudnn: Any = torch.backends.cudnn
    return {
        "num_threads": torch.get_num_threads(),
        "anomaly_detection": torch.is_anomaly_enabled(),
        "launch_blocking": os.environ.get("CUDA_LAUNCH_BLOCKING", "0") not in ("", "0"),
        # Reading these raises if a script mixes torch's old and new switches for them.
        "matmul_precision": _read(torch.get_float32_matmul_precision, "highest"),
        "cudnn_tf32": bool(_read(lambda: cudnn.allow_tf32, True)),
        "cudnn_benchmark": bool(_read(lambda: cudnn.benchmark, False)),
        "deterministic": torch.are_deterministic_algorithms_enabled()
        or bool(_read(lambda: cudnn.deterministic, False)),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
    }


def profilers_on() -> list[str]:
    """Return the names of the script's profilers and tracers on this thread."""
    found = []
    kind = _torch_profiler()
    if kind is not None:
        found.append(kind)
    profile = sys.getprofile()
    if profile is not None:
        found.append(_name_of(profile, "sys.setprofile"))
    trace = sys.gettrace()
    if trace is not None:
        found.append(_name_of(trace, "sys.settrace"))
    monitoring = getattr(sys, "monitoring", None)
    if monitoring is not None:
        tools = (monitoring.get_tool(number) for number in range(6))
        found.extend(str(name) for name in tools if name is not None)
    return list(dict.fromkeys(found))


def _torch_profiler() -> str | None:
    import torch

    autograd: Any = torch._C._autograd
    kind = str(_read(autograd._profiler_type, "NONE")).rsplit(".", 1)[-1]
    if kind == "NONE" or Kineto.recording:
        return None
    if kind in ("NVTX", "ITT"):
        return f"emit_{kind.lower()}"
    return "torch.profiler"


def _name_of(hook: object, by: str) -> str:
    """Name a hook: cProfile's hook is its profiler, others are functions or methods of their package."""
    kind = type(hook)
    if kind.__module__ in ("cProfile", "_lsprof"):
        return "cProfile"
    module = getattr(hook, "__module__", None) or kind.__module__
    return f"{by} ({str(module).split('.', 1)[0]})"


def _read(getter: Callable[[], Any], otherwise: object) -> Any:
    try:
        return getter()
    except (RuntimeError, AttributeError):
        return otherwise
