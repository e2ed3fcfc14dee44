"""The labelled scripts, and how each is probed."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from advisor.runtime import RunOptions

from .probing import REST, Probed, probe, windows

SCRIPTS = Path(__file__).parent.parent / "workloads" / "wild"
LABELS: dict[str, dict[str, Any]] = tomllib.loads((SCRIPTS / "labels.toml").read_text(encoding="utf-8"))
HANGS_AFTER_S = 3.0


def probe_script(name: str, folder: Path) -> Probed:
    label = LABELS[name]
    patience_s = HANGS_AFTER_S if label.get("refused") == "hang" else 20.0
    options = RunOptions(start_limit_s=90.0, no_progress_limit_s=patience_s)
    folder.mkdir()
    wanted = [window for window in windows() if window.id != REST or not label.get("endless")]
    start = label.get("start", [f"{name}.py"])
    return probe(start, label.get("args", ()), cwd=SCRIPTS, folder=folder, options=options, wanted=wanted)
