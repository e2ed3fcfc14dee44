"""Configuration file of `accelerate launch`; a launcher has no keys for loaders and batches.

The keys are those of `ClusterConfig` in accelerate 1.15, which refuses unknown ones.
"""

from __future__ import annotations

from typing import Any

from ._base import Draft, Emitter


def _emit(draft: Draft) -> str:
    import yaml

    return "# For: accelerate launch --config_file\n" + yaml.safe_dump(_content(draft), sort_keys=False)


def _content(draft: Draft) -> dict[str, Any]:
    training = draft.training
    several = "MULTI_CPU" if training.device == "cpu" else "MULTI_GPU"
    content: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": several if draft.processes > 1 else "NO",
        "num_processes": draft.processes,
    }
    if training.device is not None:
        content["use_cpu"] = training.device == "cpu"
    content |= draft.express()
    if "OMP_NUM_THREADS" not in content.pop("environment", {}):
        draft.need("--num_cpu_threads_per_process", "the launcher sets OMP_NUM_THREADS=1 if neither is given")
    return content


EMITTER = Emitter(
    id="accelerate",
    title="configuration of accelerate launch",
    file_name="accelerate.yaml",
    usage="accelerate launch --config_file accelerate.yaml {command}",
    emit=_emit,
    starts_script=True,
)
