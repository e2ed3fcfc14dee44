"""What the script forks: nothing of ours acts there, and nothing that owns a handle of the device is freed there."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from pathlib import Path

import forked
import pytest
import torch
from announced import without_announcement
from wild.probing import probe

from advisor import wire
from advisor.analysis.profile_plan import FIRST

pytestmark = pytest.mark.slow

LIMIT_S = 60.0

DEVICE = """
    # A stand-in for a device: to free one of its events in a process that did not make it ends that process, as the
    # driver does. The agent is made to believe that the script computes on it.
    import os, sys, time
    import torch

    class Event:
        def __init__(self):
            self.process = os.getpid()
        def query(self):
            return True
        def elapsed_time(self, later):
            return (later.at_s - self.at_s) * 1e3
        def __del__(self):
            if os.getpid() != self.process:
                os.kill(os.getpid(), 6)

    class Backend:
        def __init__(self, torch, kind):
            pass
        def new_event(self):
            return Event()
        def record(self, event, stream):
            event.at_s = time.perf_counter()
        def current_stream(self):
            return None
        def capturing(self):
            return False
        def synchronize(self):
            pass
        def allocated_bytes(self):
            return 1
        peak_bytes = reserved_bytes = allocated_bytes
        def reset_peak(self):
            pass

    layer = sys.modules["{package}.agent.loop.device"]
    layer._awake = lambda torch, kind: kind == "cuda"
    layer.Backend = Backend
"""
TRAINING = """
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def step(batch):
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()
"""


def script(folder: Path, *parts: str, package: str = "_advisor") -> Path:
    path = folder / "train.py"
    path.write_text("".join(textwrap.dedent(part).replace("{package}", package) for part in parts))
    return path


def windows() -> list[wire.Window]:
    """One that never has enough, so that events and losses are held whenever a worker is forked."""
    return [wire.Window(id=FIRST, warm_up_updates=1, min_updates=10_000, max_s=30.0)]


@pytest.mark.parametrize("persistent", [False, True])
def test_a_worker_of_a_later_epoch_frees_nothing_of_the_device(tmp_path: Path, persistent: bool) -> None:
    script(
        tmp_path,
        DEVICE,
        TRAINING,
        f"""
        loader = DataLoader(TensorDataset(torch.randn(32, 4)), batch_size=4, num_workers=2,
                            persistent_workers={persistent})
        for epoch in range(3):
            for (batch,) in loader:
                step(batch)
        """,
    )
    probed = probe(["train.py"], cwd=tmp_path, folder=tmp_path, wanted=windows())
    (script_run,) = probed.result.script_runs
    assert (script_run.failure, script_run.exit_code, script_run.updates) == (None, 0, 24)
    assert probed.first.device_peak_bytes == 1  # the stand-in was in use


@pytest.mark.parametrize("end", ["sys.exit(0)", "os._exit(0)"])
def test_a_child_that_ends_as_a_script_does_frees_nothing_of_the_device(tmp_path: Path, end: str) -> None:
    script(
        tmp_path,
        DEVICE,
        TRAINING,
        f"""
        for number in range(12):
            step(torch.randn(4, 4))
        child = os.fork()
        if child == 0:
            step(torch.randn(4, 4))
            {end}
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for number in range(12):
            step(torch.randn(4, 4))
        sys.exit(ended)
        """,
    )
    probed = probe(["train.py"], cwd=tmp_path, folder=tmp_path, wanted=windows())
    (script_run,) = probed.result.script_runs
    assert (script_run.exit_code, script_run.updates) == (0, 24)


def test_training_in_a_forked_child_is_left_alone_in_a_probe(tmp_path: Path) -> None:
    """Nobody trains in the parent: a child that took itself for the training ended for want of a controller."""
    script(
        tmp_path,
        "import torch",
        TRAINING,
        """
        import multiprocessing, sys

        def train(number):
            for _ in range(20):
                step(torch.randn(4, 4))
            sys.exit(40 + number)

        children = [multiprocessing.get_context("fork").Process(target=train, args=(n,)) for n in (1, 2)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        sys.exit([child.exitcode for child in children] != [41, 42])
        """,
    )
    probed = probe(["train.py"], cwd=tmp_path, folder=tmp_path, wanted=windows())
    (script_run,) = probed.result.script_runs
    assert (script_run.exit_code, script_run.updates, probed.agent_errors) == (0, 0, [])
    assert probed.profile.failure is not None
    assert "started others" in probed.profile.failure.message


MODULES_IN_WORKERS = """
    import concurrent.futures, multiprocessing, sys
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset

    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(()))
        def forward(self, sample):
            return sample * self.factor

    class Samples(Dataset):
        def __init__(self):
            self.transform = Scale()
            self.encoder = nn.Linear(4, 4)
        def __len__(self):
            return 32
        def __getitem__(self, index):
            sample = self.encoder(self.transform(torch.full((4,), float(index))))
            sample.sum().backward()  # a worker that learns something for itself
            torch.optim.SGD(self.encoder.parameters(), lr=0.0).step()
            return sample.detach()

    def distil(index):
        teacher = nn.Linear(4, 4)
        optimizer = torch.optim.SGD(teacher.parameters(), lr=0.1)
        for _ in range(10):
            optimizer.zero_grad()
            teacher(torch.ones(4)).sum().backward()
            optimizer.step()
        return str(teacher(torch.ones(4)).dtype)

    def main():
        torch.manual_seed(0)
        model = nn.Linear(4, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for epoch in range(3):
            for batch in DataLoader(Samples(), batch_size=4, num_workers=2):
                scores = model(batch)
                optimizer.zero_grad()
                scores.square().mean().backward()
                optimizer.step()
                print(scores.dtype)
        fork = multiprocessing.get_context("fork")
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=fork) as pool:
            print("beside", *pool.map(distil, range(2)))

    if __name__ == "__main__":
        main()
"""


def run(folder: Path, settings: str, *args: str) -> subprocess.CompletedProcess[str]:
    (folder / "advisor.yaml").write_text(f"version: 1\nsettings: {{{settings}}}\n")
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    words = ("run", "--config", "advisor.yaml", "train.py", *args)
    return forked.advisor(folder, *words, limit_s=LIMIT_S, environment=environment)


@pytest.mark.parametrize("settings", ["precision: bf16", "precision: bf16, num_workers: 1"])
def test_settings_reach_the_training_and_no_module_that_a_worker_calls(tmp_path: Path, settings: str) -> None:
    script(tmp_path, MODULES_IN_WORKERS)
    done = run(tmp_path, settings)
    lines = done.stdout.splitlines()
    assert (done.returncode, without_announcement(done.stderr)) == (0, "")
    assert lines[:-1] == ["torch.bfloat16"] * 24
    assert lines[-1] == "beside torch.float32 torch.float32"
    assert not list((tmp_path / "state").rglob("*.jsonl"))


def test_updates_of_a_worker_are_not_counted_in_a_probe(tmp_path: Path) -> None:
    script(tmp_path, MODULES_IN_WORKERS)
    probed = probe(["train.py"], cwd=tmp_path, folder=tmp_path, wanted=windows())
    (script_run,) = probed.result.script_runs
    assert (script_run.failure, script_run.updates, probed.agent_errors) == (None, 24, [])


def test_settings_applied_from_inside_a_script_are_those_of_its_own_process(tmp_path: Path) -> None:
    (tmp_path / "advisor.yaml").write_text("version: 1\nsettings: {precision: bf16}\n")
    (tmp_path / "case.py").write_text(
        textwrap.dedent("""
        import json, os, sys
        import advisor, torch

        advisor.apply("advisor.yaml")

        def trained():
            model = torch.nn.Linear(4, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            for _ in range(8):
                scores = model(torch.ones(2, 4))
                optimizer.zero_grad()
                scores.sum().backward()
                optimizer.step()
            return str(scores.dtype)

        reading, writing = os.pipe()
        if os.fork() == 0:
            os.write(writing, trained().encode())
            sys.exit()
        os.wait()
        print(json.dumps([os.read(reading, 100).decode(), trained()]))
        """)
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = forked.run(tmp_path, "case.py", limit_s=LIMIT_S, environment=environment)
    assert json.loads(done.out) == ["torch.float32", "torch.bfloat16"]
    assert done.err == ""


ON_THE_DEVICE = """
    import os, sys
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset

    class Samples(Dataset):
        transform = nn.Dropout(0.1)
        def __len__(self):
            return 256
        def __getitem__(self, index):
            return self.transform(torch.full((16,), float(index)))

    def main():
        model = nn.Linear(16, 16).cuda()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
        loader = DataLoader(Samples(), batch_size=4, num_workers=2, pin_memory=True,
                            persistent_workers=sys.argv[1] == "persistent", multiprocessing_context=sys.argv[2])
        for epoch in range(3):
            for batch in loader:
                scores = model(batch.cuda(non_blocking=True))
                optimizer.zero_grad()
                scores.square().mean().backward()
                optimizer.step()
        print(scores.dtype)

    if __name__ == "__main__":
        main()
"""


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("start", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("workers", ["persistent", "anew"])
def test_three_epochs_with_workers_on_a_real_device(tmp_path: Path, workers: str, start: str) -> None:
    script(tmp_path, ON_THE_DEVICE)
    probed = probe(["train.py"], [workers, start], cwd=tmp_path, folder=tmp_path, wanted=windows())
    (script_run,) = probed.result.script_runs
    assert (script_run.failure, script_run.exit_code, script_run.updates, probed.agent_errors) == (None, 0, 192, [])
    done = run(tmp_path, "precision: bf16, fused_optimizer: fused", workers, start)
    assert (done.returncode, done.stdout, without_announcement(done.stderr)) == (0, "torch.bfloat16\n", "")
