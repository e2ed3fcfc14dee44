"""How several processes train one model: `ddp` copies it to each of them, `fsdp2` cuts it into as many pieces.

The script stays a script for one process. Every process runs it; except with `tensor`, each takes its share of every
batch of the training's loader, and their gradients are averaged in each backward: an update sees the same batch as
before. The first process is the script's own. The others write into a view that is thrown away, and their output is
only shown if they fail.

`ddp` is torch's DistributedDataParallel, entered and left around the model's call as torch's composable `replicate`
does: the model's class stays. Until it has seen an update it averages after the backward; that is also how models are
trained whose calls are not to be seen, several models of one loss, and backwards that repeat.

`fsdp2` is torch's `fully_shard` on the model and on each of its repeated blocks. Parameters are gathered for a block's
forward and again for its backward; with `fsdp2_no_reshard` they stay gathered in between: faster, with more memory.
`fsdp2_hybrid` is two replicas, each in pieces on half of the processes: for devices on several nodes, between which
only gradients are sent then. The processes of `advisor run` are all on one node, so no search tries it.

`tensor` shares out the layers of each block: those that widen by columns, the one that takes their output by rows
(torch's `parallelize_module`). Every process sees the whole batch, so it needs no loader whose batches could be shared
out. A block's layers are found in a trace of its first forward, and stay shared only if output and gradients are the
same as without it. All else is the same on every process, which draws the same random numbers.

A script that wraps its model in `nn.DataParallel` keeps the wrapper and the names in its checkpoints; in each process
it passes calls on to the model. Where an update has several backwards, `ddp` communicates in the last one only, once
three updates had the same number of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import Knob, PlainObjects, Unable, Values, one_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..types import Hardware, Workload
    from ._controls import Controls

SINGLE, DDP, FSDP2, FSDP2_NO_RESHARD, FSDP2_HYBRID = "single", "ddp", "fsdp2", "fsdp2_no_reshard", "fsdp2_hybrid"
TENSOR = "tensor"
BY_HAND_OF_TENSOR = (
    "torch.distributed.tensor.parallel.parallelize_module with ColwiseParallel and RowwiseParallel on each block, "
    "before the optimizer is made, started by torchrun, with the same batches on each process"
)
BY_HAND_IN_HYBRID = (
    "torch.distributed.fsdp.fully_shard(..., mesh=init_device_mesh(device, (2, processes // 2))) on each block and the "
    "model, before the optimizer is made, and a DistributedSampler, started by torchrun"
)


def _values(hardware: Hardware, workload: Workload) -> Values:
    why = why_single(hardware, workload)
    if why is not None:
        return Values(why_closed=why)
    # Processes that nothing is said of hold copies. Layers in parts are tried last: they pay where others do not fit.
    return Values(values=(FSDP2, TENSOR), why=f"{devices(hardware, workload)} processes could train")


def devices(hardware: Hardware, workload: Workload) -> int:
    """Return the number of accelerators of the kind that the script trains on; of CPUs, if it trains on them."""
    if workload.device == "cpu":
        return int(hardware.cpu.usable_cpus)
    return sum(one.kind == workload.device for one in hardware.accelerators)


def why_single(hardware: Hardware, workload: Workload) -> str | None:
    """Return why one process should train here; None if several may."""
    if workload.world_size > 1:
        return f"the script itself trains with {workload.world_size} processes"
    there = devices(hardware, workload)
    if there < 2:
        return (
            f"single: {there} {'CPU is usable' if workload.device == 'cpu' else f'{workload.device} device is there'}"
        )
    if workload.train_loader is None:
        return "single: no DataLoader feeds the training, so that its batches cannot be shared out"
    if workload.train_loader.iterable:
        return "single: the training's dataset is iterable, so that its samples cannot be shared out"
    return None


def _effect(_hardware: Hardware, workload: Workload) -> str:
    """Return `training` where batch norm sees the share of one process; else gradients are sums in another order."""
    return (
        "training" if any("BatchNorm" in layer for model in workload.models for layer in model.layers) else "numerics"
    )


def _apply(controls: Controls, value: Any) -> None:
    controls.parallel.set(value, lambda why: controls.broke(KNOB.id, why))


def _plain(_objects: PlainObjects, value: Any) -> str | None:
    return None if value == SINGLE else KNOB.described_by_hand(value)


def _in_accelerate(value: Any, _training: Any) -> Mapping[str, Any] | Unable:
    if value == FSDP2_HYBRID:
        return Unable("accelerate wants the sizes of a mesh for it", "{value} in the script: " + BY_HAND_IN_HYBRID)
    if value == TENSOR:
        return Unable(
            "accelerate wants a plan of the model's own for it", "{value} in the script: " + BY_HAND_OF_TENSOR
        )
    if value not in (FSDP2, FSDP2_NO_RESHARD):
        return {}
    return {
        "distributed_type": "FSDP",
        "fsdp_config": {
            "fsdp_version": 2,
            "fsdp_reshard_after_forward": value == FSDP2,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_state_dict_type": "FULL_STATE_DICT",
        },
    }


def _in_torchrun(value: Any, _training: Any) -> Mapping[str, Any] | Unable:
    if value == SINGLE:
        return {}
    return Unable("a launcher only starts processes", "{value} in the script: " + KNOB.described_by_hand(value))


KNOB = Knob(
    id="parallelism",
    title="how several processes train one model",
    values=_values,
    example=DDP,
    effect=_effect,
    apply=_apply,
    restore=lambda controls: controls.parallel.restore(),
    scope="launch",
    starts_ranks=True,
    shortens_computing=True,
    set_on=("model", "optimizer"),
    wrong=one_of(SINGLE, DDP, FSDP2, FSDP2_NO_RESHARD, FSDP2_HYBRID, TENSOR),
    needs="processes",
    excludes=("micro_batch", "early_stopping"),
    by_hand="torch.nn.parallel.DistributedDataParallel(model) and a DistributedSampler, started by torchrun",
    by_hand_of={
        SINGLE: "one process",
        FSDP2: "torch.distributed.fsdp.fully_shard on each block and the model, before the optimizer is made, and a "
        "DistributedSampler, started by torchrun",
        FSDP2_NO_RESHARD: "torch.distributed.fsdp.fully_shard(..., reshard_after_forward=False) on each block and the "
        "model, before the optimizer is made, and a DistributedSampler, started by torchrun",
        FSDP2_HYBRID: BY_HAND_IN_HYBRID,
        TENSOR: BY_HAND_OF_TENSOR,
    },
    chosen_for=("device",),
    plain=_plain,
    formats={"accelerate": _in_accelerate, "torchrun": _in_torchrun},
    changes="Each process sees its share of every batch: what the script prints of training batches is of the first "
    "process' share, dropout and augmentations draw other numbers, and batch norm sees fewer samples.",
)
