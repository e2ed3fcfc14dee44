"""Rounds on disk: every process is kept as it ends, and counts in later verifications of the same settings.

It counts only if script, command, settings and machine are unchanged.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..redaction import Redactor
from ..runtime.project_modules import sources
from ..settings_file.hardware_words import hardware_words
from ..storage import documents, record_file
from ..types import Hardware
from ..types.comparison import Side, VersionRun
from .parity import Losses
from .process import Process, ScriptVersion

VERIFY_FOLDER = "verify"
PROCESSES_FILE = "rounds.jsonl"
VARIABLES = ("CUDA_VISIBLE_DEVICES", "LD_PRELOAD", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")
"""Variables of the environment that change a script's speed."""


@dataclass(frozen=True, kw_only=True)
class EarlierRounds:
    """Whole rounds that were measured before, in their order."""

    baseline: tuple[Process, ...] = ()
    candidates: tuple[tuple[Process, ...], ...] = ()
    """Per finalist, one process a round."""

    def __len__(self) -> int:
        return len(self.baseline)


def identity(version: ScriptVersion, hardware: Hardware, torch: str | None) -> str | None:
    """Return a digest of everything that a process' speed depends on; None for a function, which has no file.

    `torch` is the version that the script's interpreter would import.
    """
    command = version.command
    if command.function:
        return None
    cwd = Path(command.cwd).resolve()
    texts = [text for text, _imports in sources(command.target, is_module=command.is_module, cwd=cwd)]
    args = Redactor().words(command.args)  # a renewed key makes no other training
    launcher = (command.launcher, *command.launcher_args)
    parts = {
        "texts": [hashlib.sha256(text.encode()).hexdigest() for text in texts],
        "command": [command.target, command.is_module, *args, str(cwd), command.interpreter, *launcher],
        "torch": torch,
        "settings": version.config.as_dict(),
        "constants": {module: dict(values) for module, values in version.setup.constants.items()},
        "hardware": hardware_words(hardware),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def keep(folder: Path, version: ScriptVersion, process: Process, seed: int | None, digest: str | None) -> None:
    """Append one process to the folder's file."""
    run, losses = process.run, process.losses
    record: dict[str, object] = {
        "side": run.side,
        "updates": run.updates,
        "seconds": run.seconds,
        "samples": run.samples,
        "disturbed": run.disturbed,
        "seed": seed,
        "of": digest,
        "first": losses.first,
        "losses": list(losses.values),
        "not_finite": losses.not_finite,
        "not_finite_at_end": losses.not_finite_at_end,
        "peak_bytes": process.peak_bytes,
        "set_up_s": process.set_up_s,
    }
    if version.config.settings:
        record["config"] = version.config.as_dict()
    record_file.append(folder / PROCESSES_FILE, record)


def earlier(run_folders: Iterable[Path], baseline: str | None, finalists: Sequence[str | None]) -> EarlierRounds:
    """Return the rounds of these versions from the latest series of verifications, the newest run folder first.

    A series begins with seed 0; verifications that continue it begin with later seeds.
    """
    wanted = [baseline, *finalists]
    if None in wanted:
        return EarlierRounds(candidates=tuple(() for _ in finalists))
    rounds: dict[int, list[Process]] = {}
    for folder in (found for run_folder in run_folders for found in _verify_folders(run_folder)):
        found = _whole_rounds(folder / PROCESSES_FILE, [digest for digest in wanted if digest is not None])
        rounds = {**found, **rounds}
        if 0 in found:
            break
    whole = [rounds[number] for number in range(len(rounds)) if number in rounds]
    if len(whole) < len(rounds):  # the beginning of the series is gone
        whole = []
    return EarlierRounds(
        baseline=tuple(one[0] for one in whole),
        candidates=tuple(tuple(one[place] for one in whole) for place in range(1, len(wanted))),
    )


def _verify_folders(run_folder: Path) -> list[Path]:
    """Return the folders of a run's verifications, the newest first."""
    found = [path for path in run_folder.glob(f"{VERIFY_FOLDER}*") if (path / PROCESSES_FILE).is_file()]
    return sorted(found, key=lambda path: (len(path.name), path.name), reverse=True)


def _whole_rounds(path: Path, wanted: Sequence[str]) -> dict[int, list[Process]]:
    """Return seed → one process of each version, for seeds that have all of them."""
    by_seed: dict[int, dict[str, Process]] = {}
    for record in record_file.read(path).records:
        process, seed, digest = _process(record), record.get("seed"), record.get("of")
        if process is not None and isinstance(seed, int) and digest in wanted:
            by_seed.setdefault(seed, {})[str(digest)] = process
    return {
        seed: [found[one] for one in wanted] for seed, found in by_seed.items() if all(one in found for one in wanted)
    }


def _process(record: Mapping[str, Any]) -> Process | None:
    """Return the process of a record; None for one of another format."""
    side: Side = "before" if record.get("side") == "before" else "after"
    seconds, updates, losses = documents.finite(record.get("seconds")), _count(record, "updates"), record.get("losses")
    if seconds is None or seconds <= 0 or updates is None:
        return None
    if not isinstance(losses, list) or any(one is not None and documents.finite(one) is None for one in losses):
        return None
    return Process(
        run=VersionRun(
            side=side,
            updates=updates,
            seconds=seconds,
            samples=_count(record, "samples"),
            disturbed=record.get("disturbed") is True,
        ),
        losses=Losses(
            first=_count(record, "first") or 0,
            values=tuple(losses),
            not_finite=_count(record, "not_finite") or 0,
            not_finite_at_end=_count(record, "not_finite_at_end") or 0,
        ),
        peak_bytes=_count(record, "peak_bytes"),
        set_up_s=documents.finite(record.get("set_up_s")),
    )


def _count(record: Mapping[str, Any], name: str) -> int | None:
    """Return a whole number of the record; None if there is none, or none that could have been counted."""
    value = record.get(name)
    return value if isinstance(value, int) and documents.finite(value) is not None else None
