"""Cost of a script's model from a profile: what was measured of its parameters, activations, blocks and times.

The measured time is split into products, at the rate that such a device reaches, and the rest, which is taken to be
bound by the memory's bandwidth. So the plan for one device of the measured kind is the measured time itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import NothingMeasuredError
from ..spelling import parameter
from ..types import BlockUse, Hardware, MemoryUse, Profile, Recompute, Workload
from .cluster import UNKNOWN_BANDWIDTH, UNKNOWN_PEAK
from .cost import UNCERTAINTY, BlockCost, Chain, Link, ModelCost, Work
from .figures import Achieved, achieved

MOST_OF_THE_TIME = 0.95
"""Largest part of the measured time that products may take: some time always goes to the operators between them."""
TRAFFIC_OF_KEPT = 6.0
"""Bytes moved for a byte kept for the backward, where no time of a similar device is known: written and read in the
forward, and read with its gradient in the backward."""
LOSS_GRADIENTS = 2.0
"""Gradients of a loss's activations that are there at once: that of the loss, and that of its softmax."""
AUTOCAST = {"bfloat16": "bf16", "float16": "fp16"}
COMPUTED = ("forward", "backward", "host_to_device", "other")
"""Phases whose time belongs to a sample's work: data are taken to arrive in time, and the optimizer counts apart."""
COUNTED_UNCERTAINTY = 0.5
"""Relative error of times that follow from counted FLOPs and bytes."""
GRADIENT_TRAFFIC = 12.0
"""Bytes that any optimizer's step moves for a float32 parameter: read it and its gradient, and write it."""
NO_HEADS = "a profile does not show the heads of a model: give its sizes in place of the script"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Parts of a profile that a plan needs."""

    workload: Workload
    hardware: Hardware
    memory: MemoryUse
    micro_batch: float
    """Samples of one backward on one device."""
    samples: float
    """Samples of an update."""
    blocks: BlockUse | None
    flops: float
    """FLOPs of a sample, each product once."""
    seconds: float
    """Measured time of a sample's forward and backward, with the copy to the device and other code."""
    output_bytes: float
    """Bytes of the model's outputs of one backward."""
    gradients_in_forward: bool
    optimizer_s: float
    """Measured time of the optimizer in an update."""
    products_bytes: float
    """Bytes of a sample's operands of products."""

    @property
    def parameters(self) -> int:
        return sum(model.parameters for model in self.workload.models)


def precision_of(profile: Profile) -> str:
    """Return the precision of the script's products."""
    workload = _needed(profile).workload
    if workload.flags.autocast_dtype in AUTOCAST:
        return AUTOCAST[workload.flags.autocast_dtype]
    dtype = profile.compute.peak_dtype if profile.compute is not None else None
    return dtype if dtype in ("fp64", "fp32", "tf32", "bf16", "fp16") else "fp32"


def global_batch_of(profile: Profile) -> int:
    """Return the samples of an update of the script."""
    return max(1, round(_needed(profile).samples))


def from_profile(profile: Profile, *, precision: str, scaled: bool) -> ModelCost:
    """Return the cost of the profile's model.

    `scaled` takes the measured time as the basis; without it, the time is that of the counted FLOPs and bytes, as for a
    device of another kind than the measured one. Raises NothingMeasuredError if the profile lacks what is needed.
    """
    measured = _needed(profile)
    if not scaled and not measured.flops:
        raise NothingMeasuredError(
            "the profile counted no FLOPs, as with compiled code or in too little time, and is of a device of another "
            f"kind: profile it by itself without torch.compile, for longer ({parameter('budget', '2m')}), or on an "
            f"accelerator, and plan from that ({parameter('profile', 'latest')})"
        )
    reached = achieved(_capability(measured.hardware))
    forward, backward = _work(measured, reached, precision, scaled=scaled)
    kept = _kept(measured)
    blocks, memory = measured.blocks, measured.memory
    parameters = float(max(1, measured.parameters))
    count = blocks.count if blocks is not None else 1
    share = min(1.0, 3 * (blocks.flops_fraction or blocks.seconds_fraction)) if blocks is not None else 0.0
    of_blocks = blocks.parameters if blocks is not None else 0
    block = _block(blocks, kept, forward.times(share / count), backward.times(share / count), measured)
    trained = sum(model.trainable_parameters for model in measured.workload.models) or parameters
    return ModelCost(
        name=" + ".join(model.class_name for model in measured.workload.models) or "the script's model",
        basis="profile",
        unit="samples",
        units_per_sample=1,
        blocks=count,
        block=block,
        first_parameters=0.0,
        last_parameters=parameters - of_blocks,
        last_forward=forward.times(1 - share),
        last_backward=backward.times(1 - share),
        last_kept_bytes=kept.around,
        last_working_bytes=_working(measured, kept),
        model_flops=measured.flops,
        parameter_bytes=(memory.parameters_bytes or 4 * parameters) / parameters,
        compute_bytes=(memory.parameters_bytes or 4 * parameters) / parameters,
        gradient_bytes=(memory.gradients_bytes or 4 * trained) / parameters,
        optimizer_bytes=(memory.optimizer_bytes or 0) / parameters,
        optimizer_traffic_bytes=_optimizer_traffic(measured, reached, precision, scaled=scaled),
        optimizer_temporary=_temporary(measured.workload),
        launches=_launches(profile),
        uncertainty=UNCERTAINTY if scaled else COUNTED_UNCERTAINTY,
        cast_bytes=2.0 if measured.workload.flags.autocast_dtype in AUTOCAST else 0.0,
        forward_working_bytes=measured.output_bytes / measured.micro_batch + _loss_copy(measured),
        gradients_in_forward=measured.gradients_in_forward,
        chain=_chain(measured, share, kept.around),
        why_no_tensor=NO_HEADS,
        why_no_blocks=_why_no_blocks(profile),
        notes=_notes(measured, scaled),
    )


def _needed(profile: Profile) -> Measured:
    workload, steps, memory, compute = profile.workload, profile.steps, profile.memory, profile.compute
    if workload is None or steps is None or memory is None or compute is None:
        raise NothingMeasuredError("the profile measured no update: a plan needs its parameters, activations and times")
    if profile.trace is None:
        raise NothingMeasuredError(
            "the profile had no time for the updates that count FLOPs and activations, which a plan needs: profile for "
            f"longer, such as with {parameter('budget', '2m')}"
        )
    loader = workload.train_loader
    a_batch = loader.batch_size * workload.batches_per_update if loader is not None and loader.batch_size else None
    samples = float(steps.samples_per_update or a_batch or 1)
    operators = profile.trace.operators
    in_step_s = steps.mean_s * sum(profile.phases.get(name, 0.0) for name in COMPUTED)
    return Measured(
        workload=workload,
        hardware=profile.hardware,
        memory=memory,
        micro_batch=max(1e-9, samples / workload.world_size / max(1, workload.facts.micro_steps)),
        samples=samples,
        blocks=operators.blocks if operators is not None else None,
        flops=(compute.flops_per_update or 0) * workload.world_size / samples,
        seconds=in_step_s * workload.world_size / samples,
        output_bytes=0.0 if operators is None else operators.output_bytes / max(1, workload.facts.micro_steps),
        gradients_in_forward=operators is not None and operators.gradients_in_forward,
        optimizer_s=steps.mean_s * profile.phases.get("optimizer", 0.0),
        products_bytes=(compute.bytes_per_update or 0) * workload.world_size / samples,
    )


def _capability(hardware: Hardware) -> tuple[int, int] | None:
    return hardware.accelerators[0].compute_capability if hardware.accelerators else None


def _work(measured: Measured, reached: Achieved, precision: str, *, scaled: bool) -> tuple[Work, Work]:
    """Return the work of a sample's forward and backward."""
    if scaled:
        peak, bandwidth = _peaks(measured, precision)
        products_s = measured.flops / (peak * reached.matrix.value)
        most_s = MOST_OF_THE_TIME * measured.seconds
        flops = measured.flops * min(1.0, most_s / products_s if products_s else 1.0)
        rest_s = max(0.0, measured.seconds - min(products_s, most_s))
        traffic = rest_s * bandwidth * reached.memory.value
    else:
        flops = measured.flops
        kept = (measured.memory.activations_bytes or 0) / measured.micro_batch
        traffic = measured.products_bytes + TRAFFIC_OF_KEPT * kept
    whole = Work(matrix_flops=flops, traffic_bytes=traffic)
    return whole.times(1 / 3), whole.times(2 / 3)


def _peaks(measured: Measured, precision: str) -> tuple[float, float]:
    """Return the measured device's peak and bandwidth, or those that stand for unknown ones."""
    hardware = measured.hardware
    on_device = measured.workload.device != "cpu" and bool(hardware.accelerators)
    rates = hardware.accelerators[0].peak_flops if on_device else hardware.cpu_peak_flops
    bandwidth = hardware.accelerators[0].memory_bandwidth if on_device else hardware.cpu_memory_bandwidth
    peak = rates.get(precision)
    return (
        peak.value if peak is not None else UNKNOWN_PEAK,
        bandwidth.value if bandwidth is not None else UNKNOWN_BANDWIDTH,
    )


@dataclass(frozen=True, kw_only=True)
class _KeptBytes:
    """Activations of a sample that the backward needs."""

    a_block: float
    around: float


def _kept(measured: Measured) -> _KeptBytes:
    """Return the kept activations of a sample, without the copies of weights that autocast makes."""
    memory, blocks = measured.memory, measured.blocks
    whole = float(memory.activations_bytes or 0)
    steps = max(1, measured.workload.facts.micro_steps)
    inside = min(whole, blocks.kept_bytes / steps) if blocks is not None else 0.0
    around = whole - inside
    if measured.workload.flags.autocast_dtype in AUTOCAST:
        of_blocks = blocks.parameters if blocks is not None else 0
        inside -= min(inside / 2, 2.0 * of_blocks)
        around -= min(around / 2, 2.0 * (measured.parameters - of_blocks))
    count = blocks.count if blocks is not None else 1
    return _KeptBytes(a_block=inside / count / measured.micro_batch, around=around / measured.micro_batch)


def _block(blocks: BlockUse | None, kept: _KeptBytes, forward: Work, backward: Work, measured: Measured) -> BlockCost:
    if blocks is None:
        nothing: Mapping[Recompute, Any] = {"none": Work()}
        return BlockCost(
            parameters=0.0,
            forward=Work(),
            backward=Work(),
            recompute=nothing,
            kept_bytes={"none": 0.0},
            working_bytes=0.0,
            boundary_bytes=0.0,
        )
    steps = max(1, measured.workload.facts.micro_steps)
    boundary = blocks.input_bytes / steps / blocks.count / measured.micro_batch
    recompute: dict[Recompute, Work] = {"none": Work()}
    kept_bytes: dict[Recompute, float] = {"none": kept.a_block}
    if 0 < boundary < kept.a_block:
        recompute["full"], kept_bytes["full"] = forward, boundary
    return BlockCost(
        parameters=blocks.parameters / blocks.count,
        forward=forward,
        backward=backward,
        recompute=recompute,
        kept_bytes=kept_bytes,
        working_bytes=kept.a_block,
        boundary_bytes=boundary,
    )


def _chain(measured: Measured, share: float, around: float) -> Chain | None:
    """Return the blocks with their time and memory; the blocks' `share` in the whole time is known, or their sizes."""
    blocks, memory = measured.blocks, measured.memory
    if blocks is None or not blocks.each or not all(one.name for one in blocks.each):
        return None
    state = sum(filter(None, (memory.parameters_bytes, memory.gradients_bytes, memory.optimizer_bytes)))
    a_parameter = state / max(1, measured.parameters) or 1.0
    of_forwards = sum(one.seconds_fraction for one in blocks.each)
    timed = of_forwards > 0 and share > 0
    steps = max(1, measured.workload.facts.micro_steps)
    links = tuple(
        Link(
            name=one.name,
            seconds=share * one.seconds_fraction / of_forwards if timed else 0.0,
            bytes=a_parameter * one.parameters + one.kept_bytes / steps,
        )
        for one in blocks.each
    )
    outside = max(0, measured.parameters - blocks.parameters)
    return Chain(
        links=links,
        rest_seconds=1 - share if timed else 0.0,
        rest_bytes=a_parameter * outside + around * measured.micro_batch,
        by="measured time and memory" if timed else "parameters and kept activations",
    )


def _working(measured: Measured, kept: _KeptBytes) -> float:
    """Return the memory at hand at the start of a backward, for a sample: what the device's peak shows, or the output
    and two gradients of the loss's largest activation."""
    memory = measured.memory
    if memory.device != "cpu" and memory.peak_bytes:
        state = (memory.parameters_bytes or 0) + (memory.optimizer_bytes or 0) + (memory.activations_bytes or 0)
        return max(0.0, memory.peak_bytes - state) / measured.micro_batch
    last = memory.loss_activation_bytes
    if last is None:
        return LOSS_GRADIENTS * kept.around
    return (LOSS_GRADIENTS * last + measured.output_bytes) / measured.micro_batch


def _optimizer_traffic(measured: Measured, reached: Achieved, precision: str, *, scaled: bool) -> float:
    """Return the bytes that the optimizer moves for a parameter: those that its measured time stands for."""
    if scaled:
        _peak, bandwidth = _peaks(measured, precision)
        return measured.optimizer_s * bandwidth * reached.memory.value / max(1, measured.parameters)
    return GRADIENT_TRAFFIC + 2 * (measured.memory.optimizer_bytes or 0) / max(1, measured.parameters)


def _loss_copy(measured: Measured) -> float:
    """Return the bytes of the output in float32, which autocast makes for the loss of a sample."""
    last = measured.memory.loss_activation_bytes or 0
    return last / measured.micro_batch if measured.workload.flags.autocast_dtype in AUTOCAST else 0.0


def _why_no_blocks(profile: Profile) -> str:
    if profile.trace is None or profile.trace.operators is None:
        return "the profile could not look into the model, as with compiled code"
    return "the profile shows no repeated blocks"


def _launches(profile: Profile) -> float:
    """Return the operators of a micro-step; the optimizer's are few once they work on all tensors at once."""
    traced, workload = profile.trace, profile.workload
    if traced is None or traced.torch_calls_per_update is None or workload is None:
        return 0.0
    return traced.torch_calls_per_update / max(1, workload.facts.micro_steps)


def _temporary(workload: Workload) -> float:
    optimizer = workload.main_optimizer
    return 1.0 if optimizer is not None and optimizer.foreach and not optimizer.fused else 0.0


def _notes(measured: Measured, scaled: bool) -> tuple[str, ...]:
    found = []
    if not scaled:
        found.append(
            f"The profile is of a device of another kind ({measured.workload.device}): times come from counted FLOPs "
            "and bytes, not from measured times."
        )
    if measured.memory.activations_bytes is None:
        found.append(
            "Activations were not measured, as with compiled code: the memory is that of the state alone, and too low."
        )
    return tuple(found)
