"""Classification of frames: owner (user, library, torch, our own), and the work of the frames below a user's line."""

from __future__ import annotations

import inspect
import os
import site
import sys
import sysconfig
from types import CodeType, FrameType
from typing import NamedTuple

from ..base.own_folder import AGENT, PACKAGE
from ..base.pass_through import is_passed_on, may_run_c

USER, LIBRARY, TORCH, OWN, BOOTSTRAP = range(5)

_OWN_PARTS = tuple(
    os.path.join(PACKAGE, name)
    for name in ("agent", "knobs", "whatif", "workflows", "discovery.py", "wire.py", "api.py")
)
"""Our own code. Not the whole package: the demo's script is a user's script."""
_OWN_START = tuple(os.path.join(AGENT, name) for name in ("bootstrap.py", "runner.py"))
"""Files that start the script: they lie below all of it, like the interpreter's own startup."""
_BOOTSTRAP_FILES = ("runpy.py", "threading.py", "importlib", "concurrent", "multiprocessing", "bdb.py", "cProfile.py")
_BOOTSTRAP_TORCH = (os.path.join("torch", "utils", "data"), os.path.join("torch", "multiprocessing"))
_INTERACTIVE = ("<stdin>", "<ipython-input")

COMPILED_FOLDER = "torchinductor_"
"""Beginning of the name of the folder in which `torch.compile` keeps the code that it writes, in the temporary one."""

Line = tuple[str, int, str]
"""File, line and function."""
_PACKAGE_FOLDERS = ("site-packages", "dist-packages")

_MODULE_KINDS = {
    # Modules whose whole work has one name, by a piece of their path; the first match wins.
    os.path.join("torch", "serialization.py"): "checkpoint",
    os.path.join("torch", "distributed", "checkpoint"): "checkpoint",
    os.path.join("safetensors", ""): "checkpoint",
    os.path.join("torch", "profiler", ""): "profiler",
    os.path.join("torch", "autograd", "profiler"): "profiler",
    os.path.join("torch", "utils", "tensorboard"): "logging",
    os.path.join("tensorboard", ""): "logging",
    os.path.join("tensorboardX", ""): "logging",
    os.path.join("tqdm", ""): "logging",
    os.path.join("wandb", ""): "logging",
    os.path.join("mlflow", ""): "logging",
    os.path.join("rich", ""): "logging",
    os.path.join("matplotlib", ""): "logging",
    os.path.join("logging", "__init__.py"): "logging",
    os.path.join("logging", "handlers.py"): "logging",
    os.path.join("PIL", ""): "io",
    os.path.join("imageio", ""): "io",
    os.path.join("h5py", ""): "io",
    os.path.join("urllib", ""): "io",
    os.path.join("http", ""): "io",
    os.path.join("requests", ""): "io",
    os.path.join("s3fs", ""): "io",
    os.path.join("fsspec", ""): "io",
}
_STDLIB_KINDS = {
    "copy.py": "copy",
    "zipfile.py": "io",
    "tarfile.py": "io",
    "gzip.py": "io",
    "lzma.py": "io",
    "bz2.py": "io",
    "socket.py": "io",
    "ssl.py": "io",
    # Waiting for another thread or process counts as sleeping.
    "queue.py": "sleep",
    "threading.py": "sleep",
    "selectors.py": "sleep",
    "multiprocessing": "sleep",
    "concurrent": "sleep",
    "pathlib.py": "io",
    "glob.py": "io",
    "shutil.py": "io",
    "tempfile.py": "io",
    "subprocess.py": "io",
    "sqlite3": "io",
    "codecs.py": "io",
}
_FUNCTION_KINDS = {
    ("json", "dump"): "logging",
    ("csv", "writerow"): "logging",
    ("csv", "writerows"): "logging",
    ("pathlib", "replace"): "checkpoint",
    ("pathlib", "rename"): "checkpoint",
    ("shutil", "move"): "checkpoint",
    ("shutil", "copyfile"): "checkpoint",
    ("shutil", "rmtree"): "checkpoint",
}
_NUMPY_IO = ("_npyio_impl.py", "npyio.py", "format.py", "_format_impl.py")


class Work(NamedTuple):
    """Work that a stack is doing."""

    frame: FrameType
    """Frame to name: the user's line, or a library's if no user line called it."""
    library: str
    """Installed package that the line calls, or that the frame belongs to; "" if there is none."""
    kind: str | None
    """Purpose of the inner frames; None if they do not show it."""


class _Stack(NamedTuple):
    user: FrameType | None
    library: str
    kind: str | None
    outermost: FrameType | None
    """Outermost frame of a library or of torch."""
    installed: FrameType | None
    """Outermost frame of an installed package."""
    torchs: FrameType | None
    """Innermost frame of torch's own datasets, samplers and collate functions."""
    passed: bool
    """True if a frame of ours has passed on the call."""
    own: bool
    """True if reading ended at any other frame of ours."""


class Frames:
    """Reader of stacks. It caches every answer about a file or code object, so a deep stack costs a few µs."""

    def __init__(self) -> None:
        self._files: dict[str, int] = {}
        self._kinds: dict[CodeType, str | None] = {}
        self._packages: dict[str, str] = {}
        paths = sysconfig.get_paths()
        self._library_roots = tuple(
            os.path.join(os.path.abspath(path), "")
            for path in {*(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")), *_site_folders()}
        )
        self._stdlib = os.path.join(os.path.abspath(paths["stdlib"]), "")
        torch = sys.modules.get("torch")
        self._torch_root = _folder_of(torch)
        self._main_root = _main_root()

    def owner(self, filename: str) -> int:
        """Return USER, LIBRARY, TORCH, OWN or BOOTSTRAP."""
        found = self._files.get(filename)
        if found is None:
            found = self._files[filename] = self._find_owner(filename)
        return found

    def _find_owner(self, filename: str) -> int:
        if filename.startswith("<"):
            return USER if filename.startswith(_INTERACTIVE) else BOOTSTRAP
        path = os.path.abspath(filename)
        if f"{os.sep}{COMPILED_FOLDER}" in path or path.startswith(os.environ.get("TORCHINDUCTOR_CACHE_DIR") or "\0"):
            return TORCH
        if path.startswith(_OWN_PARTS):
            return BOOTSTRAP if path in _OWN_START else OWN
        if self._torch_root is None:
            self._torch_root = _folder_of(sys.modules.get("torch"))
        if self._torch_root is not None and path.startswith(self._torch_root):
            inner = os.path.join("torch", path[len(self._torch_root) :])
            return BOOTSTRAP if inner.startswith(_BOOTSTRAP_TORCH) else TORCH
        if path.startswith(self._stdlib) and not _installed(path):
            first = path[len(self._stdlib) :].split(os.sep, 1)[0]
            return BOOTSTRAP if first in _BOOTSTRAP_FILES else LIBRARY
        is_main = self._main_root is not None and path.startswith(self._main_root)
        is_library = _installed(path) or path.startswith(self._library_roots)
        return LIBRARY if is_library and not is_main else USER

    def is_own(self, frame: FrameType | None) -> bool:
        """Return whether advisor, not the script, made the call that this frame is in.

        Going outward, the call is ours if a frame of ours precedes any of the user's. Frames that only pass on a call
        of the script do not count. Work of a library or torch in between belongs to its caller.
        """
        while frame is not None:
            owner = self.owner(frame.f_code.co_filename)
            if owner == USER:
                return False
            if owner == OWN and not is_passed_on(frame.f_code):
                return True
            frame = frame.f_back
        return False

    def line(self, frame: FrameType | None) -> Line:
        """Return the user's innermost line, or without user code that of a library's outermost frame."""
        chosen = self._named(self._stack(frame))
        return (
            ("", 0, "") if chosen is None else (chosen.f_code.co_filename, chosen.f_lineno or 0, chosen.f_code.co_name)
        )

    def work(self, frame: FrameType | None) -> Work | None:
        """Return a thread's work for the script at this frame; None if it works for advisor or for nobody."""
        stack = self._stack(frame)
        chosen = self._named(stack)
        if stack.own or chosen is None or self._is_overhead(frame):
            return None
        return Work(chosen, self._library(stack, chosen), stack.kind)

    def loader_work(self, frame: FrameType | None) -> Work | None:
        """Return the work of a loader that advisor itself reads; None while advisor works.

        The stack ends at our reading: lines further out show where the script is meanwhile. The outermost frame names a
        library's dataset, because its line distinguishes decoding from transforming. The innermost names torch's own.
        """
        stack = self._stack(frame)
        chosen = stack.user or stack.installed or stack.torchs or stack.outermost
        if chosen is None or not (stack.user or stack.passed) or self._is_overhead(frame):
            return None
        return Work(chosen, self._library(stack, chosen), stack.kind)

    def _named(self, stack: _Stack) -> FrameType | None:
        """Return the frame to name: the user's, else a library's, and Python's own only if there is no other."""
        outermost = stack.outermost
        if stack.user is not None or outermost is None or not self._standard_module(outermost):
            return stack.user or outermost
        return stack.installed or outermost

    def _library(self, stack: _Stack, chosen: FrameType) -> str:
        """Return the package that the user's line calls; without one, the package or module that `chosen` is in."""
        if stack.user is not None:
            return stack.library
        return self.package(chosen) or self._standard_module(chosen)

    def _standard_module(self, frame: FrameType) -> str:
        """Return the name of Python's own module whose code this frame runs; "" for any other code."""
        path = os.path.abspath(frame.f_code.co_filename)
        if not path.startswith(self._stdlib) or _installed(path):
            return ""
        return path[len(self._stdlib) :].split(os.sep, 1)[0].removesuffix(".py")

    def _is_overhead(self, innermost: FrameType | None) -> bool:
        """Return whether a wrapper of ours is doing its own bookkeeping."""
        if innermost is None:
            return True
        code = innermost.f_code
        return self.owner(code.co_filename) == OWN and not may_run_c(code)

    def _stack(self, frame: FrameType | None) -> _Stack:
        """Read outward up to the user's line, or up to a frame of ours that does not pass on a call of the script."""
        kind, library = None, ""
        outermost = installed = torchs = None
        passed = False
        while frame is not None:
            code = frame.f_code
            owner = self.owner(code.co_filename)
            if owner == USER:
                return _Stack(frame, library, kind, outermost, installed, torchs, passed, own=False)
            if owner == OWN:
                if not is_passed_on(code):
                    return _Stack(None, library, kind, outermost, installed, torchs, passed, own=True)
                passed, frame = True, frame.f_back
                continue
            found = self.kind(code)
            # The frame nearest to the user's line shows the line's purpose: a save writes files, yet is a save.
            if found is not None and (found != "torch" or kind is None):
                kind = found
            if owner != BOOTSTRAP:
                outermost = frame
            if owner == LIBRARY and (package := self.package(frame)):
                installed = frame
                # A generator around a loader, such as a progress bar, passes on the work of others.
                library = library if code.co_flags & inspect.CO_GENERATOR else package
            elif owner == BOOTSTRAP and torchs is None and self.package(frame):
                torchs = frame
            frame = frame.f_back
        return _Stack(None, library, kind, outermost, installed, torchs, passed, own=False)

    def library(self, frame: FrameType | None) -> str:
        """Return the installed package that the user's line calls, for a call from this frame; "" if none.

        Without a user's line, it is the package or module of the line that is named instead.
        """
        stack = self._stack(frame)
        chosen = self._named(stack)
        return stack.library if chosen is None else self._library(stack, chosen)

    def library_line(self, frame: FrameType | None) -> str:
        """Return the library frame nearest to the call as `file:line`; "" if the user's own line made the call."""
        while frame is not None:
            owner = self.owner(frame.f_code.co_filename)
            if owner == USER:
                return ""
            if owner == LIBRARY:
                parts = frame.f_code.co_filename.split(os.sep)
                return "{}:{}".format("/".join(parts[-2:]), frame.f_lineno)
            frame = frame.f_back
        return ""

    def package(self, frame: FrameType) -> str:
        """Return the installed package whose code this frame runs (`torchvision`); "" for Python's and the user's."""
        filename = frame.f_code.co_filename
        found = self._packages.get(filename)
        if found is None:
            found = self._packages[filename] = self._find_package(filename)
        return found

    def _find_package(self, filename: str) -> str:
        path = os.path.abspath(filename)
        if self._torch_root is not None and path.startswith(self._torch_root):
            return "torch"
        for folder in _PACKAGE_FOLDERS:
            _, found, inside = path.rpartition(os.sep + folder + os.sep)
            if found:
                return inside.split(os.sep, 1)[0].removesuffix(".py")
        return ""

    def kind(self, code: CodeType) -> str | None:
        """Return the name for the work of a library's function, or None if it has no name of its own."""
        if code not in self._kinds:
            self._kinds[code] = self._find_kind(code)
        return self._kinds[code]

    def _find_kind(self, code: CodeType) -> str | None:
        if code.co_flags & inspect.CO_GENERATOR:
            return None  # a progress bar around a loader is a generator: waiting in it is not logging
        path = os.path.abspath(code.co_filename)
        if path.startswith(self._stdlib):
            inner = path[len(self._stdlib) :]
            first = inner.split(os.sep, 1)[0]
            named = _FUNCTION_KINDS.get((first.split(".")[0], code.co_name))
            if named or first in _STDLIB_KINDS:
                return named or _STDLIB_KINDS[first]
        if os.sep + "numpy" + os.sep in path and os.path.basename(path) in _NUMPY_IO:
            return "io"
        for piece, kind in _MODULE_KINDS.items():
            if os.sep + piece in path:
                return kind
        return "torch" if self.owner(code.co_filename) == TORCH else None


def _installed(path: str) -> bool:
    return any(f"{os.sep}{folder}{os.sep}" in path for folder in _PACKAGE_FOLDERS)


def _site_folders() -> list[str]:
    """Return a virtual environment's own folders; `site` may lack some of its functions in old environments."""
    folders = list(getattr(site, "getsitepackages", list)())
    return [*folders, site.getusersitepackages()] if site.ENABLE_USER_SITE else folders


def _folder_of(module: object) -> str | None:
    name = getattr(module, "__file__", None)
    return os.path.join(os.path.dirname(os.path.abspath(name)), "") if name else None


def _main_root() -> str | None:
    """Return the file of `__main__`, or its whole top-level package if `-m` runs an installed one."""
    name = getattr(sys.modules.get("__main__"), "__file__", None)
    if not name:
        return None
    path: str = os.path.abspath(name)
    for folder in _PACKAGE_FOLDERS:
        head, found, tail = path.partition(os.sep + folder + os.sep)
        if found:
            top = tail.split(os.sep, 1)[0]
            return head + found + (os.path.join(top, "") if os.sep in tail else top)
    return path
