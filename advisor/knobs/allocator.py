"""Use another memory allocator: tcmalloc or jemalloc on a CPU, segments that grow on CUDA.

The C library gives large blocks back to the kernel, and gets them again, page by page, in the next update; tcmalloc and
jemalloc keep them. They are preloaded, so a training needs a new process, and the library must be installed. On CUDA,
`expandable_segments` lets torch's own allocator reuse memory of blocks whose sizes change.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..refused import Refused
from ._base import Knob, PlainObjects, Unable, Values, always, one_of

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls

SEGMENTS = "expandable_segments"
LIBRARIES = {
    "tcmalloc": ("libtcmalloc_minimal.so", "libtcmalloc.so"),
    "jemalloc": ("libjemalloc.so",),
}
"""Allocator → names of its library, the better one first; a version may follow."""
FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64", "/lib", "/lib64", "/opt/homebrew/lib")
PRELOAD, SETTINGS, NEWER_SETTINGS = "LD_PRELOAD", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"


def _values(_hardware: Hardware, workload: Workload) -> Values:
    if workload.device == "cpu":
        return _of_cpu()
    if workload.device != "cuda":
        return Values(why_closed=f"no other allocator is known for {workload.device}")
    if SEGMENTS in os.environ.get(_settings_in(os.environ), ""):
        return Values(why_closed=f"{_settings_in(os.environ)} already sets {SEGMENTS}")
    return Values(values=(SEGMENTS,), why="blocks whose sizes change leave gaps in fixed segments")


def _of_cpu() -> Values:
    if sys.platform != "linux":
        return Values(why_closed=f"allocators are preloaded on Linux only, and this is {sys.platform}")
    if any(name.partition(".")[0] in os.environ.get(PRELOAD, "") for names in LIBRARIES.values() for name in names):
        return Values(why_closed=f"{PRELOAD} already names an allocator")
    found = tuple(name for name in LIBRARIES if library_of(name) is not None)
    if not found:
        return Values(why_closed="neither tcmalloc nor jemalloc is installed (apt install libtcmalloc-minimal4)")
    return Values(values=found, why="the C library returns freed memory to the kernel, and faults its pages in again")


def _settings_in(present: Mapping[str, str]) -> str:
    """Return the variable of torch's allocator: the newer one wins where it is set, and older versions ignore it."""
    return NEWER_SETTINGS if NEWER_SETTINGS in present else SETTINGS


@functools.cache
def library_of(allocator: str) -> str | None:
    """Return the path to the library of an allocator; None if it is not found."""
    wanted = [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path]
    folders = [*map(Path, (*wanted, *FOLDERS)), Path(sys.prefix) / "lib"]
    places = [place for folder in folders for place in (folder, *folder.glob("*-linux-gnu*"))]
    for name in LIBRARIES[allocator]:
        for place in places:
            versions = [path for path in (*place.glob(name), *place.glob(f"{name}.*")) if path.is_file()]
            if versions:
                return str(min(versions, key=lambda path: (len(path.name), path.name)))
    return None


def _environment(value: Any, present: Mapping[str, str]) -> Mapping[str, str]:
    if value == SEGMENTS:
        name = _settings_in(present)
        return {name: ",".join(filter(None, [present.get(name), f"{SEGMENTS}:True"]))}
    library = library_of(value)
    return {PRELOAD: ":".join(filter(None, [library, present.get(PRELOAD)]))} if library is not None else {}


def _apply(_controls: Controls, value: Any) -> None:
    """Check that this process was started with it."""
    if value == SEGMENTS:
        if f"{SEGMENTS}:True" not in os.environ.get(_settings_in(os.environ), ""):
            raise Refused(f"the script must be started with {SETTINGS}={SEGMENTS}:True")
    elif not any(Path(path).name.startswith(LIBRARIES[value]) for path in _preloaded()):
        found = library_of(value)
        raise Refused(
            f"{value} is not installed" if found is None else f"the script must be started with {PRELOAD}={found}"
        )


def _preloaded() -> list[str]:
    return os.environ.get(PRELOAD, "").replace(" ", ":").split(":")


def _plain(_objects: PlainObjects, value: Any) -> str:
    return f"start Python with {KNOB.described_by_hand(value)}"


def _in_torchrun(value: Any, _training: Any) -> Mapping[str, Any] | Unable:
    variables = _environment(value, {})
    return {"environment": variables} if variables else Unable(f"the library of {value} was not found")


KNOB = Knob(
    id="allocator",
    title="memory allocator",
    values=_values,
    example=SEGMENTS,
    effect=always("exact"),
    apply=_apply,
    restore=lambda _controls: None,
    scope="launch",
    wrong=one_of(*LIBRARIES, SEGMENTS),
    by_hand="LD_PRELOAD with the path to the library of {value} in the environment",
    by_hand_of={SEGMENTS: f"{SETTINGS}={SEGMENTS}:True in the environment"},
    environment=_environment,
    chosen_for=("cpus", "device", "torch"),
    plain=_plain,
    formats={"torchrun": _in_torchrun},
    opened_by=("memory_pressure", "overhead_bound"),
    changes="The whole process and its children use it. Resident memory may be higher, as freed blocks are kept.",
    hooks=(),
)
