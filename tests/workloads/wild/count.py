"""Runs the scripts of this folder as they are and compares what they do with labels.toml.

    python count.py              all of them (a few minutes)
    python count.py NAME...      some

A child process of this file runs one script with a hook on every optimizer's step and on every backward.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
LIMIT_S = 60.0
ENDLESS_LIMIT_S = 8.0


def watch(out: Path, command: list[str]) -> None:
    """Runs `python command...` in this process and keeps `out` up to date with the counts."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    steps: dict[int, list] = {}
    backwards = 0
    held = []

    def write():
        counts = [count for count, _ in steps.values()]
        main = max(steps.values(), key=lambda entry: (entry[1], entry[0]))[0] if steps else 0
        text = json.dumps({"updates": main, "optimizers": len(counts), "backwards": backwards})
        out.with_suffix(".new").write_text(text)
        out.with_suffix(".new").replace(out)  # the process may be killed at any moment

    def after_step(optimizer, _args, _kwargs):
        if id(optimizer) not in steps:
            held.append(optimizer)
            steps[id(optimizer)] = [0, sum(p.numel() for g in optimizer.param_groups for p in g["params"])]
        steps[id(optimizer)][0] += 1
        write()

    original = torch.Tensor.backward

    def backward(tensor, *args, **kwargs):
        nonlocal backwards
        original(tensor, *args, **kwargs)
        backwards += tensor.device.type != "meta"
        write()

    torch.Tensor.backward = backward
    register_optimizer_step_post_hook(after_step)
    write()
    module = command[0] == "-m"
    sys.argv = command[1:] if module else command
    sys.path[0] = os.getcwd() if module else str(Path(command[0]).resolve().parent)
    if module:
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(command[0], run_name="__main__")


def run(name: str, label: dict) -> dict:
    command = label.get("start", [f"{name}.py"]) + label.get("args", [])
    with tempfile.TemporaryDirectory(prefix="wild-") as scratch:
        counts = Path(scratch) / "counts.json"
        # A copy: scripts write beside themselves.
        subprocess.run(["cp", "-r", str(HERE), f"{scratch}/copy"], check=True)
        with (Path(scratch) / "output").open("wb") as sink:
            child = subprocess.Popen(
                [sys.executable, f"{scratch}/copy/count.py", "--watch", str(counts), *command],
                cwd=f"{scratch}/copy", env={**os.environ, "TMPDIR": scratch, "OMP_NUM_THREADS": "1"}, stdin=subprocess.DEVNULL,
                stdout=sink, stderr=sink, start_new_session=True,
            )  # fmt: skip
            try:
                code = child.wait(ENDLESS_LIMIT_S if label.get("endless") else LIMIT_S)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                try:
                    os.killpg(child.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                child.wait(10)
                end_strays(scratch)
        result = json.loads(counts.read_text()) if counts.exists() else {"updates": 0, "optimizers": 0, "backwards": 0}
        output = (Path(scratch) / "output").read_bytes()[-3000:].decode(errors="replace")
        left = [p for p in label.get("must_not_leave", []) if (Path(scratch) / "copy" / p).exists()]
    return {**result, "exit_code": code, "output": output, "left": left}


def end_strays(scratch: str) -> None:
    """Ends what left the child's process group: whatever still has this run's own TMPDIR in its environment."""
    for process in psutil.process_iter(["pid"]):
        try:
            if process.environ().get("TMPDIR") == scratch:
                process.kill()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def within(value: float, expected) -> bool:
    low, high = expected if isinstance(expected, list) else (expected, expected)
    return low <= value <= high


def problems(label: dict, result: dict) -> list[str]:
    wrong = []
    updates = result["updates"] if label.get("optimizers", 1) else result["backwards"]
    may_fail = label.get("or_refused") == "crash" and result["exit_code"]
    if label.get("endless"):
        if result["exit_code"] is not None:
            wrong.append(f"ended with {result['exit_code']}, but is labelled endless")
        if label.get("refused") and updates != label["updates"]:
            wrong.append(f"{updates} updates, label {label['updates']}")
    elif not may_fail:
        if result["exit_code"] != label.get("exit_code", 0):
            wrong.append(f"exit code {result['exit_code']}, label {label.get('exit_code', 0)}")
        if not within(updates, label["updates"]):
            wrong.append(f"{updates} updates, label {label['updates']}")
        again = 1 if label.get("out_of_memory_caught") else 0  # the first attempt had an optimizer of its own
        if "optimizers" in label and result["optimizers"] != label["optimizers"] + again:
            wrong.append(f"{result['optimizers']} optimizers, label {label['optimizers']}")
        micro = label.get("backwards_per_update", label.get("micro_steps_per_update"))
        if micro and updates and not again and label.get("optimizers") != 3 and not within(result["backwards"] / updates, micro):
            wrong.append(f"{result['backwards'] / updates:.2f} backwards an update, label {micro}")
    if label.get("message", "") not in result["output"]:
        wrong.append(f"{label['message']!r} is not in the output")
    if result["left"]:
        wrong.append(f"left {result['left']}")
    return wrong


def main() -> None:
    labels = tomllib.loads((HERE / "labels.toml").read_text())
    bad = 0
    for name in sys.argv[1:] or labels:
        result = run(name, labels[name])
        wrong = problems(labels[name], result)
        bad += bool(wrong)
        print(f"{name:24} {'; '.join(wrong) or 'ok'}   updates {result['updates']}, backwards {result['backwards']}, "
              f"optimizers {result['optimizers']}, exit {result['exit_code']}", flush=True)
        if wrong:
            print(result["output"][-600:])
    sys.exit(bool(bad))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--watch"]:
        watch(Path(sys.argv[2]), sys.argv[3:])
    else:
        main()
