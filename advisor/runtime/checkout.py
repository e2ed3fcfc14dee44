"""Another version of the user's project in advisor's scratch folder; the repository itself stays unchanged.

`git worktree` would leave entries in the repository when we are killed, and `git archive` omits what `export-ignore`
names. A temporary index, written out below another folder, touches nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..spelling import parameter
from .isolation import scratch as scratch_folder

GIT_S = 300.0
"""Limit for a git command: it writes out a large project on a network disk in a minute or two."""
INTERPRETER_S = 60.0
NAMES_SHOWN = 4
CODE = (".py", ".pyc", ".pyi")
"""Suffixes of code; if it is not in git, it belongs to the working tree's version, not to the other."""
PYTHON_PATHS = """
import importlib.metadata, json, sys
editable = []
for distribution in importlib.metadata.distributions():
    text = distribution.read_text("direct_url.json")
    found = json.loads(text) if text else {}
    if found.get("dir_info", {}).get("editable"):
        editable.append(found["url"])
print(json.dumps([sys.path, editable]))
"""


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """Version of the project in its own folder."""

    repository: Path
    """Top folder of the working tree."""
    tree: Path
    """Same folder of the other version."""
    commit: str
    environment: Mapping[str, str]
    """Variables for its processes, so that they do not import packages from the working tree."""
    notes: tuple[str, ...]
    """Deviations from that version."""

    def moved(self, path: Path) -> Path:
        """Return the place of a working tree's path in this version, and any other path unchanged."""
        inside = path.is_relative_to(self.repository)
        return self.tree / path.relative_to(self.repository) if inside else path


@contextmanager
def checked_out(ref: str, *, cwd: Path, interpreter: str, scratch: Path) -> Iterator[Checkout]:
    """Provide the version `ref` of the repository around `cwd` until the block is left.

    Files that git does not keep (data, built extensions, submodules) are linked from the working tree and listed in the
    notes. Raises UsageError if there is no repository, no git or no such version.
    """
    repository, commit = _commit(ref, cwd)
    with scratch_folder.lent(scratch) as folder:
        tree = folder / "tree"
        tree.mkdir()
        notes = _write_out(commit, repository, tree, folder / "index")
        notes += _link_untracked(repository, tree, scratch)
        environment, more = _python_path(repository, tree, interpreter)
        yield Checkout(repository=repository, tree=tree, commit=commit, environment=environment, notes=(*notes, *more))


def _commit(ref: str, cwd: Path) -> tuple[Path, str]:
    top = _git(cwd, "rev-parse", "--show-toplevel")
    if top.returncode != 0:
        raise UsageError(f"{parameter('ref', ref)}: {cwd} is not in a git repository with a working tree ({_why(top)})")
    repository = Path(os.fsdecode(top.stdout.removesuffix(b"\n")))
    found = _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if found.returncode != 0:
        shallow = _git(repository, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true"
        advice = "this clone is shallow: fetch more of its history" if shallow else "give a branch, a tag or a commit"
        raise UsageError(f"{parameter('ref', ref)}: no such version in {repository}; {advice}")
    return repository, found.stdout.decode().strip()


def _write_out(commit: str, repository: Path, tree: Path, index: Path) -> list[str]:
    own_index = {"GIT_INDEX_FILE": str(index)}
    for words in (
        ("-c", "core.sparseCheckout=false", "read-tree", commit),
        ("checkout-index", "--all", "--force", f"--prefix={tree}/"),
    ):
        done = _git(repository, *words, environment=own_index)
        if done.returncode != 0:
            raise UsageError(f"git could not write out {commit[:12]}: {_why(done)}")
    listed = _git(repository, "ls-files", "--stage", "-z", environment=own_index).stdout
    entries = [os.fsdecode(entry) for entry in listed.split(b"\0") if entry.startswith(b"160000 ")]
    return [_link_submodule(entry, repository, tree) for entry in entries]


def _link_submodule(entry: str, repository: Path, tree: Path) -> str:
    """Link a submodule: its files are not in this repository, so those of the working tree stand in."""
    head, _, name = entry.partition("\t")
    wanted = head.split()[1]
    here, there = repository / name, tree / name
    if not (here / ".git").exists():
        return f"submodule {name} is not checked out: neither version has it"
    if there.is_dir():
        there.rmdir()
    there.parent.mkdir(parents=True, exist_ok=True)
    there.symlink_to(here)
    same = _git(here, "rev-parse", "HEAD").stdout.decode().strip() == wanted
    return f"submodule {name} is taken from the working tree" + ("" if same else f" (that version has {wanted[:12]})")


def _link_untracked(repository: Path, tree: Path, scratch: Path) -> list[str]:
    listed = _git(repository, "ls-files", "--others", "--directory", "-z").stdout
    linked: list[str] = []
    untracked: list[str] = []
    for name in (os.fsdecode(entry).rstrip("/") for entry in listed.split(b"\0") if entry):
        here, there = repository / name, tree / name
        if here.name == "__pycache__" or scratch.is_relative_to(here) or os.path.lexists(there):
            continue
        if here.suffix in CODE:
            untracked.append(name)
            continue
        there.parent.mkdir(parents=True, exist_ok=True)
        there.symlink_to(here)
        linked.append(name)
    notes = []
    if linked:
        notes.append(f"not in git, so both versions use the working tree's files: {_some(linked)}")
    if untracked:
        notes.append(f"not in git, so missing in the earlier version: {_some(untracked)}")
    return notes


def _python_path(repository: Path, tree: Path, interpreter: str) -> tuple[dict[str, str], list[str]]:
    """Return a PYTHONPATH for the version, and notes.

    Without it, both versions would import the working tree's packages if they are editable or found by PYTHONPATH.
    """
    try:
        answer = subprocess.run(
            [interpreter, "-c", PYTHON_PATHS],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            cwd="/",
            timeout=INTERPRETER_S,
            check=True,
        )
        paths, editable = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}, [f"{interpreter} did not report its import path: packages may be those of the working tree"]
    urls = [Path(url.removeprefix("file://")) for url in editable]
    wanted = [*(path / "src" for path in urls), *urls, *(Path(path) for path in paths if path)]
    moved = list(dict.fromkeys(found for path in wanted if (found := _in_tree(path, repository, tree)) is not None))
    if not moved:
        return {}, []
    before = os.environ.get("PYTHONPATH", "")
    joined = os.pathsep.join([*map(str, moved), *([before] if before else [])])
    names = _some([str(path.relative_to(tree)) for path in moved])
    return {"PYTHONPATH": joined}, [
        f"modules that Python finds in the working tree are taken from that version: {names}"
    ]


def _in_tree(path: Path, repository: Path, tree: Path) -> Path | None:
    """Return the folder in the other version; None if it is not part of the project, or not kept by git."""
    if not path.is_relative_to(repository):
        return None
    found = tree / path.relative_to(repository)
    return found if found.is_dir() and found.resolve().is_relative_to(tree.resolve()) else None


def _git(folder: Path, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    own = {
        "GIT_OPTIONAL_LOCKS": "0",  # reading must not rewrite the user's index
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",  # otherwise a partial clone would be filled behind the user's back
        "LC_ALL": "C",
    }
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **own, **(environment or {})},
            timeout=GIT_S,
            check=False,
        )
    except FileNotFoundError:
        raise UsageError(f"{parameter('ref')} needs git, which is not installed here") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"git {words[0]} did not end within {GIT_S:.0f} s in {folder}") from None


def _why(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].removeprefix("fatal: ") if lines else f"exit code {done.returncode}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
