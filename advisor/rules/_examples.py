"""Evidence to build examples from: two healthy workloads, and small functions that spoil one thing in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from typing import Any

from ..types import (
    Accelerator,
    CallSite,
    Compute,
    Cpu,
    DeviceUse,
    EpochEnd,
    Evidence,
    Flags,
    Hardware,
    HotLine,
    LoaderFacts,
    LoaderRestarts,
    LoaderTimes,
    MeasuredFix,
    Memory,
    MemoryUse,
    ModelFacts,
    OptimizerFacts,
    Rate,
    SettingValue,
    Steps,
    SyncSite,
    SystemUse,
    TorchBuild,
    Trace,
    WhatIf,
    Workload,
)
from ._learning_examples import LEARNING, LOSSES

GIB = 2**30
_SHEET = Rate(value=0.0, basis="table", source="data sheet")


def evolve(value: Any, changes: Mapping[str, Any]) -> Any:
    """Return a copy with `changes`.

    A mapping for a field that holds a value (or a mapping) changes inside it; None removes an entry.
    """
    fields = {}
    for name, change in changes.items():
        current = getattr(value, name)
        if isinstance(change, Mapping) and is_dataclass(current):
            fields[name] = evolve(current, change)
        elif name == "phases":
            fields[name] = _phases(current, change)
        elif isinstance(change, Mapping) and isinstance(current, Mapping):
            merged = {**current, **change}
            fields[name] = {key: value for key, value in merged.items() if value is not None}
        else:
            fields[name] = change
    return replace(value, **fields)


def _phases(current: Mapping[str, float], change: Mapping[str, float]) -> dict[str, float]:
    """Return the given fractions, with the others scaled alike so that all add up to 1."""
    kept = sum(fraction for name, fraction in current.items() if name not in change)
    left = 1 - sum(change.values())
    return {name: change.get(name, fraction * left / kept if kept else 0.0) for name, fraction in current.items()}


def what_if(name: str, speedup: float, low: float | None = None, high: float | None = None) -> dict[str, WhatIf]:
    """Return one what-if under its name, with an interval of ±5% by default."""
    low = speedup * 0.95 if low is None else low
    high = speedup * 1.05 if high is None else high
    return {name: WhatIf(name=name, speedup=speedup, low=low, high=high, rounds=3)}


def measured_fix(
    knob: str,
    value: SettingValue,
    speedup: float,
    low: float | None = None,
    high: float | None = None,
    *,
    prompted: bool = False,
) -> MeasuredFix:
    """Return a setting that was tried, with an interval of ±5% by default."""
    return MeasuredFix(
        knob=knob,
        value=value,
        effect="numerics",
        speedup=speedup,
        low=speedup * 0.95 if low is None else low,
        high=speedup * 1.05 if high is None else high,
        rounds=2,
        prompted=prompted,
    )


def line(kind: str, share: float, **changes: Any) -> HotLine:
    """Return a line of the loop, in the phase `other` unless changed."""
    given = {"file": "train.py", "line": 42, "function": "main", "phase": "other", "kind": kind, "share": share}
    return HotLine(**{**given, **changes})


def call(what: str, **changes: Any) -> CallSite:
    """Return a call from one user line, once an update."""
    given: dict[str, Any] = {"what": what, "file": "train.py", "line": 57, "function": "main", "calls_per_update": 1.0}
    return CallSite(**{**given, **changes})


def train_loader(**changes: Any) -> LoaderFacts:
    """Return a loader with two persistent workers over an in-memory dataset of 32,000 samples."""
    given: dict[str, Any] = {
        "id": 0,
        "role": "train",
        "class_name": "DataLoader",
        "dataset_class": "Images",
        "iterable": False,
        "batch_size": 64,
        "num_workers": 2,
        "prefetch_factor": 2,
        "pin_memory": False,
        "persistent_workers": True,
        "start_method": "fork",
        "collate": "torch.utils.data._utils.collate.default_collate",
        "length_batches": 500,
        "length_samples": 32_000,
        "where": "train.py:20",
        "duplicates_fraction": None,
    }
    return LoaderFacts(**{**given, **changes})


def model(**changes: Any) -> ModelFacts:
    """Return a transformer of 12 million parameters in float32."""
    given: dict[str, Any] = {
        "class_name": "Transformer",
        "parameters": 12_000_000,
        "trainable_parameters": 12_000_000,
        "parameter_dtypes": {"float32": 12_000_000},
        "device": "cpu",
        "layers": {"Linear": 24, "LayerNorm": 13, "Embedding": 2},
        "channels_last": None,
        "compiled": False,
        "data_parallel": False,
        "distributed": False,
    }
    return ModelFacts(**{**given, **changes})


def conv_model(**changes: Any) -> ModelFacts:
    """Return a convolutional network of 11 million parameters, in the default memory format."""
    layers = {"Conv2d": 20, "BatchNorm2d": 20, "ReLU": 17, "Linear": 1}
    given = {"class_name": "ResNet", "layers": layers, "channels_last": False}
    return model(**{**given, **changes})


def optimizer(**changes: Any) -> OptimizerFacts:
    """Return AdamW in its multi-tensor form, with a schedule."""
    given: dict[str, Any] = {
        "class_name": "AdamW",
        "main": True,
        "parameters": 12_000_000,
        "tensors": 76,
        "groups": 1,
        "fused": False,
        "foreach": None,
        "steps_per_update": 1.0,
        "learning_rate": 3e-4,
        "momentum": None,
        "has_schedule": True,
    }
    return OptimizerFacts(**{**given, **changes})


def gpu(**changes: Any) -> Accelerator:
    """Return one unhindered H100: no other process, no reason for a lower clock."""
    given: dict[str, Any] = {
        "index": 0,
        "kind": "cuda",
        "name": "NVIDIA H100 80GB HBM3",
        "memory_bytes": 80 * GIB,
        "compute_capability": (9, 0),
        "driver": "580.65",
        "clock_sm_mhz": 1980,
        "clock_sm_max_mhz": 1980,
        "temperature_c": 55,
        "power_limit_w": 700.0,
        "power_limit_default_w": 700.0,
        "other_processes": 0,
        "peak_flops": {
            "fp32": replace(_SHEET, value=67e12),
            "tf32": replace(_SHEET, value=494e12),
            "bf16": replace(_SHEET, value=989e12),
            "fp16": replace(_SHEET, value=989e12),
        },
    }
    return Accelerator(**{**given, **changes})


_CPU = Cpu(
    model="Example 8-core",
    architecture="x86_64",
    cores_physical=8,
    cores_logical=8,
    affinity_count=8,
    quota_cpus=None,
    usable_cpus=8.0,
    instruction_sets=("avx2",),
    numa_nodes=1,
)
_HOST = Hardware(
    hostname="example",
    system="Linux 6.8",
    cpu=_CPU,
    memory=Memory(
        ram_bytes=32 * GIB,
        available_bytes=24 * GIB,
        limit_bytes=None,
        swap_total_bytes=2 * GIB,
        swap_used_bytes=0,
        shared_memory_bytes=16 * GIB,
        shared_memory_free_bytes=16 * GIB,
    ),
    disk=None,
    accelerators=(),
    torch=TorchBuild(version="2.13.0", python="3.12.3", cuda=None, rocm=None, cudnn=None, accelerator_available=False),
)
_DEVICE_USE = DeviceUse(
    updates=4,
    update_s=0.100,
    traced_update_s=0.101,
    busy_s=0.097,
    kernels_per_update=2100.0,
    kernel_median_s=30e-6,
    tensor_core_s=0.070,
    nccl_s=0.0,
    copy_s=0.0006,
    idle_s={"forward": 0.0015, "backward": 0.0008, "optimizer": 0.0004, "other": 0.0003},
    cost_s=2.0,
)


def device_use(**changes: Any) -> DeviceUse:
    """Return the device's figures of an update of 100 ms in which it works 97 ms, with changes."""
    return replace(_DEVICE_USE, **changes)


def sync_site(**changes: Any) -> SyncSite:
    """Return a line that reads one value in every update."""
    given: dict[str, Any] = {
        "what": "item",
        "file": "train.py",
        "line": 57,
        "function": "main",
        "calls_per_update": 1.0,
    }
    return SyncSite(**{**given, "seconds_per_update": 0.03, "idle_after_s": 0.0, **changes})


_FLAGS = Flags(
    num_threads=8,
    anomaly_detection=False,
    launch_blocking=False,
    profiler_on=(),
    matmul_precision="highest",
    cudnn_tf32=True,
    cudnn_benchmark=False,
    deterministic=False,
    autocast_dtype=None,
    grad_scaler=False,
    omp_num_threads=None,
)
_CPU_EVIDENCE = Evidence(
    hardware=_HOST,
    workload=Workload(
        framework="plain",
        device="cpu",
        models=(model(),),
        loaders=(train_loader(),),
        optimizers=(optimizer(),),
        flags=_FLAGS,
        batch_shapes=("int64[64, 256]",),
        fixed_shapes=True,
        learning=LEARNING,
    ),
    steps=Steps(
        updates=80,
        warm_up=5,
        micro_steps_per_update=1.0,
        mean_s=0.100,
        median_s=0.099,
        p99_s=0.110,
        samples_per_s=640.0,
        low=630.0,
        high=650.0,
        updates_per_s=10.0,
        samples_per_update=64.0,
        samples_from="indices",
    ),
    phases={
        "data_wait": 0.01,
        "host_to_device": 0.0,
        "forward": 0.30,
        "backward": 0.56,
        "optimizer": 0.09,
        "other": 0.04,
    },
    off_step={"logging": 0.002},
    epoch_end=EpochEnd(seen=True, seconds={"evaluation": 1.5, "checkpoint": 0.2, "loader_restart": 0.02}),
    loop_s=8.2,
    lines=(line("torch", 0.02, line=61, text="loss = criterion(output, target)"),),
    loader=LoaderTimes(
        fetch_s=0.020, fetch_cpu_s=0.019, collate_s=0.004, transfer_s=0.001, workers=2, worker_cpus=0.25, alone_s=0.013
    ),
    restarts=LoaderRestarts(seconds_per_restart=0.02, updates_per_epoch=500.0, share=0.0004),
    what_ifs={
        **what_if("no_data_wait", 1.01, 0.98, 1.04),
        **what_if("no_optimizer", 1.08),
        **what_if("micro_batch_doubled", 1.06),
    },
    memory=MemoryUse(
        device="cpu",
        peak_bytes=3 * GIB,
        limit_bytes=32 * GIB,
        parameters_bytes=48_000_000,
        gradients_bytes=48_000_000,
        optimizer_bytes=96_000_000,
        activations_bytes=600_000_000,
        creep_bytes_per_update=0.0,
        creep_confirmed=False,
    ),
    compute=Compute(
        flops_per_update=20_000_000_000,
        achieved_flops_per_s=200e9,
        peak_flops_per_s=None,
        peak_fraction=None,
        peak_from=None,
        arithmetic_intensity=40.0,
    ),
    trace=Trace(updates=3, torch_calls_per_update=900.0, kernel_median_s=60e-6, calls=()),
    system=SystemUse(
        main_cpus=7.2,
        tree_cpus=7.5,
        processes=3,
        threads=24,
        gc_fraction=0.004,
        gc_collections_per_update=0.3,
        accelerator_busy_fraction=None,
        swap_in_bytes_per_s=0.0,
        loadavg_others=0.1,
    ),
    losses=LOSSES,
)
_CUDA_CHANGES: dict[str, Any] = {
    "hardware": {
        "accelerators": (gpu(),),
        "torch": {"cuda": "13.0", "cudnn": "9.13", "accelerator_available": True},
    },
    "workload": {
        "device": "cuda",
        "models": (model(device="cuda:0", parameters=350_000_000, trainable_parameters=350_000_000),),
        "loaders": (train_loader(pin_memory=True),),
        "optimizers": (optimizer(fused=True, parameters=350_000_000),),
        "flags": {"autocast_dtype": "bfloat16", "matmul_precision": "high"},
    },
    "phases": {"data_wait": 0.004, "host_to_device": 0.006, "optimizer": 0.05, "other": 0.02},
    "memory": {"device": "cuda:0", "peak_bytes": 62 * GIB, "limit_bytes": 80 * GIB},
    "compute": {
        "flops_per_update": 45_000_000_000_000,
        "achieved_flops_per_s": 450e12,
        "peak_flops_per_s": 989e12,
        "peak_fraction": 0.455,
        "peak_from": "table",
        "peak_dtype": "bf16",
        "arithmetic_intensity": 400.0,
        "roofline_bound": "compute",
    },
    "device_use": _DEVICE_USE,
    "trace": {"torch_calls_per_update": 2500.0, "kernel_median_s": 80e-6},
    "system": {"main_cpus": 1.0, "tree_cpus": 1.6, "accelerator_busy_fraction": 0.99},
    "what_ifs": {**what_if("no_data_wait", 1.005, 0.99, 1.02), **what_if("micro_batch_doubled", 1.02, 1.0, 1.04)},
}


def healthy_cpu(**changes: Any) -> Evidence:
    """Return evidence of a small transformer on eight CPUs with nothing to gain (`steps={"updates": 3}` changes it)."""
    changed: Evidence = evolve(_CPU_EVIDENCE, changes)
    return changed


def healthy_cuda(**changes: Any) -> Evidence:
    """Return evidence of a transformer under bf16 autocast on one H100 with nothing to gain, with changes."""
    changed: Evidence = evolve(evolve(_CPU_EVIDENCE, _CUDA_CHANGES), changes)
    return changed
