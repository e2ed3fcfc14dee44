"""Gradients on accelerators are sent by a backend for CPUs."""

from __future__ import annotations

from ..types import Ceiling, Evidence
from ._base import Example, Hit, Judgement, Rule, severity_of
from ._rank_examples import on_cpus, on_devices
from ._read import duration, percent

LEAST_SHARE = 0.0
"""Share of an update that is known to be lost where the wait was not measured: none is claimed."""
FOR_CPUS = ("gloo", "mpi")
"""Backends that take tensors through the host's memory; MPI does so unless it was built for the device."""


def judge(evidence: Evidence) -> Judgement:
    facts, found = evidence.workload.ranks, evidence.communication
    if facts is None or facts.backend not in FOR_CPUS:
        return None
    share = LEAST_SHARE if found is None else found.sending_share
    spent = "" if found is None else f"; that takes {duration(found.sending_s)} of an update ({percent(share)})"
    return Hit(
        share=share,
        severity=severity_of(share, least="warning"),
        evidence=f"The gradients of {evidence.workload.world_size} ranks lie on {evidence.workload.device} and go "
        f"over {facts.backend}, which takes them through the host's memory and its CPUs{spent}.",
        advice=f"Use the device's own backend: `{_call(evidence.workload.device)}`.",
        ceiling=Ceiling.from_share(share) if share > LEAST_SHARE else None,
    )


def _call(device: str) -> str:
    backend = {"cuda": "nccl", "xpu": "xccl"}.get(device, "")
    return f'init_process_group("{backend}")' if backend else "init_process_group()"


RULE = Rule(
    id="wrong_backend",
    title="a backend for CPUs sends the gradients of accelerators",
    headline="sends gradients of accelerators over a backend for CPUs",
    looks_at="The device of the models, and the backend of the group that sends their gradients.",
    thresholds=("LEAST_SHARE",),
    source="PyTorch's profiler plug-in for TensorBoard recommended NCCL on GPUs; torch.distributed's page says which "
    "backend to use where.",
    url="https://docs.pytorch.org/docs/stable/distributed.html#which-backend-to-use",
    applies=lambda evidence: evidence.on_accelerator and evidence.workload.world_size > 1,
    judge=judge,
    needs_updates=False,
    examples=(
        Example(name="gloo on CUDA", evidence=on_devices((0.06, 0.06), facts={"backend": "gloo"}), fires=True),
        Example(
            name="MPI on CUDA, the wait was not seen",
            evidence=on_devices(facts={"backend": "mpi"}, communication={"sending_s": 0.0}),
            fires=True,
        ),
        Example(name="NCCL on CUDA", evidence=on_devices(), fires=False),
        Example(name="gloo on CPUs", evidence=on_cpus((0.06, 0.06)), fires=False),
    ),
)
