"""Compile the model's forward and backward pass: operators are fused and called without Python in between.

`blocks` compiles one of the model's repeated blocks for all of them, a GPT of twelve in half the time; what lies
between them stays as it is. The modes of `torch.compile` compile the whole model.

The first updates are slow because they compile; the report says after how many updates that has paid off.
Evaluation is not compiled. Dropout draws the same random numbers, so that only rounding differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ._base import NO_MODEL, Knob, PlainObjects, Unable, Values, always, one_of, unable

if TYPE_CHECKING:
    from ..types import Hardware, Workload

DEFAULT, GRAPHS, TUNED = MODES = ("default", "reduce-overhead", "max-autotune-no-cudagraphs")
"""Modes of `torch.compile`."""
BLOCKS = "blocks"
"""Each repeated block compiled by itself, in the default mode: one compilation serves all of them."""
NAMES = (*MODES, BLOCKS)
MANY_BLOCKS = 6
"""Repeated blocks from which compiling one in place of all saves most of the time."""
TRITON_CAPABILITY = (7, 0)
"""Oldest compute capability that Triton, which writes the kernels, supports."""


def _values(hardware: Hardware, workload: Workload) -> Values:
    closed = _closed(workload)
    if closed is not None:
        return Values(why_closed=closed)
    if workload.device == "cpu":
        return _of_cpu(workload)
    if workload.device == "cuda":
        return _of_cuda(hardware, workload)
    return Values(why_closed=f"torch.compile is not known to help on {workload.device}")


def _of_cpu(workload: Workload) -> Values:
    if workload.facts.cxx is False:
        return Values(why_closed="no C++ compiler was found (g++, or what CXX names): torch.compile needs one on a CPU")
    return Values(values=_default(workload), why="on a CPU all modes are equivalent")


def _of_cuda(hardware: Hardware, workload: Workload) -> Values:
    if workload.facts.triton is False:
        return Values(why_closed="Triton is not installed: torch.compile needs it on CUDA")
    capability = hardware.accelerators[0].compute_capability if hardware.accelerators else None
    if capability is not None and capability < TRITON_CAPABILITY:
        version = ".".join(map(str, capability))
        return Values(why_closed=f"compute capability {version} is too old for Triton, which needs 7.0")
    if workload.fixed_shapes is False:
        why = "shapes change, and CUDA graphs and tuned kernels need fixed ones"
        return Values(values=_default(workload), why=why)
    if workload.facts.launches_limit:
        why = "CUDA graphs launch many kernels at once; shapes are fixed"
        return Values(values=(GRAPHS, *_default(workload), TUNED), why=why)
    return Values(values=(*_default(workload), GRAPHS, TUNED), why="shapes are fixed")


def _default(workload: Workload) -> tuple[str, ...]:
    """Return the values of the default mode, those first that compile sooner."""
    return (BLOCKS, DEFAULT) if workload.facts.repeated_block_count >= MANY_BLOCKS else (DEFAULT,)


def _closed(workload: Workload) -> str | None:
    if not workload.models:
        return "no model called as a module was seen"
    for model in workload.models:
        if model.compiled:
            return f"the script already compiles {model.class_name}"
        if model.data_parallel or model.distributed:
            return f"{model.class_name} is wrapped for several devices: compiling inside the wrapper is not tried"
    if workload.facts.compiled_code:
        return "the script uses torch.compile itself"
    return None


def _wrong(value: Any) -> str | None:
    return None if value is True else one_of(*NAMES)(value)


def mode_of(value: Any) -> Any:
    """Return the mode of `torch.compile`; files that hold true mean the default one."""
    return DEFAULT if value is True or value == BLOCKS else value


def _plain(objects: PlainObjects, value: Any) -> str | None:
    import torch

    if objects.model is None:
        return NO_MODEL
    if value == BLOCKS:
        return "compile each block of the model: block.compile()"
    objects.model = torch.compile(objects.model, mode=mode_of(value))
    return None


def _in_accelerate(value: Any, _training: Any) -> Mapping[str, Any]:
    regional = {"dynamo_use_regional_compilation": True} if value == BLOCKS else {}
    return {"dynamo_config": {"dynamo_backend": "INDUCTOR", "dynamo_mode": mode_of(value), **regional}}


def _in_python(value: Any, _training: Any) -> Mapping[str, Any] | Unable:
    if value == BLOCKS:
        return Unable("which modules are the blocks is the model's own", "call block.compile() for each of them")
    return {"prepare": [f"model = torch.compile(model, mode={mode_of(value)!r})"]}


def _in_transformers(value: Any, _training: Any) -> Mapping[str, Any] | Unable:
    if value == BLOCKS:
        return Unable("TrainingArguments compile whole models only", "call block.compile() for each block first")
    return {"torch_compile": True, "torch_compile_mode": mode_of(value)}


def _in_deepspeed(value: Any, _training: Any) -> Unable:
    return Unable(
        "the section compile is for DeepCompile, which was not measured",
        f"engine.compile(compile_kwargs={{{{'mode': '{mode_of(value)}'}}}})",
    )


KNOB = Knob(
    id="compile",
    title="compilation of the model (torch.compile)",
    values=_values,
    example="default",
    effect=always("numerics"),
    apply=lambda controls, value: controls.compiling.set(DEFAULT if value is True else value),
    restore=lambda controls: controls.compiling.restore(),
    shortens_computing=True,
    set_up="compiling",
    set_up_s=20.0,  # a GPT-2 of 124M takes twice as long on an H100, a small model a third
    set_up_s_of={BLOCKS: 10.0},
    wrong=_wrong,
    by_hand="model = torch.compile(model, mode={value!r})",
    by_hand_of={True: "model = torch.compile(model)", BLOCKS: "call block.compile() for each repeated block"},
    chosen_for=("device", "torch"),
    fails_in="forward",
    suspicion=6,
    plain=_plain,
    after_others=True,
    formats={
        "accelerate": _in_accelerate,
        "deepspeed": _in_deepspeed,
        "lightning": unable("the Trainer does not compile: compile the model before fit()"),
        "python": _in_python,
        "transformers": _in_transformers,
    },
    changes="Compilation delays the first updates by seconds to minutes; losses may differ in their last digits.",
    hooks=("model",),
    set_on=("model", "forward"),
    described=lambda workload, value: replace(workload, facts=replace(workload.facts, compiled_code=bool(value))),
)
