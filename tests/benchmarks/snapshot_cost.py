"""Time of a snapshot and the return to it, against plain copies of the same tensors.

python tests/benchmarks/snapshot_cost.py
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from _common import machine, options, publish, say, table

from advisor.agent.settings.snapshot import Snapshot

SIZES = ((96, 4), (256, 60), (2048, 8))
"""Width and number of layers."""
ROUNDS = 10


def main() -> None:
    arguments = options(__doc__).parse_args()
    before = machine()
    rows = [measured(width, layers) for width, layers in SIZES]
    header = (
        "parameters", "state, MiB", "copy, ms", "copy back, ms", "snapshot, ms", "return, ms",
        "snapshot and return ÷ copy", "÷ copy there and back",
    )  # fmt: skip
    parts = [
        "AdamW over linear layers and layer norms, with gradients; medians. A snapshot looks for its objects among all "
        "of the process, which takes the same time for each:",
        table(header, rows),
    ]
    publish("snapshot_cost", "Cost of a snapshot", before, parts, keep=not arguments.no_result)


def measured(width: int, layers: int) -> list[object]:
    parts = [(torch.nn.Linear(width, width), torch.nn.LayerNorm(width), torch.nn.ReLU()) for _ in range(layers)]
    model = torch.nn.Sequential(*[module for part in parts for module in part])
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randn(4, width)).square().mean().backward()
        optimizer.step()
    tensors = [*model.parameters(), *model.buffers(), *[one.grad for one in model.parameters() if one.grad is not None]]
    tensors += [value for entry in optimizer.state.values() for value in entry.values() if torch.is_tensor(value)]
    times: list[list[float]] = [[], [], [], []]
    size = 0
    for _ in range(ROUNDS):
        copies = timed(times[0], lambda: [tensor.detach().clone() for tensor in tensors])
        with torch.no_grad():
            timed(times[1], lambda copies=copies: [one.copy_(copy) for one, copy in zip(tensors, copies, strict=True)])
        del copies
        snapshot = timed(times[2], Snapshot)
        timed(times[3], snapshot.restore)
        size = snapshot.bytes
        del snapshot
    copy, back, taken, returned = (1e3 * statistics.median(each[1:]) for each in times)
    both = taken + returned
    ratios = [f"{both / copy:.2f}", f"{both / (copy + back):.2f}"]
    shown = [f"{value:.1f}" for value in (copy, back, taken, returned)]
    found = [f"{sum(one.numel() for one in model.parameters()):,}", f"{size / 2**20:.0f}", *shown, *ratios]
    say(" ".join(found))
    return list(found)


def timed(times: list[float], work: Any) -> Any:
    begin_s = time.perf_counter()
    result = work()
    times.append(time.perf_counter() - begin_s)
    return result


if __name__ == "__main__":
    main()
