"""Plans against published speeds, torch's memory tracker, and two real ranks; and the time that a plan takes.

    python tests/benchmarks/plan.py [--rounds 5] [--only published|memory|ranks|time]
    python tests/benchmarks/plan.py --only device        on a GPU: the table goes to results/plan_device.md

Published speeds and their settings stand in profiles/planning/published.toml. Memory is compared on small trainings
with `torch.distributed._tools.mem_tracker`. For the ranks, one process is profiled; then two are run under
DistributedDataParallel (gloo), one thread each, with and without communication in turn. On a GPU, a small GPT is
profiled once; its peaks of memory at other batch sizes, with checkpointing too, are compared with what is allocated.
"""

from __future__ import annotations

import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from _common import HERE, SCRIPTS, machine, options, publish, say, table

import advisor
from advisor.planning.published import Prediction, predictions
from advisor.types import PlannedLayout, Profile

sys.path.insert(0, str(HERE.parent))
from planning import trainings

SCRIPT = SCRIPTS / "two_ranks.py"
UPDATES = 80
ALL_REDUCE_BYTES = 25 * 2**20
LINK_FRACTION = 0.82
"""Fraction of a link that the plan takes for reached: the rate here is measured, and is given as its whole."""
LIMIT_S = 300
BUDGET_S = 12
LAYOUTS = (
    ("none", "none", 1),
    ("full", "none", 1),
    ("none", "fsdp2", 2),
    ("none", "fsdp2_kept", 2),
    ("full", "fsdp2", 2),
    ("none", "fsdp2", 8),
    ("full", "fsdp2_kept", 8),
)
TEXTS = {
    "transformer, float32": trainings.BLOCKS,
    "transformer, autocast": trainings.AUTOCAST,
    "convolutions": trainings.PICTURES,
}
PARTS = ("published", "memory", "ranks", "time")
DEVICE = "device"
SMALL_GPT = SCRIPTS / "gpu" / "small_gpt.py"
BATCH_SIZES = (4, 8, 16, 32)
UPDATES_TO_PEAK = 3
"""The optimizer has its state from the second on."""


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=(*PARTS, DEVICE), action="append")
    arguments = parser.parse_args()
    before = machine()
    if arguments.only == [DEVICE]:
        keep = not arguments.no_result
        publish("plan_device", "Planned memory of a GPU against what is allocated", before, list(device()), keep=keep)
        return
    parts: list[str] = []
    wanted = arguments.only or PARTS
    if "published" in wanted:
        parts += published()
    if "memory" in wanted:
        parts += memory()
    if "ranks" in wanted:
        parts += ranks(arguments.rounds)
    if "time" in wanted:
        parts += duration()
    publish("plan", "Plans against published and measured runs", before, parts, keep=not arguments.no_result)


def published() -> Iterator[str]:
    """The table of all published rows, with their errors."""
    rows = predictions()
    predicted = [row for row in rows if not row.calibrates]
    worst = max(predicted, key=lambda row: abs(row.error))
    typical = statistics.median(abs(row.error) for row in predicted)
    yield (
        f"**Speed.** {len(predicted)} published rows that calibrated nothing: median error {typical:.1%}, largest "
        f"{worst.error:+.1%} ({worst.name}). Rows marked as calibrating fixed the constant that is named; "
        "all constants and their sources: `profiles/planning/achieved.toml`."
    )
    yield table(("published run", "published", "predicted", "error", "calibrates"), [_speeds(row) for row in rows])
    yield (
        "Published memory is what the allocator had reserved, with its gaps; predicted is what is allocated at the "
        "peak. The H200 rows gather parameters in float8 and were run half a year later."
    )
    header = ("published run", "reserved, GiB", "predicted, GiB", "ratio")
    yield table(header, [_reserved(row) for row in rows if row.memory_gib is not None])
    yield "Sources:\n\n" + "\n".join(f"- {url}" for url in dict.fromkeys(row.source for row in rows))


def _speeds(row: Prediction) -> list[object]:
    return [row.name, f"{row.published:,.0f} {row.unit}", f"{row.predicted:,.0f}", f"{row.error:+.1%}", row.calibrates]


def _reserved(row: Prediction) -> list[object]:
    assert row.memory_gib is not None
    assert row.predicted_memory_gib is not None
    ratio = row.predicted_memory_gib / row.memory_gib
    return [row.name, f"{row.memory_gib:.1f}", f"{row.predicted_memory_gib:.1f}", f"{ratio:.2f}"]


def memory() -> Iterator[str]:
    """Peaks of torch's own tracker against the plan, from one profile of each training."""
    rows: list[list[object]] = []
    errors = []
    for name, text in TEXTS.items():
        with tempfile.TemporaryDirectory(prefix="advisor-plan-") as place:
            folder = Path(place)
            (folder / "train.py").write_text(text + trainings.LOOP)
            (folder / "tracked.py").write_text(trainings.TRACKED)
            profile = advisor.profile(folder / "train.py", budget=BUDGET_S, runs=folder / "runs")
            for recompute, sharding, devices in LAYOUTS:
                found = layout_of(profile, recompute, sharding, devices)
                if found is None:
                    continue
                peak = tracked(folder, recompute, sharding, devices)
                error = found.memory.total_bytes / peak - 1
                errors.append(abs(error))
                sizes = [f"{size / 2**20:.1f}" for size in (peak, found.memory.total_bytes)]
                rows.append([name, sharding, devices, recompute, *sizes, f"{error:+.1%}"])
                say(" ".join(map(str, rows[-1])))
    yield f"**Memory.** Peaks of torch's memory tracker: largest error {max(errors):.1%} in {len(errors)} layouts."
    header = ("training", "sharding", "devices", "checkpointing", "tracked, MiB", "predicted, MiB", "error")
    yield table(header, rows)


def layout_of(profile: Profile, recompute: str, sharding: str, devices: int) -> PlannedLayout | None:
    """The plan's layout with the script's own batch on each device; None if the model cannot have it."""
    found = advisor.plan(profile=profile, devices=f"here:{devices}", memory_gb=80)
    for one in found.layouts:
        layout = one.layout
        if layout.micro_steps == 1 and (layout.sharding, layout.data, layout.recompute) == (
            sharding,
            devices,
            recompute,
        ):
            return one
    return None


def tracked(folder: Path, recompute: str, sharding: str, devices: int) -> float:
    return float(output([sys.executable, "tracked.py", recompute, sharding, str(devices)], folder))


def device() -> Iterator[str]:
    """Peaks that torch's allocator counted on the GPU against the plan, all from one profile."""
    with tempfile.TemporaryDirectory(prefix="advisor-plan-") as place:
        profile = advisor.profile(SMALL_GPT, budget=BUDGET_S, runs=place)
    if profile.hardware.accelerators == ():
        raise SystemExit("plan.py: no GPU is here")
    cases = [(batch_size, recompute) for batch_size in BATCH_SIZES for recompute in ("none", "full")]
    with ThreadPoolExecutor(max_workers=4) as pool:  # nothing is timed here
        peaks = list(pool.map(_allocated, *zip(*cases, strict=True)))
    rows: list[list[object]] = []
    errors = []
    for (batch_size, recompute), peak in zip(cases, peaks, strict=True):
        plan = advisor.plan(profile=profile, devices="here:1", global_batch=batch_size)
        (found,) = [one for one in plan.layouts if one.layout.micro_steps == 1 and one.layout.recompute == recompute]
        error = found.memory.total_bytes / peak - 1
        errors.append(abs(error))
        sizes = [f"{size / 2**20:.0f}" for size in (peak, found.memory.total_bytes)]
        rows.append([batch_size, recompute, *sizes, f"{error:+.1%}"])
        say(" ".join(map(str, rows[-1])))
    yield f"A small GPT in float32, profiled at its batch of 8. Largest error of {len(rows)} peaks: {max(errors):.1%}."
    yield table(("batch", "checkpointing", "allocated, MiB", "predicted, MiB", "error"), rows)


def _allocated(batch_size: int, recompute: str) -> float:
    option = ["--checkpointing"] if recompute == "full" else []
    words = [str(SMALL_GPT), f"--batch-size={batch_size}", f"--updates={UPDATES_TO_PEAK}", *option]
    return _figure("peak", output([sys.executable, *words], SCRIPTS))


def ranks(rounds: int) -> Iterator[str]:
    """Updates of two ranks with gloo against those of the same ranks without communication."""
    with tempfile.TemporaryDirectory(prefix="advisor-plan-") as place:
        profile = advisor.profile(SCRIPT, budget=BUDGET_S, runs=place)
    rows, errors = [], []
    for number in range(rounds):
        launcher = ["-m", "torch.distributed.run", "--master-port", str(_free_port()), "--nproc-per-node", "2"]
        text = output([sys.executable, *launcher, str(SCRIPT), "--updates", str(UPDATES)], SCRIPTS)
        together_s, alone_s, all_reduce_s = (_figure(name, text) for name in ("together", "alone", "all_reduce"))
        rate = ALL_REDUCE_BYTES / all_reduce_s / 1e9
        plan = advisor.plan(profile=profile, devices="here:2", memory_gb=8, link_gb_s=rate / LINK_FRACTION)
        ddp = next(one for one in plan.layouts if one.layout.sharding == "ddp" and one.layout.micro_steps == 1)
        predicted_s = alone_s + ddp.time.data_communication_s
        errors.append(predicted_s / together_s - 1)
        sizes = [f"{value * 1e3:.0f}" for value in (alone_s, together_s, predicted_s)]
        rows.append([number + 1, f"{rate:.2f}", *sizes, f"{errors[-1]:+.1%}"])
        say(" ".join(map(str, rows[-1])))
    yield (
        "**Two ranks.** DistributedDataParallel on two CPU threads through gloo. Updates with and without "
        "communication (`no_sync`) alternate in one run; the plan adds its communication to the latter, at the rate "
        f"that an all-reduce of 25 MB reached beside them. Median error {statistics.median(errors):+.1%}."
    )
    header = ("round", "gloo, GB/s", "alone, ms", "with DDP, ms", "predicted, ms", "error")
    yield table(header, rows)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _figure(name: str, text: str) -> float:
    found = re.search(rf"^{name} ([\d.e-]+)$", text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"{SCRIPT.name} printed no {name}: {text}")
    return float(found[1])


def duration() -> Iterator[str]:
    """The whole command for 1,024 devices, from its start to its end."""
    rows = []
    for model, devices in (("llama3-8b", "h100:8x128"), ("llama3-70b", "h100:8x128"), ("llama3-405b", "h100:8x128")):
        argv = [
            sys.executable,
            "-m",
            "advisor",
            "plan",
            "--devices",
            devices,
            "--model",
            model,
            "--global-batch",
            "2048",
        ]
        times, computing = [], []
        for _ in range(3):
            begin_s, cpu_s = time.monotonic(), _children_s()
            output([*argv, "--json"], HERE)
            times.append(time.monotonic() - begin_s)
            computing.append(_children_s() - cpu_s)
        rows.append([model, devices, f"{statistics.median(times):.2f}", f"{statistics.median(computing):.2f}"])
    yield "**Time of a plan.** The whole command, median of three; CPU time does not depend on what else runs:"
    yield table(("model", "devices", "seconds", "of them CPU"), rows)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def output(argv: Sequence[str], folder: Path) -> str:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)} failed:\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
