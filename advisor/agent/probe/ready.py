"""First report of a script's process: the versions that may affect a training's speed."""

from __future__ import annotations

import platform
import sys
from typing import Any

from ... import wire

PACKAGES = ("numpy", "accelerate", "transformers", "lightning", "deepspeed", "torchvision", "timm", "datasets", "peft")


def ready(rank: int, torch: Any) -> wire.Ready:
    accelerator = getattr(torch, "accelerator", None)
    return wire.Ready(
        rank=rank,
        torch=str(torch.__version__),
        packages=_packages(),
        cuda=torch.version.cuda,
        rocm=getattr(torch.version, "hip", None),
        accelerator_available=bool(accelerator.is_available()) if accelerator is not None else False,
    )


def _packages() -> dict[str, str]:
    """Return the versions of installed packages that may affect a training's speed."""
    from importlib import metadata

    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    found["implementation"] = sys.implementation.name
    return found
