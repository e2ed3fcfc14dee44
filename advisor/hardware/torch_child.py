"""Report of what this interpreter's torch was built for and which devices it sees.

The interpreter of the user's script runs it as `python torch_child.py REQUEST.json ANSWER.json`. It uses only the
standard library and torch and is valid on Python 3.9.
"""

from __future__ import annotations

import sys
from pathlib import Path

# A script's own folder comes first on its path, and ours has modules (memory, disk, nvidia) that would hide others.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

import json  # noqa: E402
import platform  # noqa: E402
from typing import Any  # noqa: E402

KINDS = {"cuda", "mps", "xpu"}
"""Device types that torch and advisor name alike."""


def main(answer_path: str) -> None:
    try:
        import torch
    except ImportError as error:
        answer: dict[str, Any] = {"error": f"torch cannot be imported: {error}"}
    else:
        answer = {"build": build(torch), "accelerators": accelerators(torch)}
    Path(answer_path).write_text(json.dumps(answer), encoding="utf-8")


def build(torch: Any) -> dict[str, Any]:
    cudnn = torch.backends.cudnn.version() if torch.version.cuda or torch.version.hip else None
    return {
        "version": str(torch.__version__),
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
        "rocm": torch.version.hip,
        "cudnn": None if cudnn is None else str(cudnn),
        "accelerator_available": kind(torch) is not None,
        "architectures": list(torch.cuda.get_arch_list()) if torch.cuda.is_available() else [],
        "xla": version_of("torch_xla"),
    }


def version_of(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def kind(torch: Any) -> str | None:
    """Return the type of the accelerator that torch can use now; None if it can use none."""
    if hasattr(torch, "accelerator"):  # since 2.6
        return str(torch.accelerator.current_accelerator().type) if torch.accelerator.is_available() else None
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else None


def accelerators(torch: Any) -> list[dict[str, Any]]:
    here = kind(torch)
    if here is None:
        return []
    if here == "mps":
        return [{"kind": "mps", "index": 0, "name": mps_name(torch), "memory_bytes": mps_memory(torch)}]
    module: Any = getattr(torch, here, None)
    count = torch.accelerator.device_count() if hasattr(torch, "accelerator") else torch.cuda.device_count()
    found = []
    for index in range(count):
        properties: Any = module.get_device_properties(index) if hasattr(module, "get_device_properties") else None
        device_kind = "rocm" if here == "cuda" and torch.version.hip else here
        found.append(
            {
                "kind": device_kind if device_kind in KINDS or device_kind == "rocm" else "other",
                "index": index,
                "name": getattr(properties, "name", here),
                "memory_bytes": getattr(properties, "total_memory", None),
                # On ROCm these two are AMD's architecture number, not to be taken for NVIDIA's.
                "compute_capability": [properties.major, properties.minor] if device_kind == "cuda" else None,
            }
        )
    return found


def mps_name(torch: Any) -> str:
    if hasattr(torch.backends.mps, "get_name"):
        return str(torch.backends.mps.get_name())
    import subprocess

    command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode().strip()


def mps_memory(torch: Any) -> int | None:
    recommended = getattr(torch.mps, "recommended_max_memory", None)
    return None if recommended is None else int(recommended())


if __name__ == "__main__":
    main(sys.argv[2])
