"""Finds the sizes of `stack.py` whose updates take about so long; the shortest is bound by launches."""

import argparse
import json
import sys
import time

import torch
from _stopwatch import RESULT
from stack import Training

MOST_LAYERS = 256
TRIED_PASSES = (100, 200)
"""Enough for the device to be what is waited for."""
UPDATES = 20


def update_s(layers, passes, device):
    training = Training(layers, passes, device, torch.autocast(device, torch.bfloat16))
    batches = list(training.loader)[:UPDATES]
    for _ in range(2):  # the first time warms up
        synchronize(device)
        begin_s = time.perf_counter()
        for features, targets in batches:
            training.update(features, targets)
        synchronize(device)
    return (time.perf_counter() - begin_s) / len(batches)


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def sizes(wanted_s, device):
    """Layers until an update takes as long as the shortest wished for, then passes for what the others lack."""
    layers = 1
    while update_s(2 * layers, 0, device) < wanted_s[0] and layers < MOST_LAYERS:
        layers *= 2
    few_s, many_s = update_s(layers, 0, device), update_s(2 * layers, 0, device)
    part = (wanted_s[0] - few_s) / max(many_s - few_s, 1e-9)
    layers = max(1, round(layers * (1 + min(1.0, part))))
    few, many = TRIED_PASSES
    few_s, many_s = update_s(layers, few, device), update_s(layers, many, device)
    pass_s = max(1e-6, (many_s - few_s) / (many - few))
    passes = [0, *(max(0, round(few + (wished_s - few_s) / pass_s)) for wished_s in wanted_s[1:])]
    return [{"layers": layers, "passes": count} for count in passes]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("update_s", type=float, nargs="+")
    parser.add_argument("--wait", action="store_true", help="begin with a line on stdin")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    update_s(1, 1, device)
    if args.wait:
        print("ready", flush=True)
        if not sys.stdin.readline():
            return
    print(RESULT + json.dumps({"sizes": sizes(sorted(args.update_s), device)}), flush=True)


if __name__ == "__main__":
    main()
