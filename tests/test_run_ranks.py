"""`advisor run` with torchrun: the settings hold on every rank, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from runtime.rank_scripts import training

SETTINGS = "version: 1\nsettings: {threads: 2, fused_optimizer: fused}\n"
SAID = "print(f'{rank}: {torch.get_num_threads()} {optimizer.param_groups[0][\"fused\"]}') if step == 5 else 0"
LEAVES = "; sys.exit(3) if step == 6 and rank == 1 else 0"


@pytest.mark.slow(6)
@pytest.mark.parametrize("fails", [False, True])
def test_settings_on_every_rank(tmp_path: Path, fails: bool) -> None:
    (tmp_path / "advisor.yaml").write_text(SETTINGS)
    line = training(tmp_path, updates="8", each=SAID + (LEAVES if fails else ""))
    argv = [sys.executable, "-m", "advisor", "run", "--config", "advisor.yaml", "torchrun", *line]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert sorted(done.stdout.split("\n")) == ["", "0: 2 True", "1: 2 True"]
    assert done.returncode == (1 if fails else 0), done.stderr
    assert not list(temporary.glob("advisor-run-*"))
