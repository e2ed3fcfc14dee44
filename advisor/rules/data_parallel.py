"""`nn.DataParallel` over several accelerators."""

from __future__ import annotations

from ..types import Evidence
from ._base import Example, Hit, Judgement, Rule
from ._examples import gpu, healthy_cpu, healthy_cuda, model

MIN_DEVICES = 2
"""Fewest devices: on a single one the wrapper does nothing."""


def judge(evidence: Evidence) -> Judgement:
    wrapped = [found for found in evidence.workload.models if found.data_parallel]
    devices = len(evidence.hardware.accelerators)
    if not wrapped or devices < MIN_DEVICES:
        return None
    return Hit(
        severity="warning",
        evidence=f"{wrapped[0].class_name} is wrapped in nn.DataParallel over {devices} accelerators: one process "
        "drives them all, copies the model to each in every update, and gathers the outputs on the first.",
        advice="Use one process per device: `DistributedDataParallel`, launched with `torchrun`.",
    )


_TWO = {"hardware": {"accelerators": (gpu(), gpu(index=1))}}
_WRAPPED = {"workload": {"models": (model(device="cuda:0", data_parallel=True),)}}

RULE = Rule(
    id="data_parallel",
    title="one process drives several accelerators through nn.DataParallel",
    headline="uses DataParallel, which copies the model in every update",
    looks_at="Whether a model in the loop is wrapped in nn.DataParallel, and how many accelerators there are.",
    thresholds=("MIN_DEVICES",),
    source="The PyTorch profiler's TensorBoard plug-in recommended DistributedDataParallel instead.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.nn.DataParallel.html",
    knobs=("parallelism", "processes"),
    applies=lambda evidence: evidence.on_accelerator,
    judge=judge,
    needs_updates=False,
    examples=(
        Example(name="two accelerators", evidence=healthy_cuda(**_TWO, **_WRAPPED), fires=True),
        Example(
            name="a wrapped discriminator beside a plain generator",
            evidence=healthy_cuda(
                **_TWO,
                workload={"models": (model(), model(class_name="Discriminator", data_parallel=True))},
            ),
            fires=True,
        ),
        Example(name="one accelerator", evidence=healthy_cuda(**_WRAPPED), fires=False),
        Example(
            name="one process for each device",
            evidence=healthy_cuda(**_TWO, workload={"models": (model(distributed=True),), "world_size": 2}),
            fires=False,
        ),
        Example(name="on a CPU", evidence=healthy_cpu(**_WRAPPED), fires=False),
    ),
)
