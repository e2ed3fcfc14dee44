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
    size = f"{wrapped[0].parameter_bytes / 1e6:,.3g} MB of parameters"
    others = "the other one" if devices == MIN_DEVICES else f"each of the other {devices - 1}"
    return Hit(
        severity="warning",
        evidence=f"{wrapped[0].class_name} is wrapped in nn.DataParallel over {devices} accelerators: in every forward "
        f"it copies {size} to {others}, one Python process then drives all of them, gathers the outputs on the first, "
        "and adds up as many gradients there; the optimizer steps on that one alone.",
        advice="Use one process per device, which sends gradients only, while the backward still computes: "
        "`DistributedDataParallel`, launched with `torchrun`. `parallelism` does it without an edit: the wrapper then "
        "passes calls on to the model, and its checkpoints keep their names.",
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
