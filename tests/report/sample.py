"""Profiles as real scripts would give them, in the shapes that a report must cope with."""

from __future__ import annotations

import random
from dataclasses import replace

from advisor import rules
from advisor.analysis import assembly
from advisor.types import (
    Abstention,
    Accelerator,
    Ceiling,
    Command,
    Compute,
    Config,
    Cpu,
    DeviceUse,
    Disk,
    EpochEnd,
    Failure,
    Finding,
    Flags,
    Hardware,
    HotLine,
    IsolationUse,
    LoaderFacts,
    LoaderTimes,
    MeasuredFix,
    Memory,
    MemoryUse,
    ModelFacts,
    OptimizerFacts,
    Overhead,
    Place,
    Profile,
    Rank,
    Rate,
    ScriptRunSummary,
    Steps,
    SystemUse,
    TorchBuild,
    UsagePoint,
    WhatIf,
    WindowSummary,
    Workload,
)
from advisor.wire import WindowRole

GIB = 2**30
MIB = 2**20
SCRIPT = "/home/mara/photos/train.py"


def hardware(*, accelerators: tuple[Accelerator, ...] = ()) -> Hardware:
    return Hardware(
        hostname="box",
        system="Linux 6.8.0",
        cpu=Cpu(
            model="AMD EPYC 7763 64-Core Processor",
            architecture="x86_64",
            cores_physical=64,
            cores_logical=128,
            affinity_count=16,
            quota_cpus=8.0,
            usable_cpus=8.0,
            instruction_sets=("avx2",),
            numa_nodes=1,
        ),
        memory=Memory(
            ram_bytes=64 * GIB,
            available_bytes=50 * GIB,
            limit_bytes=16 * GIB,
            swap_total_bytes=0,
            swap_used_bytes=0,
            shared_memory_bytes=GIB,
            shared_memory_free_bytes=GIB,
        ),
        disk=Disk(path="/home", file_system="ext4", total_bytes=500 * GIB, free_bytes=90 * GIB, rotational=False),
        accelerators=accelerators,
        torch=TorchBuild(
            version="2.13.0",
            python="3.11.9",
            cuda="12.8" if accelerators else None,
            rocm=None,
            cudnn=None,
            accelerator_available=bool(accelerators),
        ),
    )


def h200() -> Accelerator:
    return Accelerator(
        index=0,
        kind="cuda",
        name="NVIDIA H200",
        memory_bytes=141 * 10**9,
        compute_capability=(9, 0),
        driver="570.86",
        peak_flops={
            "bf16": Rate(value=989e12, basis="table", source="NVIDIA H200 data sheet"),
            "fp32": Rate(value=67e12, basis="table", source="NVIDIA H200 data sheet"),
        },
        memory_bandwidth=Rate(value=4.8e12, basis="table", source="NVIDIA H200 data sheet"),
    )


def workload(*, device: str = "cpu") -> Workload:
    return Workload(
        framework="plain",
        device=device,
        models=(
            ModelFacts(
                class_name="ResNet",
                parameters=11_200_000,
                trainable_parameters=11_200_000,
                parameter_dtypes={"float32": 11_200_000},
                device=device,
                layers={"Conv2d": 20, "BatchNorm2d": 20, "Linear": 1},
                channels_last=False,
                compiled=False,
                data_parallel=False,
                distributed=False,
            ),
        ),
        loaders=(
            LoaderFacts(
                id=1,
                role="train",
                class_name="DataLoader",
                dataset_class="Photos",
                iterable=False,
                batch_size=64,
                num_workers=0,
                prefetch_factor=None,
                pin_memory=False,
                persistent_workers=False,
                start_method=None,
                collate="default_collate",
                length_batches=157,
                length_samples=10_000,
                where=f"{SCRIPT}:31",
            ),
        ),
        optimizers=(
            OptimizerFacts(
                class_name="AdamW",
                main=True,
                parameters=11_200_000,
                tensors=62,
                groups=1,
                fused=None,
                foreach=None,
                steps_per_update=1.0,
                learning_rate=1e-3,
                momentum=None,
                has_schedule=False,
            ),
        ),
        flags=Flags(
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
        ),
        batch_shapes=("float32[64, 3, 32, 32]", "int64[64]"),
        fixed_shapes=True,
    )


def window(
    number: int,
    *,
    mean_s: float,
    updates: int,
    phases: dict[str, float],
    what_if: str | None = None,
    start_s: float = 3.0,
) -> WindowSummary:
    noise = random.Random(number)
    wall = tuple(
        max(mean_s / 3, mean_s * (1 + noise.gauss(0, 0.06) + (0.9 if noise.random() < 0.01 else 0)))
        for _ in range(updates)
    )
    return WindowSummary(
        id=f"w{number}",
        role=WindowRole.WHAT_IF if what_if else WindowRole.BASELINE,
        script_run=1,
        kind="what_if" if what_if else "baseline",
        config=Config(),
        what_if=what_if,
        start_s=start_s,
        wall_s=wall,
        phases_s={name: tuple(share * value for value in wall) for name, share in phases.items()},
        off_step_s={},
        micro_steps=(1,) * updates,
        samples=(64,) * updates,
        losses=tuple(2.3 / (1 + index / 50) for index in range(updates)),
        dropped_updates=12 if number == 1 else 3,
        rss_bytes=tuple(int(900 * MIB + index * 1000) for index in range(updates)),
    )


NAMES = ("data_wait", "host_to_device", "forward", "backward", "optimizer", "other")
INPUT_PHASES = dict(zip(NAMES, (0.62, 0.0, 0.12, 0.19, 0.05, 0.02), strict=True))
HEALTHY_PHASES = dict(zip(NAMES, (0.02, 0.0, 0.31, 0.55, 0.09, 0.03), strict=True))
GPU_PHASES = dict(zip(NAMES, (0.01, 0.02, 0.33, 0.55, 0.07, 0.02), strict=True))


def healthy(*, updates: int = 120) -> Profile:
    """A script on a CPU that nothing holds back."""
    mean_s = 0.0502
    return Profile(
        advisor="0.1.0",
        run_id="20261122-063519-123456-train-a1b2c3",
        created="2026-11-22T06:35:19Z",
        command=Command(
            target="train.py",
            is_module=False,
            args=("--epochs", "3"),
            cwd="/home/mara/photos",
            interpreter="/usr/bin/python3.11",
        ),
        environment={"python": "3.11.9", "torch": "2.13.0", "numpy": "2.3.1"},
        hardware=hardware(),
        isolation=IsolationUse(name="overlay", promise="every write of the script went to a throw-away layer"),
        workload=workload(),
        steps=Steps(
            updates=updates,
            warm_up=12,
            micro_steps_per_update=1.0,
            mean_s=mean_s,
            median_s=0.0498,
            p99_s=0.0611,
            samples_per_s=64 / mean_s,
            low=1252.0,
            high=1297.0,
            updates_per_s=1 / mean_s,
            samples_per_update=64.0,
            samples_from="indices",
        ),
        phases=HEALTHY_PHASES,
        off_step={"evaluation": 0.03, "checkpoint": 0.004},
        start_up_s=2.9,
        epoch_end=EpochEnd(seen=True, forced=True, seconds={"evaluation": 0.31, "checkpoint": 0.04}),
        loop_s=11.4,
        memory=MemoryUse(
            device="cpu",
            peak_bytes=1312 * MIB,
            limit_bytes=16 * GIB,
            parameters_bytes=45 * MIB,
            gradients_bytes=45 * MIB,
            optimizer_bytes=90 * MIB,
            activations_bytes=380 * MIB,
            creep_bytes_per_update=0.0,
        ),
        compute=Compute(
            flops_per_update=11_800_000_000,
            achieved_flops_per_s=2.35e11,
            peak_flops_per_s=None,
            peak_fraction=None,
            peak_from=None,
        ),
        loader=LoaderTimes(
            fetch_s=0.0008,
            fetch_cpu_s=0.0008,
            collate_s=0.0002,
            transfer_s=None,
            workers=0,
            worker_cpus=None,
            alone_s=0.001,
        ),
        restarts=None,
        system=SystemUse(
            main_cpus=7.4,
            tree_cpus=7.4,
            processes=1,
            threads=19,
            gc_fraction=0.001,
            gc_collections_per_update=0.2,
            accelerator_busy_fraction=None,
        ),
        trace=None,
        lines=(
            HotLine(
                file=SCRIPT,
                line=48,
                function="main",
                share=0.31,
                phase="forward",
                kind="torch",
                text="logits = model(images)",
            ),
        ),
        ranks=(Rank(rank=0, pid=4711, device="cpu", mean_s=mean_s, data_wait_fraction=0.02),),
        what_ifs=(WhatIf(name="no_data_wait", speedup=1.01, low=0.99, high=1.03, rounds=3),),
        findings=(),
        abstained=(
            Abstention(
                rule="optimizer_bound", why="without it the loop ran 0.98 to 1.12 times as fast", most_share=0.05
            ),
        ),
        overhead=Overhead(fraction=0.004, low=-0.002, high=0.009, hooks_us_per_update=14.0, sampler_hz=97.0),
        windows=(
            window(1, mean_s=mean_s, updates=updates // 2, phases=HEALTHY_PHASES),
            window(2, mean_s=mean_s * 0.99, updates=20, phases=HEALTHY_PHASES, what_if="no_data_wait", start_s=7.0),
            window(3, mean_s=mean_s, updates=updates - updates // 2, phases=HEALTHY_PHASES, start_s=8.5),
        ),
        usage=tuple(
            UsagePoint(
                at_s=index * 0.25, tree_cpus=min(7.8, 1 + index / 2), rss_bytes=(400 + min(index, 30) * 30) * MIB
            )
            for index in range(60)
        ),
        script_runs=(
            ScriptRunSummary(number=1, started="2026-11-22T06:35:20Z", start_up_s=2.9, updates=220, end="stopped"),
        ),
    )


def input_bound(*, updates: int = 120) -> Profile:
    """A script on a CPU that waits for its images."""
    base = healthy(updates=updates)
    assert base.steps is not None
    mean_s = 0.118
    return replace(
        base,
        run_id="20261121-101112-000001-train-0dd5ee",
        steps=replace(
            base.steps, mean_s=mean_s, median_s=0.109, samples_per_s=542.0, low=531.0, high=553.0, updates_per_s=8.47
        ),
        phases=INPUT_PHASES,
        loader=LoaderTimes(
            fetch_s=0.066,
            fetch_cpu_s=0.064,
            collate_s=0.006,
            transfer_s=None,
            workers=0,
            worker_cpus=None,
            alone_s=0.072,
        ),
        what_ifs=(
            WhatIf(name="no_data_wait", speedup=2.41, low=2.22, high=2.61, rounds=3),
            WhatIf(name="no_optimizer", speedup=1.05, low=1.02, high=1.08, rounds=3),
            WhatIf(
                name="micro_batch_doubled",
                speedup=1.08,
                low=0.97,
                high=1.2,
                rounds=3,
                note="the last batch was smaller",
            ),
        ),
        findings=(
            Finding(
                rule="input_bound",
                headline=rules.get("input_bound").headline,
                severity="critical",
                share=0.62,
                evidence="Each update waits 73 ms of 118 ms for its batch; the loader alone takes 72 ms a batch.",
                advice="Give the loader workers (num_workers=4 on 8 usable CPUs) or keep the decoded images.",
                where=(
                    Place(file=SCRIPT, line=17, function="Photos.__getitem__", share=0.55),
                    Place(file=SCRIPT, line=19, function="Photos.__getitem__", share=0.21),
                ),
                ceiling=Ceiling(speedup=2.41, low=2.22, high=2.61, basis="measured"),
                knobs=("num_workers", "prefetch_factor", "cache_dataset"),
                url="https://docs.pytorch.org/docs/stable/data.html",
            ),
            Finding(
                rule="evaluation_heavy",
                headline=rules.get("evaluation_heavy").headline,
                severity="warning",
                share=0.18,
                evidence="18% of the loop is evaluation: 1.4 s at the end of every epoch.",
                advice="Evaluate every few epochs, or with a larger batch under torch.inference_mode().",
                where=(Place(file=SCRIPT, line=77, function="evaluate", share=0.18),),
                ceiling=Ceiling.from_share(0.18),
                knobs=(),
            ),
            Finding(
                rule="memory_headroom",
                severity="info",
                share=0.0,
                evidence="The peak is 1.3 GiB of 16 GiB.",
                advice="There is room for a larger batch, where the training allows it.",
                knobs=("micro_batch", "global_batch"),
            ),
        ),
        windows=(
            window(1, mean_s=mean_s, updates=updates // 2, phases=INPUT_PHASES),
            window(2, mean_s=mean_s / 2.41, updates=40, phases=HEALTHY_PHASES, what_if="no_data_wait", start_s=10.0),
            window(3, mean_s=mean_s, updates=updates - updates // 2, phases=INPUT_PHASES, start_s=13.0),
        ),
        notes=("wandb was put offline for this probe.",),
    )


def device_use() -> DeviceUse:
    """The device's own clock, in an update of 211 ms."""
    return DeviceUse(
        updates=3,
        update_s=0.211,
        traced_update_s=0.213,
        busy_s=0.2015,
        kernels_per_update=1893.0,
        kernel_median_s=41e-6,
        tensor_core_s=0.03,
        nccl_s=0.0,
        copy_s=0.0007,
        idle_s={"data_wait": 0.006, "other": 0.004, "forward": 0.0005},
        idle_after_reads_s=0.004,
        to_device_bytes=131_072,
        to_device_pageable_bytes=131_072,
        cost_s=2.31,
    )


def gpu_transformer() -> Profile:
    """A transformer on an H200, in full precision."""
    base = healthy()
    assert base.steps is not None
    return replace(
        base,
        command=replace(base.command, target="lm.train", is_module=True, args=("--config", "small gpt.yaml")),
        hardware=hardware(accelerators=(h200(),)),
        workload=workload(device="cuda"),
        steps=replace(
            base.steps, mean_s=0.211, median_s=0.210, samples_per_s=151.7, low=151.1, high=152.2, updates_per_s=4.74
        ),
        phases=GPU_PHASES,
        memory=MemoryUse(
            device="cuda:0",
            peak_bytes=74 * GIB,
            limit_bytes=131 * GIB,
            parameters_bytes=5 * GIB,
            gradients_bytes=5 * GIB,
            optimizer_bytes=10 * GIB,
            activations_bytes=50 * GIB,
            creep_bytes_per_update=0.0,
        ),
        compute=Compute(
            flops_per_update=8_000_000_000_000,
            achieved_flops_per_s=3.8e13,
            peak_flops_per_s=67e12,
            peak_fraction=0.567,
            peak_from="table",
            peak_dtype="fp32",
            bytes_per_update=60_000_000_000,
            arithmetic_intensity=133.0,
            roofline_bound="compute",
        ),
        device_use=device_use(),
        what_ifs=(),
        windows=(window(1, mean_s=0.211, updates=120, phases=GPU_PHASES),),
        findings=(
            Finding(
                rule="precision_unused",
                headline=rules.get("precision_unused").headline,
                severity="critical",
                share=0.85,
                evidence="All matrix products run in fp32 on a device whose bf16 peak is 14.8 times as high.",
                advice="Train under autocast in bf16.",
                ceiling=Ceiling(speedup=3.2, low=2.1, high=4.9, basis="share"),
                knobs=("precision",),
            ),
        ),
        usage=tuple(
            UsagePoint(
                at_s=index * 0.5,
                tree_cpus=1.1,
                rss_bytes=6 * GIB,
                accelerator_busy_fraction=min(0.99, index / 8),
                accelerator_memory_bytes=min(74, 10 + index * 8) * GIB,
            )
            for index in range(50)
        ),
    )


def crashed() -> Profile:
    """Raised in the seventh update: little was measured, and the script's own traceback tells why."""
    base = healthy(updates=6)
    assert base.steps is not None
    return replace(
        base,
        steps=replace(base.steps, updates=6, warm_up=0, low=None, high=None, steady=False),
        what_ifs=(),
        windows=(window(1, mean_s=0.05, updates=6, phases=HEALTHY_PHASES),),
        notes=("Only 6 updates were measured; numbers from so few are rough.",),
        failure=Failure(
            kind="crash",
            message="the script raised ValueError after 6 updates (exit code 1)",
            exit_code=1,
            exceptions=("ValueError: labels hold 11, the model has 10 classes",),
            stderr_tail=(
                "Traceback (most recent call last):\n"
                '  File "/home/mara/photos/train.py", line 52, in <module>\n    main()\n'
                "ValueError: labels hold 11, the model has 10 classes\n"
            ),
            elapsed_s=4.1,
        ),
    )


def nothing_measured() -> Profile:
    """Ended well and trained nothing."""
    return replace(
        healthy(),
        workload=None,
        steps=None,
        phases={},
        off_step={},
        start_up_s=None,
        epoch_end=EpochEnd(seen=False),
        loop_s=0.0,
        memory=None,
        compute=None,
        loader=None,
        system=None,
        lines=(),
        ranks=(),
        what_ifs=(),
        abstained=(),
        overhead=Overhead(fraction=None),
        windows=(),
        usage=(),
        failure=Failure(
            kind="no_steps", message="the script ended (exit code 0) without a single optimizer step", exit_code=0
        ),
    )


def hung() -> Profile:
    """Stood still before its first update."""
    return replace(
        nothing_measured(),
        failure=Failure(
            kind="hang",
            message="nothing happened for 120 s; the script stood at train.py:12, in download()",
            elapsed_s=121.0,
        ),
    )


def little_data() -> Profile:
    """A script of 14 updates, ended by itself."""
    base = input_bound(updates=14)
    assert base.steps is not None
    return replace(
        base,
        steps=replace(base.steps, updates=9, warm_up=5, low=None, high=None, steady=False),
        notes=("The script ended by itself after 14 updates; 9 were counted.",),
    )


def tried_settings() -> Profile:
    """A script that no share of its time accuses, and that a setting makes faster all the same."""
    found = healthy()
    fixes = (
        MeasuredFix(knob="precision", value="bf16", effect="numerics", speedup=1.92, low=1.81, high=2.04, rounds=2),
        MeasuredFix(knob="threads", value=8, effect="numerics", speedup=0.81, low=0.74, high=0.88, rounds=1),
    )
    evidence = assembly.evidence_of(replace(found, fixes=fixes))
    assert evidence is not None
    diagnosis = rules.diagnose(evidence)
    return replace(found, fixes=fixes, findings=diagnosis.findings, run_options=("--runs", "kept runs"))


ALL = {
    "healthy": healthy,
    "input_bound": input_bound,
    "gpu_transformer": gpu_transformer,
    "crashed": crashed,
    "nothing_measured": nothing_measured,
    "hung": hung,
    "little_data": little_data,
    "tried_settings": tried_settings,
}
