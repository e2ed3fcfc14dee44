"""The command `plan`: argv → api → print."""

from __future__ import annotations

import functools
from typing import Annotated

import typer

from ._choices import Precision
from ._options import Args, Json, RunKeywords
from ._output import early_ends_shown, live_progress, show

OptionalScript = Annotated[
    str | None, typer.Argument(metavar="[SCRIPT]", help="Training script, which is profiled first.")
]
Devices = Annotated[
    str,
    typer.Option("--devices", metavar="DEVICES", help="Such as h100, h100:8, h100:8x16 (16 machines of 8) or here:2."),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="MODEL", help="llama3-8b, or layers=48,hidden=6144,heads=48,vocabulary=50304."),
]
StoredProfile = Annotated[
    str | None, typer.Option("--profile", metavar="RUN", help="Stored profile to plan from, such as latest.")
]


def plan(
    run: RunKeywords,
    devices: Devices,
    script: OptionalScript = None,
    args: Args = None,
    model: Model = None,
    profile: StoredProfile = None,
    sequence: Annotated[
        int | None, typer.Option("--sequence", metavar="N", help="Tokens of a sample, with --model.")
    ] = None,
    global_batch: Annotated[
        int | None, typer.Option("--global-batch", metavar="N", help="Samples of an update, over all devices.")
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option("--precision", help="Precision of the products; the script's own, or bf16.")
    ] = None,
    compiled: Annotated[bool, typer.Option("--compiled", help="Count a --model as torch.compile fuses it.")] = False,
    memory_gb: Annotated[
        float | None, typer.Option("--memory-gb", metavar="GB", help="Memory of a device, in place of the table's.")
    ] = None,
    peak_tflops: Annotated[
        float | None, typer.Option("--peak-tflops", metavar="TFLOP/s", help="Its dense peak in this precision.")
    ] = None,
    bandwidth_gb_s: Annotated[
        float | None, typer.Option("--bandwidth-gb-s", metavar="GB/s", help="Bandwidth of its memory.")
    ] = None,
    link_gb_s: Annotated[
        float | None, typer.Option("--link-gb-s", metavar="GB/s", help="Its link in a machine, one direction.")
    ] = None,
    network_gb_s: Annotated[
        float | None, typer.Option("--network-gb-s", metavar="GB/s", help="Its network between machines.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="TIME", help="Time of the profile of SCRIPT, such as 30s.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="List all layouts.")] = False,
    json_output: Json = False,
) -> None:
    """Predict memory and speed on devices that are not here, for each way to split the training over them.

    The model is that of SCRIPT, of a stored profile, or one that --model describes.
    """
    from .. import api
    from ..report.plan import plan_json, render_plan

    with early_ends_shown(lambda _found: None), live_progress() as progress:
        found = api.plan(
            script,
            args or [],
            devices=devices,
            model=model,
            profile=profile,
            sequence=sequence,
            global_batch=global_batch,
            precision=None if precision is None else precision.value,
            compiled=compiled,
            memory_gb=memory_gb,
            peak_tflops=peak_tflops,
            bandwidth_gb_s=bandwidth_gb_s,
            link_gb_s=link_gb_s,
            network_gb_s=network_gb_s,
            budget=budget,
            progress=progress,
            **run,
        )
    show(found, json_output, plan_json, functools.partial(render_plan, everything=everything))
