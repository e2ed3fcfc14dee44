"""Folder in which the processes of one command share what torch.compile has made.

What a process writes in a view is gone with it: each would compile the same model anew, a minute long on a GPU.
"""

from __future__ import annotations

import getpass
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
"""Variable by which torch is told; it keeps Triton's kernels there, too."""


def environment(folder: Path) -> Mapping[str, str]:
    """Return the variables by which torch keeps its compiled code in this folder; none where the user has such code."""
    return {} if VARIABLE in os.environ or _usual().exists() else {VARIABLE: str(folder)}


def _usual() -> Path:
    """Return where torch keeps it unless it is told (`torch._inductor.runtime.cache_dir_utils`)."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = f"uid_{os.getuid()}"
    name = re.sub(r'[\\/:*?"<>|]', "_", user)
    return Path(tempfile.gettempdir()) / f"torchinductor_{name}"
