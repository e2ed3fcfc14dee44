"""Plan of a training on devices that are not here; reached through `advisor.api`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import NothingMeasuredError, ScriptError, UsageError
from ..number_range import check_positive
from ..progress import SILENT, Progress
from ..spelling import parameter
from ..types import Plan, Profile
from ..unknown_name import UnknownNameError
from .profile import profile as profiled
from .shown import ShownPlan, shown_as
from .stored import load_profile

if TYPE_CHECKING:
    from ..planning import Cluster, Given
    from ..target.function import Trainable

PRECISIONS = ("bf16", "fp16", "fp8", "tf32", "fp32")
DEFAULT_PRECISION = "bf16"
"""Precision of a model without a script."""
MOST_SAMPLES = 10**9


def plan(
    script: Trainable | None = None,
    args: Sequence[str] = (),
    *,
    devices: str,
    model: str | None = None,
    profile: Profile | str | os.PathLike[str] | None = None,
    sequence: int | None = None,
    global_batch: int | None = None,
    precision: str | None = None,
    compiled: bool = False,
    memory_gb: float | None = None,
    peak_tflops: float | None = None,
    bandwidth_gb_s: float | None = None,
    link_gb_s: float | None = None,
    network_gb_s: float | None = None,
    budget: str | float | None = None,
    module: bool = False,
    python: str | None = None,
    isolation: str = "auto",
    runs: str | os.PathLike[str] | None = None,
    start_limit_s: float | None = None,
    no_progress_limit_s: float | None = None,
    memory_limit_bytes: int | None = None,
    trackers_offline: bool = True,
    progress: Progress = SILENT,
) -> Plan:
    """Predict memory and speed of a training on other devices, for every way to split it over them.

    `devices` is such as "h100", "h100:8" or "h100:8x16" (16 machines of 8); "here" stands for the measured device. The
    model is that of a `script`, which is profiled as in `advisor.profile`; or of a stored `profile` (a value, a run's
    id or "latest"); or `model`, a known name such as "llama3-8b" or sizes such as
    "layers=48,hidden=6144,heads=48,kv_heads=8,ffn=16384,vocabulary=128256". `global_batch` is the number of samples of
    an update over all devices; without it, each device has as many as the script has now, or one. `compiled` counts the
    elementwise operators of a `model` as `torch.compile` fuses them. `memory_gb`, `peak_tflops`, `bandwidth_gb_s`,
    `link_gb_s` (within a machine) and `network_gb_s` (between machines; one direction, one device) replace the figures
    of the tables, or describe a device that they lack. `budget` is the time of the profile, from the first update on.

    Returns the plan: layouts that fit, the fastest first, what limits each, and by how much the others do not fit.

    Raises UsageError for an unknown device or model, NothingMeasuredError for a profile without updates, and the errors
    of `advisor.profile`.
    """
    from .. import planning

    given = planning.Given(
        memory_gb=memory_gb,
        peak_tflops=peak_tflops,
        bandwidth_gb_s=bandwidth_gb_s,
        link_gb_s=link_gb_s,
        network_gb_s=network_gb_s,
    )
    _check(script, model, profile, precision, global_batch, sequence, given)
    if model is not None:
        return _of_sizes(model, devices, given, precision or DEFAULT_PRECISION, compiled, sequence, global_batch)
    if devices.partition(":")[0].strip().lower() != planning.HERE:
        planning.devices_of(devices, precision or DEFAULT_PRECISION, given)  # a wrong name is said before the profile
    if script is not None:
        found: Profile = profiled(
            script,
            args,
            module=module,
            python=python,
            isolation=isolation,
            runs=runs,
            budget=budget,
            start_limit_s=start_limit_s,
            no_progress_limit_s=no_progress_limit_s,
            memory_limit_bytes=memory_limit_bytes,
            trackers_offline=trackers_offline,
            progress=progress,
        )
    else:
        found = profile if isinstance(profile, Profile) else load_profile(profile or "latest", runs=runs)
    return of_profile(found, devices, given, precision=precision, global_batch=global_batch)


def of_profile(
    found: Profile, devices: str, given: Given, *, precision: str | None = None, global_batch: int | None = None
) -> ShownPlan:
    """Return the plan for what a profile has measured."""
    from .. import planning

    if found.steps is None:
        if found.failure is not None and found.failure.kind != "no_steps":
            raise ScriptError(
                f"the script failed: {found.failure.message}",
                stderr_tail=found.failure.stderr_tail,
                kind=found.failure.kind,
            )
        raise NothingMeasuredError("the profile measured no update: there is nothing to plan from")
    used = precision or planning.precision_of(found)
    cluster = planning.devices_of(devices, used, given, here=found.hardware)
    cost = planning.from_profile(found, precision=used, scaled=_is_scaled(found, devices))
    batch = global_batch or planning.global_batch_of(found) * cluster.device.count
    plan = planning.planned(cost, cluster, precision=used, global_batch=batch)
    return shown_as(ShownPlan, replace(plan, run_folder=found.run_folder))


def _of_sizes(
    model: str,
    devices: str,
    given: Given,
    precision: str,
    compiled: bool,
    sequence: int | None,
    global_batch: int | None,
) -> ShownPlan:
    from .. import planning

    cluster: Cluster = planning.devices_of(devices, precision, given)
    cost = planning.from_sizes(model, precision=precision, compiled=compiled, sequence=sequence)
    return shown_as(ShownPlan, planning.planned(cost, cluster, precision=precision, global_batch=global_batch))


def _is_scaled(found: Profile, devices: str) -> bool:
    """Return whether measured times can be scaled to the devices: those of a CPU say little of an accelerator."""
    from .. import planning

    here = devices.partition(":")[0].strip().lower() == planning.HERE
    return here or (found.workload is not None and found.workload.device != "cpu")


def _check(
    script: object,
    model: str | None,
    profile: object,
    precision: str | None,
    global_batch: int | None,
    sequence: int | None,
    given: Given,
) -> None:
    sources = [
        name for name, value in (("script", script), ("model", model), ("profile", profile)) if value is not None
    ]
    if len(sources) != 1:
        problem = f"{' and '.join(sources)} were given" if sources else "nothing to plan for"
        others = f"{parameter('model', 'llama3-8b')}, or {parameter('profile', 'latest')}"
        raise UsageError(f"{problem}: give either a script, or {others}")
    if precision is not None and precision not in PRECISIONS:
        raise UnknownNameError(f"unknown precision {precision!r}", PRECISIONS, name=precision)
    for name, value in (("global_batch", global_batch), ("sequence", sequence)):
        if value is not None and not 0 < value <= MOST_SAMPLES:
            raise UsageError(f"invalid {parameter(name, value)}: expected a whole number from 1 to {MOST_SAMPLES:,}")
    if sequence is not None and model is None:
        raise UsageError(
            f"{parameter('sequence', sequence)} goes with {parameter('model', 'llama3-8b')}: a profile has its own"
        )
    check_positive(**vars(given))
