"""Command line of `torchrun`, with its environment; most settings have no place in a launcher."""

from __future__ import annotations

import shlex

from ._base import Draft, Emitter


def _emit(draft: Draft) -> str:
    processes = draft.processes
    environment = _environment(draft)
    command = ["torchrun", "--standalone", "--nnodes=1", f"--nproc-per-node={processes}"]
    if draft.launcher[:1] == command[:1]:
        command = draft.launcher
    if not draft.document.found.get("command"):
        draft.need("train.py", "the file does not name its script")
    lines = ["#!/bin/sh", f"# torchrun with the settings for {draft.command()}", *environment]
    return "\n".join([*lines, f'exec {shlex.join(command)} {draft.command()} "$@"', ""])


def _environment(draft: Draft) -> list[str]:
    variables = draft.express().get("environment", {})
    if "OMP_NUM_THREADS" not in variables and draft.processes > 1:
        draft.need("OMP_NUM_THREADS", "torchrun sets 1 by default with several processes")
    return [f"export {name}={value}" for name, value in variables.items()]


EMITTER = Emitter(
    id="torchrun",
    title="command line of torchrun",
    file_name="torchrun.sh",
    usage="sh torchrun.sh",
    emit=_emit,
    starts_script=True,
)
