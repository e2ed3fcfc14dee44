"""Batch script for Slurm: the training under torchrun on all nodes of a job, or as an array the workers of a study."""

from __future__ import annotations

import math
import shlex
from typing import Any

from ._base import Draft, Emitter

MOST_CPUS = 4096
WAIT = "10m"
"""Longest time that a worker waits for its study: jobs of an array may start before the search that begins it."""
_HEAD = """\
#!/bin/bash
# sbatch slurm.sh                  trains, under torchrun on all nodes of the job: {command}
# sbatch --array=1-4 slurm.sh      runs four workers of the study $ADVISOR_STUDY in the database $ADVISOR_STORAGE,
#                                  which advisor tune --storage URL --study NAME has begun
#SBATCH --job-name=advisor
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
"""
_WORKERS = f"""\
set -euo pipefail

if [ -n "${{SLURM_ARRAY_TASK_ID:-}}" ]; then
    : "${{ADVISOR_STUDY:?is not set: the name of the study}}"
    : "${{ADVISOR_STORAGE:?is not set: the URL of the database, which stays out of this file}}"
    exec srun --ntasks=1 advisor worker --study "$ADVISOR_STUDY" --wait {WAIT}
fi
"""
_TRAINING = """\
read -r head < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
"""


def _emit(draft: Draft) -> str:
    processes = draft.training.processes
    variables = draft.express().get("environment", {})
    if not draft.document.found.get("command"):
        draft.need("train.py", "the file does not name its script")
    draft.need("#SBATCH --time, --account, --partition", "as your cluster asks for them")
    directives = [f"#SBATCH --{name}={value}" for name, value in _resources(draft)]
    exports = [f"export {name}={value}" for name, value in variables.items()]
    launch = [
        "exec srun torchrun",
        '--nnodes="$SLURM_JOB_NUM_NODES"',
        f"--nproc-per-node={processes}",
        '--rdzv-id="$SLURM_JOB_ID"',
        "--rdzv-backend=c10d",
        '--rdzv-endpoint="$head:$((20000 + SLURM_JOB_ID % 20000))"',
        *shlex.split(draft.command()),
    ]
    words = [*launch[:6], *map(shlex.quote, launch[6:]), '"$@"']
    return "\n".join(
        [
            _HEAD.format(command=draft.command()) + "\n".join([*directives, _WORKERS]),
            *exports,
            _TRAINING + " ".join(words),
            "",
        ]
    )


def _resources(draft: Draft) -> list[tuple[str, int]]:
    """Return what a node of the job must have, as far as the file says what the search had."""
    found: list[tuple[str, int]] = []
    hardware = draft.document.found.get("hardware")
    cpus: Any = hardware.get("usable_cpus") if isinstance(hardware, dict) else None
    if isinstance(cpus, int | float) and not isinstance(cpus, bool) and 1 <= cpus <= MOST_CPUS:
        found.append(("cpus-per-task", math.floor(cpus)))
    if draft.training.device == "cuda":
        found.append(("gpus-per-node", draft.training.processes))
    return found


EMITTER = Emitter(
    id="slurm",
    title="batch script for Slurm",
    file_name="slurm.sh",
    usage="sbatch slurm.sh",
    emit=_emit,
    starts_script=True,
    forms_of="torchrun",
)
