"""Says what the torch of this interpreter was built for and which devices it sees.

Run as `python torch_child.py REQUEST.json ANSWER.json` by whatever interpreter the user's script has: standard library
and torch only, valid on Python 3.9.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Our own folder comes first on the path of a script, and has modules (memory, disk, nvidia) that would hide others.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

import json  # noqa: E402
import platform  # noqa: E402
from typing import Any  # noqa: E402

KINDS = {"cuda", "mps", "xpu"}
"""The types that torch and we name alike."""


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
    """Type of the accelerator that torch can use now; None where it can use none."""
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
        told = "rocm" if here == "cuda" and torch.version.hip else here
        found.append(
            {
                "kind": told if told in KINDS or told == "rocm" else "other",
                "index": index,
                "name": getattr(properties, "name", here),
                "memory_bytes": getattr(properties, "total_memory", None),
                # On ROCm these two are AMD's architecture number, which nobody should take for NVIDIA's.
                "compute_capability": [properties.major, properties.minor] if told == "cuda" else None,
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
