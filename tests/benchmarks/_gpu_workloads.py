"""The workloads of the GPU benchmark, and how their scripts are called."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from _common import SCRIPTS

import advisor

FOLDER = SCRIPTS / "gpu"
USABLE = 0.9
"""Of the device's memory, for processes that stand side by side."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    name: str
    title: str
    script: str
    memory_gib: tuple[float, float]
    """About what it takes as written, and by hand."""
    settle_s: float = 1.0
    """Until a loader's queue is as full as it will be."""
    counted_s: float = 3.0
    needs_images: bool = False
    needs: str | None = None
    """A package without which it cannot run."""

    @property
    def lacks(self) -> str | None:
        """The package that it needs and that is not here."""
        return self.needs if self.needs and importlib.util.find_spec(self.needs) is None else None


WORKLOADS = (
    Workload(
        name="resnet50",
        title="ResNet-50, 224 px JPEGs, batch 64, 2 workers",
        script="resnet.py",
        memory_gib=(7.5, 5.0),
        settle_s=2.0,
        counted_s=4.0,
        needs_images=True,
        needs="PIL",
    ),
    Workload(name="gpt2", title="GPT-2 124M, batch 8 × 1024", script="gpt.py", memory_gib=(14.5, 9.5)),
    Workload(name="launch", title="ResNet-18, 32 px, batch 64, on the device", script="launch.py",
             memory_gib=(1.5, 1.5)),
    Workload(name="bert", title="BERT-base, Trainer, batch 32 × 128", script="bert.py", memory_gib=(6.0, 4.5),
             needs="transformers"),
    Workload(name="vit_s", title="ViT-S, 224 px, batch 64, 4 workers", script="vit.py", memory_gib=(5.5, 4.0)),
)  # fmt: skip
"""In the order in which they matter: what there is no time for is left out from the end."""
HOOKS = "hooks"
NAMES = (*(workload.name for workload in WORKLOADS), HOOKS)
HOOKS_GIB = 0.7
UPDATE_S = (0.001, 0.010, 0.100)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Sizes of a run: those of a GPU, or small ones that a CPU tries the scripts with."""

    small: bool

    def words(self, workload: Workload, images: Path) -> list[str]:
        """The script as a user calls it."""
        data = [f"--data={images}"] if workload.needs_images else []
        return [str(FOLDER / workload.script), *data, *(["--small"] if self.small else [])]

    def timed(self, workload: Workload) -> list[str]:
        """Options with which it waits, and counts when it is told to."""
        if self.small:
            return ["--wait", "--warm=3", "--settle=0.1", "--seconds=0.3"]
        return ["--wait", f"--settle={workload.settle_s}", f"--seconds={workload.counted_s}"]

    def hooks_timed(self) -> list[str]:
        return ["--wait", "--warm=3", "--settle=0.1", "--seconds=0.3" if self.small else "--seconds=1.5"]

    @property
    def images(self) -> list[str]:
        return ["--images=256", "--different=32"] if self.small else []


def environment(small: bool, caches: Path, beside: int = 1) -> dict[str, str]:
    """The children find advisor wherever they run, ask no network, and share no compiled code with earlier runs.

    So many stand beside each other, and share the CPUs to compile.
    """
    root = str(Path(advisor.__file__).resolve().parents[1])
    already = [str(Path(path).resolve()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    threads = str(max(2, len(os.sched_getaffinity(0)) // beside))
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([root, *already]),
        "HF_HUB_OFFLINE": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
        "TRITON_CACHE_DIR": str(caches / "triton"),
        **({"TORCHINDUCTOR_COMPILE_THREADS": threads} if beside > 1 else {}),
        # Threads that wait actively for each other slow small operators many times where processes share two CPUs.
        **({"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} if small else {}),
    }


def device() -> tuple[Mapping[str, str], float | None]:
    """Facts about the card, and the GiB of it that may be filled; None without one."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits"]
    try:
        asked = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
        name, driver, memory = (word.strip() for word in asked.stdout.splitlines()[0].split(","))
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return _by_nvml()
    return {"card": name, "driver": driver}, float(memory) / 1024 * USABLE


def _by_nvml() -> tuple[Mapping[str, str], float | None]:
    import pynvml

    try:
        pynvml.nvmlInit()
        card = pynvml.nvmlDeviceGetHandleByIndex(0)
        facts = {"card": pynvml.nvmlDeviceGetName(card), "driver": pynvml.nvmlSystemGetDriverVersion()}
        return facts, pynvml.nvmlDeviceGetMemoryInfo(card).total / 2**30 * USABLE
    except pynvml.NVMLError:
        return {"card": "none", "driver": "none"}, None


def chosen(words: Sequence[str]) -> tuple[str, ...]:
    """Names that contain one of the words; all where there is no word."""
    return tuple(name for name in NAMES if not words or any(word in name for word in words))
