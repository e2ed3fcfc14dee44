"""A profile of a script on a simulated accelerator, from the agent to the report: only torch's view of it is stood in.

The script replaces, in its own process, what touches the device: events, the profiler, and the wait of `item()`.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

import advisor
from advisor.report.profile.terminal import render_profile
from advisor.types import Profile

pytestmark = [pytest.mark.slow(12), pytest.mark.usefixtures("forks", "thin")]

BUDGET_S = 10.0
"""Enough for what-ifs, too, where other tests keep the machine busy."""

SCRIPT = '''
import sys, time
import torch

KERNEL_NS = int(sys.argv[1]) * 1000

class Simulated:
    """A device whose kernels queue up, and the events that a profiler would see."""
    free_ns, events, on = 0, [], False
    def launch(self):
        now_ns = time.perf_counter_ns()
        begin_ns = max(now_ns + 4_000, self.free_ns)
        self.free_ns = begin_ns + KERNEL_NS
        if self.on:
            number = len(self.events) + 1
            self.events.append(("cudaLaunchKernel", "CPU", now_ns, 3_000, number))
            self.events.append(("kernel", "CUDA", begin_ns, KERNEL_NS, number))
    def wait(self, name):
        begin_ns = time.perf_counter_ns()
        while time.perf_counter_ns() < self.free_ns:
            pass
        if self.on:
            self.events.append((name, "CPU", begin_ns, time.perf_counter_ns() - begin_ns, 0))

simulated = Simulated()

class Event:
    def record(self, *_stream): self.at_ns = max(time.perf_counter_ns(), simulated.free_ns)
    def query(self): return time.perf_counter_ns() >= self.at_ns
    def elapsed_time(self, later): return (later.at_ns - self.at_ns) / 1e6

class Backend:
    def new_event(self): return Event()
    def record(self, event, stream): event.record()
    def current_stream(self): return None
    def capturing(self): return False
    def synchronize(self): simulated.wait("cudaDeviceSynchronize")
    def allocated_bytes(self): return 10**8
    def peak_bytes(self): return 10**8
    def reserved_bytes(self): return 10**8
    def reset_peak(self): pass

class Seen:
    def __init__(self, event): self._event = event
    def name(self): return self._event[0]
    def device_type(self): return self._event[1]
    def start_ns(self): return self._event[2] + 10**15
    def duration_ns(self): return self._event[3]
    def correlation_id(self): return self._event[4]
    def nbytes(self): return 0
    def device_index(self): return 0

def install():
    from _advisor.agent.loop import device, steps
    from _advisor.agent.observe import facts, kineto, trace
    steps.noted_loss = lambda loss: loss.detach()  # as for a loss on a device
    device.open_device = lambda torch, kind=None: device.Device("cuda", Backend())
    found = facts.FactsCollector.workload
    facts.FactsCollector.workload = lambda *args, **given: {**found(*args, **given), "device": "cuda"}
    def start(self): simulated.events, simulated.on = [], True
    def stop(self):
        simulated.on = False
        return kineto.spans_of(map(Seen, simulated.events))
    kineto.Kineto.start, kineto.Kineto.stop = start, stop
    trace.Tracer._read_detail = lambda *_: ("", 4)

def item(tensor, plain=torch.Tensor.item):
    simulated.wait("cudaStreamSynchronize")
    return plain(tensor)

class Layers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(64, 64) for _ in range(16))
    def forward(self, batch):
        for layer in self.layers:
            batch = torch.relu(layer(batch))
            simulated.launch()
        return batch

install()
torch.Tensor.item = item
torch.set_num_threads(1)
model = Layers()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
total = 0.0
while True:
    loss = model(torch.randn(16, 64)).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    total += loss.item()  # the line that waits
'''


def profiled(tmp_path: Path, kernel_us: int) -> Profile:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    return advisor.profile(str(script), [str(kernel_us)], runs=str(tmp_path / "runs"), budget=BUDGET_S)


def printed(profile: Profile) -> str:
    file = io.StringIO()
    render_profile(profile, Console(file=file, width=200))
    return file.getvalue()


def test_a_device_that_waits_for_launches_is_found(tmp_path: Path) -> None:
    found = profiled(tmp_path, kernel_us=5)
    assert found.failure is None
    use = found.device_use
    assert use is not None, found.why_no_device_use
    assert use.kernels_per_update == 16
    assert use.busy_s == pytest.approx(80e-6, rel=0.01)
    assert use.busy_fraction < 0.3
    assert "launch_bound" in {finding.rule for finding in found.findings}
    assert "overhead_bound" not in {finding.rule for finding in found.findings}
    line = SCRIPT.splitlines().index("    total += loss.item()  # the line that waits") + 1
    assert [(site.what, site.line) for site in use.syncs] == [("item", line)]
    assert "no_sync" in {what_if.name for what_if in found.what_ifs}
    assert "healthy" not in printed(found)


def test_a_busy_device_launches_fast_enough_and_its_figures_are_stored(tmp_path: Path) -> None:
    found = profiled(tmp_path, kernel_us=5000)
    use = found.device_use
    assert use is not None, found.why_no_device_use
    assert use.busy_fraction > 0.85
    assert "launch_bound" not in {finding.rule for finding in found.findings}
    assert f"busy {100 * use.busy_fraction:.0f}% of an update (16 kernels" in printed(found)
    stored = advisor.load_run(found.run_folder)
    assert isinstance(stored, Profile)
    assert stored.device_use == use
