"""cuDNN tries its algorithms for every shape that it meets, and keeps the fastest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import Knob, Values, truth
from ._layers import convolutions

if TYPE_CHECKING:
    from ..types import Hardware, Workload


def _values(_hardware: Hardware, workload: Workload) -> Values:
    flags = workload.flags
    if workload.device != "cuda":
        return Values(why_closed=f"the training runs on {workload.device}: cuDNN is for CUDA devices")
    if flags.cudnn_benchmark:
        return Values(why_closed="the script has set torch.backends.cudnn.benchmark already")
    if flags.deterministic:
        return Values(why_closed="the script asks for deterministic algorithms: trying others would not be that")
    if not convolutions(workload, any_rank=True):
        return Values(why_closed="the model has no convolutions")
    if workload.fixed_shapes is False:
        return Values(why_closed="the shapes of the batches differ: it would try all algorithms for every new one")
    return Values(values=(True,), why=f"{convolutions(workload, any_rank=True)} convolutions on batches of one shape")


def _tier(_hardware: Hardware, _workload: Workload) -> str:
    """Another algorithm rounds otherwise, and which one wins may differ from run to run."""
    return "numerics"


def _apply(bench: Any, value: Any) -> None:
    import torch

    bench.saved.setdefault("cudnn_benchmark", torch.backends.cudnn.benchmark)
    torch.backends.cudnn.benchmark = value


def _restore(bench: Any) -> None:
    import torch

    if "cudnn_benchmark" in bench.saved:
        torch.backends.cudnn.benchmark = bench.saved.pop("cudnn_benchmark")


KNOB = Knob(
    id="cudnn_benchmark",
    title="cuDNN chooses by trying",
    scope="live",
    values=_values,
    tier=_tier,
    apply=_apply,
    restore=_restore,
    usual_on_accelerator=True,
    wrong=truth,
    changes="The first update of each shape takes longer; losses may differ in their last digits, and from run to run.",
    hooks=(),
)
