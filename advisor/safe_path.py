"""Import order that keeps the user's files out of advisor's own imports; this module needs `os` and `sys` only."""

import os
import sys


def users_folders_last(*folders: str) -> list[str]:
    """Move PYTHONPATH and these folders to the end of `sys.path`; return `sys.path` as it was.

    A project's `types.py` or `queue.py` is for the script. Imported instead of Python's, it would end advisor.
    """
    before = list(sys.path)
    named = {os.path.abspath(folder) for folder in (*pythonpath(), *folders)}
    last = [entry for entry in before if os.path.abspath(entry) in named]
    sys.path[:] = [entry for entry in before if os.path.abspath(entry) not in named] + last
    return before


def pythonpath() -> list[str]:
    """Return the folders of PYTHONPATH, as far as this Python looks there."""
    if sys.flags.ignore_environment:
        return []
    return [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
