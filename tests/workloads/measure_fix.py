"""Measures what a workload's fix really gives: original and fixed script in fresh processes, in turn.

    python measure_fix.py                       every labelled script, those of reports/ included
    python measure_fix.py gan_samples tabular   only those whose name contains one of the words
    python measure_fix.py --seconds 10 --rounds 4 ...

A healthy script is measured against every entry of its `tried`, which must not pay.
The unit is the whole update a second of wall time, evaluation and checkpoints included. Pairs that ran while other
programs used the machine are measured again where `--patience` allows, and are told apart by the last column.
`--by-cpu-time` compares CPU seconds an update instead (threads that wait then sleep): an estimate for a machine that is
busy, good for work that is saved, meaningless where the fix is about waiting, workers or threads.
"""

import argparse
import json
import os
import runpy
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from labelled import OWN, REPORTS, labels_of, missing_packages

HERE = Path(__file__).resolve().parent
WARM_UP_UPDATES = 10
QUIET_CPUS = 0.15  # of two: below this, repeated pairs agreed to a few per cent
LONGEST_START_S = 180.0  # torch.compile of a first step can take a minute on two cores


def cpu_seconds() -> tuple[float, float]:
    """CPU time spent by the whole machine, and by this process with its children (Linux)."""
    user, nice, system, _idle, _wait, irq, soft_irq, *_ = map(int, Path("/proc/stat").read_text().split()[1:11])
    own = sum(os.times()[:4])
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        own += times.user + times.system
    return (user + nice + system + irq + soft_irq) / os.sysconf("SC_CLK_TCK"), own


def count_updates(out: Path, seconds: float, warm_up_s: float, script: str, args: list[str]) -> None:
    """Runs `script` as `python script args` would, counts updates for `seconds`, writes them to `out` and leaves."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    # Parameters -> [parameters, updates, updates at the window's start]. Not by optimizer: a script may make a new one for
    # each client or fold, and that many of its kind are one to it.
    seen: dict[int, list] = {}
    clock = {"first": None, "start": None}
    cpu = {}

    def after_step(optimizer, _args, _kwargs):
        now = time.perf_counter()
        size = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
        entry = seen.setdefault(size, [size, 0, 0])
        entry[1] += 1
        clock["first"] = clock["first"] or now
        main = max(seen.values(), key=lambda e: e[0])
        if clock["start"] is None:
            if now - clock["first"] >= warm_up_s and main[1] >= WARM_UP_UPDATES and entry is main:
                clock["start"] = now
                cpu["machine"], cpu["own"] = cpu_seconds()
                for e in seen.values():
                    e[2] = e[1]
        elif now - clock["start"] >= seconds and entry is main:
            updates = main[1] - main[2]
            seconds_here = now - clock["start"]
            machine, own = cpu_seconds()
            others = max(0.0, machine - cpu["machine"] - (own - cpu["own"])) / seconds_here
            spent = (own - cpu["own"]) / updates
            result = {"updates": updates, "seconds": seconds_here, "others_cpus": others, "cpu_s_per_update": spent}
            out.write_text(json.dumps(result))
            os._exit(0)

    register_optimizer_step_post_hook(after_step)
    sys.argv = [script, *args]
    sys.path[0] = str(Path(script).resolve().parent)
    runpy.run_path(script, run_name="__main__")


def rate(script: Path, args: list[str], seconds: float, warm_up_s: float, by_cpu_time: bool = False) -> tuple[float, float]:
    """Updates a second (of CPU time if asked), and CPUs that others used meanwhile, of a fresh process in a folder of its own that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="workload-") as scratch:
        out = Path(scratch) / "count.json"
        log = Path(scratch) / "output"
        quiet_threads = {"OMP_WAIT_POLICY": "passive"} if by_cpu_time else {}
        command = [sys.executable, str(HERE / "measure_fix.py"), "run", str(out), str(seconds), str(warm_up_s)]
        with log.open("wb") as sink:
            child = subprocess.Popen(
                [*command, str(script), *args],
                cwd=scratch, env={**os.environ, "TMPDIR": scratch, **quiet_threads}, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
                start_new_session=True,
            )  # fmt: skip
            try:
                child.wait(timeout=LONGEST_START_S + warm_up_s + 4 * seconds)
            except subprocess.TimeoutExpired:
                pass
            finally:
                # A session of its own: loader workers that outlive the exit go with it, and nobody else does.
                try:
                    os.killpg(child.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                child.wait(timeout=10)
        if not out.exists():
            tail = log.read_text(errors="replace")[-2000:]
            raise SystemExit(f"{script.name} {args}: no result (exit code {child.returncode})\n{tail}")
        result = json.loads(out.read_text())
        speed = 1 / result["cpu_s_per_update"] if by_cpu_time else result["updates"] / result["seconds"]
        return speed, result["others_cpus"]


def variant(script: Path, change: dict, folder: Path) -> tuple[Path, list[str] | None]:
    """The script with a change's replacements applied, and its arguments (None: those of the original)."""
    text = script.read_text()
    for old, new in change.get("replace", []):
        if old not in text:
            raise SystemExit(f"{script.name}: the fix replaces {old!r}, which is not in the script")
        text = text.replace(old, new)
    fixed = folder / script.name
    fixed.write_text(text)
    return fixed, change.get("args")


def compare(name: str, label: dict, change: dict, options: argparse.Namespace) -> tuple[list[float], float]:
    """The ratios of `--rounds` pairs (the least disturbed ones), and the CPUs that others used at most during them."""
    script = label["path"]
    folder = Path(tempfile.mkdtemp(prefix="workload-fix-"))
    warm_up_s = label.get("warm_up_s", 1.5)
    try:
        fixed, args = variant(script, change, folder)
        before = (script, label["args"])
        after = (fixed, before[1] if args is None else args)
        pairs: list[tuple[float, float]] = []
        for number in range(options.rounds + options.patience):
            order = [before, after] if number % 2 == 0 else [after, before]
            results = [rate(path, arguments, options.seconds, warm_up_s, options.by_cpu_time) for path, arguments in order]
            if number % 2:
                results.reverse()
            (slow, slow_others), (fast, fast_others) = results
            others = max(slow_others, fast_others)
            pairs.append((others, fast / slow / change.get("updates_for_same_work", 1.0)))
            print(f"  {name}: {slow:.2f} -> {fast:.2f} updates/s, others {others:.2f}", file=sys.stderr, flush=True)
            pairs.sort()
            if len(pairs) >= options.rounds and (options.by_cpu_time or pairs[options.rounds - 1][0] <= QUIET_CPUS):
                break
        pairs = pairs[: options.rounds]
        return [ratio for _, ratio in pairs], pairs[-1][0]
    finally:
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patience", type=int, default=3, help="more rounds at most, where others disturbed")
    parser.add_argument("--by-cpu-time", action="store_true")
    options = parser.parse_args()
    for name, label in labels_of(OWN, REPORTS).items():
        if options.words and not any(word in name for word in options.words):
            continue
        if missing := missing_packages(label):
            print(f"{name:28} not measured: {' and '.join(missing)} not installed", flush=True)
            continue
        changes = label["tried"] if label.get("healthy") else [label["fix"]]
        for change in changes:
            ratios, others = compare(name, label, change, options)
            expected = label.get("gain", [0.0, 1.1])
            middle = statistics.median(ratios)
            verdict = "ok" if expected[0] <= middle <= expected[1] else "OUTSIDE"
            what = change.get("what", label.get("rule"))
            print(
                f"{name:28} {what:22} {middle:6.2f}  ({min(ratios):.2f} .. {max(ratios):.2f})  label {expected} {verdict}, others {others:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        count_updates(Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), sys.argv[5], sys.argv[6:])
    else:
        main()
