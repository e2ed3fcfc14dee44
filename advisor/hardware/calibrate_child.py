"""Measurement of what this machine's processor and accelerators really reach.

The user's interpreter runs it as `python calibrate_child.py REQUEST.json ANSWER.json`, with REQUEST {"threads": N}. It
uses only the standard library and torch and is valid on Python 3.9. Each rate is the best of several tries: nothing
makes a machine faster than it is, but much makes it slower for a moment.
"""

from __future__ import annotations

import sys
from pathlib import Path

# A script's own folder comes first on its path, and ours has modules (memory, disk, nvidia) that would hide others.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

import json  # noqa: E402
import time  # noqa: E402
from typing import Any, Callable  # noqa: E402

MIB = 1 << 20

TRY_MIN_S = 0.02
"""Least length of a try, so that the granularity of clock and scheduler does not matter."""

RATE_BUDGET_S = 0.8
"""Budget for all tries of one rate at one size."""

TRIES_MAX = 10

MATRIX_SIDE_MIN = 256
MATRIX_SIDE_MAX_CPU = 4096
MATRIX_SIDE_MAX_DEVICE = 16384
"""Limit on sides, which are doubled from the least: each device has another best one."""

PRODUCT_MAX_S = 0.12
"""Limit on a product's predicted time; longer ones are not tried, since an emulated dtype would take minutes."""

COPY_BYTES_CPU = 256 * MIB
"""Size beyond the last-level caches of nearly all processors."""
COPY_BYTES_DEVICE = 1024 * MIB
COPY_BYTES_LINK = 256 * MIB
FREE_SHARE = 0.2
"""Largest part of the free memory that a buffer takes."""


def main(request_path: str, answer_path: str) -> None:
    import torch

    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    torch.set_num_threads(request["threads"])
    torch.set_grad_enabled(False)
    cpu = measure(torch, torch.device("cpu"), lambda: None)
    answer = {"torch": str(torch.__version__), "cpu": cpu, "accelerators": accelerators(torch)}
    Path(answer_path).write_text(json.dumps(answer), encoding="utf-8")


def accelerators(torch: Any) -> list[dict[str, Any]]:
    """Measure each *kind* of device once: eight identical ones need not be measured eight times."""
    found: dict[str, dict[str, Any]] = {}
    for device in devices(torch):
        name = device_name(torch, device)
        if name not in found:
            found[name] = measure(torch, device, synchroniser(torch, device))
            found[name]["name"] = name
    return list(found.values())


def devices(torch: Any) -> list[Any]:
    if hasattr(torch, "accelerator"):
        if not torch.accelerator.is_available():
            return []
        kind = torch.accelerator.current_accelerator().type
        return [torch.device(kind, i) for i in range(torch.accelerator.device_count())]
    return [torch.device("cuda", i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []


def device_name(torch: Any, device: Any) -> str:
    module: Any = getattr(torch, device.type, None)
    if hasattr(module, "get_device_name"):
        return str(module.get_device_name(device))
    return str(device.type)


def synchroniser(torch: Any, device: Any) -> Callable[[], None]:
    module = getattr(torch, device.type)
    return module.synchronize if device.type == "mps" else lambda: module.synchronize(device)


def measure(torch: Any, device: Any, synchronise: Callable[[], None]) -> dict[str, Any]:
    flops, failed = {}, {}
    for dtype, prepare in products(torch, device).items():
        try:
            flops[dtype] = best_product(device, prepare, synchronise)
        except Exception as error:  # A dtype that this device or torch lacks is an answer, not a fault.
            failed[dtype] = f"{type(error).__name__}: {str(error)[:200]}"
    result: dict[str, Any] = {"flops": flops, "failed": failed}
    size = copy_bytes(torch, device)
    result["bandwidth"] = best_copy(torch, device, device, size, synchronise) * 2  # read and written
    if device.type != "cpu":
        host = torch.device("cpu")
        result["host_to_device"] = best_copy(torch, host, device, COPY_BYTES_LINK, synchronise)
        result["device_to_host"] = best_copy(torch, device, host, COPY_BYTES_LINK, synchronise)
    return result


def products(torch: Any, device: Any) -> dict[str, Callable[[int], Callable[[], Any]]]:
    """Return, by dtype, a function that makes two square matrices of a given side and returns the product to time."""

    def plain(dtype: Any) -> Callable[[int], Callable[[], Any]]:
        def prepare(side: int) -> Callable[[], Any]:
            a = torch.randn(side, side, device=device, dtype=torch.float32).to(dtype)
            b = torch.randn(side, side, device=device, dtype=torch.float32).to(dtype)
            out = torch.empty(side, side, device=device, dtype=dtype)
            return lambda: torch.mm(a, b, out=out)

        return prepare

    def tf32(allowed: bool, prepare: Callable[[int], Callable[[], Any]]) -> Callable[[int], Callable[[], Any]]:
        def switched(side: int) -> Callable[[], Any]:
            torch.set_float32_matmul_precision("high" if allowed else "highest")
            return prepare(side)

        return switched

    result = {
        "fp32": tf32(False, plain(torch.float32)),
        "bf16": plain(torch.bfloat16),
        "fp16": plain(torch.float16),
    }
    if device.type != "mps":
        result["fp64"] = plain(torch.float64)
    if device.type == "cuda":
        if torch.version.hip is None and torch.cuda.get_device_capability(device) >= (8, 0):
            result["tf32"] = tf32(True, plain(torch.float32))
        result["int8"] = int8_product(torch, device)
        result["fp8"] = fp8_product(torch, device)
    return result


def int8_product(torch: Any, device: Any) -> Callable[[int], Callable[[], Any]]:
    def prepare(side: int) -> Callable[[], Any]:
        a = torch.randint(-8, 8, (side, side), device=device, dtype=torch.int8)
        b = torch.randint(-8, 8, (side, side), device=device, dtype=torch.int8).t()
        return lambda: torch._int_mm(a, b)

    return prepare


def fp8_product(torch: Any, device: Any) -> Callable[[int], Callable[[], Any]]:
    def prepare(side: int) -> Callable[[], Any]:
        a = torch.randn(side, side, device=device).to(torch.float8_e4m3fn)
        b = torch.randn(side, side, device=device).to(torch.float8_e4m3fn).t()
        one = torch.ones((), device=device)
        return lambda: torch._scaled_mm(a, b, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)

    return prepare


def best_product(device: Any, prepare: Callable[[int], Callable[[], Any]], synchronise: Callable[[], None]) -> float:
    """Return the FLOP/s at the best size."""
    side_max = MATRIX_SIDE_MAX_CPU if device.type == "cpu" else MATRIX_SIDE_MAX_DEVICE
    best, side = 0.0, MATRIX_SIDE_MIN
    while True:
        try:
            taken_s = best_time(prepare(side), synchronise)
        except RuntimeError:
            # A small device has no room for the largest matrices; its earlier results still count.
            if best:
                return best
            raise
        best = max(best, 2.0 * side**3 / taken_s)
        side *= 2
        if side > side_max or 8 * taken_s > PRODUCT_MAX_S:
            return best


def copy_bytes(torch: Any, device: Any) -> int:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return min(COPY_BYTES_DEVICE, int(free * FREE_SHARE))
    return COPY_BYTES_CPU


def best_copy(torch: Any, source: Any, target: Any, size: int, synchronise: Callable[[], None]) -> float:
    """Return the bytes/s from a buffer on one device to one on another (or the same)."""

    def buffer(device: Any, other: Any) -> Any:
        # Only pinned memory shows what the link is capable of; only CUDA and its kin have it.
        pinned = device.type == "cpu" and other.type in ("cuda", "xpu")
        # Written once, so that all pages exist before the clock runs.
        return torch.empty(size, dtype=torch.uint8, device=device, pin_memory=pinned).fill_(1)

    a, b = buffer(source, target), buffer(target, source)
    return size / best_time(lambda: b.copy_(a, non_blocking=True), synchronise)


def best_time(work: Callable[[], Any], synchronise: Callable[[], None]) -> float:
    """Return the seconds of one call, the best of several tries of several calls each."""
    start = time.perf_counter()
    work()
    synchronise()
    calls = 1
    best = float("inf")
    for _ in range(TRIES_MAX):
        began = time.perf_counter()
        for _ in range(calls):
            work()
        synchronise()
        taken = time.perf_counter() - began
        one = taken / calls
        best = min(best, one)
        if taken < TRY_MIN_S:
            calls = max(calls + 1, int(TRY_MIN_S / max(one, 1e-7)))
        if time.perf_counter() - start > RATE_BUDGET_S:
            break
    return best


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
