"""Configuration file of `accelerate launch`; a launcher has no keys for loaders and batches.

The keys are those of `ClusterConfig` in accelerate 1.15, which refuses unknown ones.
"""

from __future__ import annotations

from typing import Any

from ._base import Draft, Emitter

MIXED = {"fp32": "no", "tf32": "no", "bf16": "bf16", "fp16": "fp16"}


def _emit(draft: Draft) -> str:
    import yaml

    return "# For: accelerate launch --config_file\n" + yaml.safe_dump(_content(draft), sort_keys=False)


def _content(draft: Draft) -> dict[str, Any]:
    training = draft.training
    several = "MULTI_CPU" if training.device == "cpu" else "MULTI_GPU"
    content: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": several if training.processes > 1 else "NO",
        "num_processes": training.processes,
    }
    if training.device is not None:
        content["use_cpu"] = training.device == "cpu"
    _precision(draft, content)
    if draft.has("compile"):
        content["dynamo_config"] = {"dynamo_backend": "INDUCTOR", "dynamo_mode": draft.take("compile")}
    for name in ("micro_batch", "global_batch"):
        draft.leave(
            name,
            "the launcher does not set batch sizes",
            "the loader's batch_size and Accelerator(gradient_accumulation_steps=…) so that "
            + ("a backward pass has {value} samples" if name == "micro_batch" else "an update has {value} samples"),
        )
    if draft.has("threads"):
        draft.leave(
            "threads",
            "an option of the launcher without a key; the default is 1",
            "accelerate launch --num_cpu_threads_per_process {value}",
        )
    else:
        draft.need("--num_cpu_threads_per_process", "the launcher sets OMP_NUM_THREADS=1 if neither is given")
    draft.leave_rest()
    return content


def _precision(draft: Draft, content: dict[str, Any]) -> None:
    if not draft.has("precision"):
        return
    value = str(draft.document.config.as_dict()["precision"])
    content["mixed_precision"] = MIXED.get(value, "no")
    if value == "tf32" or value not in MIXED:
        draft.leave("precision", "mixed_precision has no such value")
    draft.take("precision")


EMITTER = Emitter(
    id="accelerate",
    title="configuration of accelerate launch",
    file_name="accelerate.yaml",
    usage="accelerate launch --config_file accelerate.yaml {command}",
    emit=_emit,
    starts_script=True,
)
