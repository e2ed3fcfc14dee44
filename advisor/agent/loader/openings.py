"""Files that a dataset opens again for every sample, and archives whose members it reads whole for each."""

from __future__ import annotations

import builtins
import collections
import io
import os
import sys
from types import TracebackType
from typing import Any, Callable

from ..base.pass_through import stands_for
from ..base.patches import Patches

MOST_NAMES = 1000
"""Different names that are counted: a dataset with a file a sample opens each once."""
LEAST_PER_SAMPLE = 0.5
"""Openings of one file per sample from which it is opened for every sample: some samples may need none."""


class Openings:
    """Count of the files opened, and of the archive members read, while it is entered."""

    def __init__(self) -> None:
        self._counts: collections.Counter[str] = collections.Counter()
        self._patches = Patches()

    def __enter__(self) -> Openings:
        replace = self._patches.replace
        replace(builtins, "open", self._opening)
        replace(io, "open", self._opening)
        for module, owner, name in (("sqlite3", None, "connect"), ("h5py", "File", "__init__")):
            found = sys.modules.get(module)
            holder = getattr(found, owner, None) if found is not None and owner else found
            if holder is not None:
                replace(holder, name, self._opening if owner is None else self._opening_method)
        numpy_files = getattr(sys.modules.get("numpy.lib.npyio"), "NpzFile", None)
        if numpy_files is not None:
            replace(numpy_files, "__getitem__", self._reading_member)
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self._patches.restore()

    def again(self, samples: int) -> dict[str, Any]:
        """Return the name that was opened most, and how often for each of these samples; empty if none was for most."""
        name, times = max(self._counts.items(), key=lambda item: item[1], default=("", 0))
        if times < 2 or times < LEAST_PER_SAMPLE * samples:
            return {}
        return {"opened": name, "opened_per_sample": times / samples}

    def _count(self, name: str) -> None:
        if name in self._counts or len(self._counts) < MOST_NAMES:
            self._counts[name] += 1

    def _opening(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @stands_for(original, in_c=True)
        def opening(file: object, *args: object, **kwargs: object) -> Any:
            if self._patches.on and isinstance(file, (str, os.PathLike)):
                self._count(os.path.basename(os.fspath(file)))
            return original(file, *args, **kwargs)

        return opening

    def _opening_method(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @stands_for(original)
        def __init__(owner: object, name: object, *args: object, **kwargs: object) -> None:  # noqa: N807
            if self._patches.on and isinstance(name, (str, os.PathLike)):
                self._count(os.path.basename(os.fspath(name)))
            original(owner, name, *args, **kwargs)

        return __init__

    def _reading_member(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @stands_for(original)
        def __getitem__(archive: Any, key: object) -> Any:  # noqa: N807
            if self._patches.on:
                file = getattr(getattr(archive, "zip", None), "filename", None)
                self._count(f"{os.path.basename(file or 'the archive')}[{key!r}]")
            return original(archive, key)

        return __getitem__
