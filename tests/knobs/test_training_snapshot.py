"""A training that returns to a snapshot makes the same updates again, bit for bit."""

from __future__ import annotations

import textwrap
from pathlib import Path

import child
import pytest
from live import LIMIT_S, LOOP

PARTS = """
import random
import numpy
from advisor.agent.loader.tape import Tape
from advisor.agent.settings.snapshot import Snapshot

hook()
FOLDER = ""

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16), torch.nn.Dropout(0.3))
        self.head = torch.nn.Linear(16, 4)
        self.calls = 0
    def forward(self, inputs):
        self.calls += 1
        return self.head(self.body(inputs)) + random.random() * 1e-3 + numpy.random.rand() * 1e-3

class Data(Dataset):
    def __len__(self):
        return 40
    def __getitem__(self, index):
        return torch.full((8,), index / 40) + torch.rand(8) + numpy.random.rand() + random.random(), index % 4

def fingerprint(model, optimizers):
    parts = [*model.state_dict().values()]
    for optimizer in optimizers:
        for entry in optimizer.state.values():
            parts += [value for value in entry.values() if torch.is_tensor(value)]
    return [part.clone() for part in parts]

def twice(make, updates=6, begin=5, after_step=None, model=None, workers=0, batches=None, zero=True):
    '''Losses and states of the updates after a snapshot, made two times.'''
    torch.manual_seed(0), random.seed(0), numpy.random.seed(0)
    model = model or Model()
    optimizers = make(model)
    loader = DataLoader(Data(), batch_size=4, shuffle=True, num_workers=workers)
    passes = [[], []]
    state = {}
    def on_update(update):
        number = clock.updates
        if number == begin:
            loaders.deliveries.hold_ends = True
            state["snapshot"] = Snapshot(FOLDER)
            state["tape"] = loaders.deliveries.tape = Tape(1 << 30)
        elif number > begin:
            which = (number - begin - 1) // updates
            if which < 2:
                passes[which].append((update.loss, fingerprint(model, optimizers)))
            if number == begin + updates:
                state["snapshot"].restore()
                assert state["tape"].rewind()
    clock.on_update = on_update
    for number, (inputs, targets) in enumerate(batches or endless(loader)):
        loss = torch.nn.functional.cross_entropy(model(inputs), targets)
        if zero:
            [optimizer.zero_grad() for optimizer in optimizers]
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        if after_step:
            after_step(model, optimizers, loss)
        if clock.updates >= begin + 2 * updates:
            break
    loaders.deliveries.tape = None
    (one, other) = passes
    same = [a[0] == b[0] and all(map(torch.equal, a[1], b[1])) for a, b in zip(one, other)]
    return same, len({loss for loss, _ in one}), state["snapshot"]

def endless(loader):
    while True:
        yield from loader
"""


def says(folder: Path, code: str) -> str:
    return child.says(folder, LOOP, PARTS, textwrap.dedent(code), limit_s=LIMIT_S)


@pytest.mark.parametrize(
    "make",
    [
        "lambda m: [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)]",
        "lambda m: [torch.optim.SGD(m.parameters(), lr=0.1)]",
        "lambda m: [torch.optim.Adam(m.parameters(), lr=0.01, amsgrad=True)]",
        "lambda m: [torch.optim.AdamW(m.parameters(), lr=0.01, fused=True)]",
        "lambda m: [torch.optim.Adam(m.head.parameters(), lr=0.01),"
        " torch.optim.SGD(m.body.parameters(), lr=0.1, momentum=0.9)]",
        "lambda m: [torch.optim.Adagrad(m.parameters(), lr=0.01)]",
        "lambda m: [torch.optim.RMSprop(m.parameters(), lr=0.01, momentum=0.5)]",
    ],
    ids=["momentum", "sgd", "adam", "fused", "two", "adagrad", "rmsprop"],
)
@pytest.mark.parametrize("begin", [4, 9])
def test_the_same_updates_come_again(make: str, begin: int, tmp_path: Path) -> None:
    """With dropout, batch norm and draws of torch, Python and NumPy in the model and in the dataset."""
    code = f"same, losses, _ = twice({make}, begin={begin})\nprint(same, losses)"
    assert says(tmp_path, code) == f"{[True] * 6} 6"


@pytest.mark.parametrize("workers", [0, 2])
def test_over_the_end_of_an_epoch_and_with_workers(workers: int, tmp_path: Path) -> None:
    code = f"""
    make = lambda m: [torch.optim.Adam(m.parameters())]
    same, losses, _ = twice(make, updates=12, begin=7, workers={workers})
    print(same, losses)
    """
    assert says(tmp_path, code) == f"{[True] * 12} 12"


def test_batches_drawn_by_hand_come_again(tmp_path: Path) -> None:
    code = """
    def drawn():
        generator = numpy.random.default_rng(0)
        while True:
            yield torch.rand(4, 8) + generator.random(), torch.randint(4, (4,))
    # The loop holds the generator of batches, which holds the generator of numbers.
    own = torch.Generator().manual_seed(1)
    def by_main():
        while True:
            yield torch.rand(4, 8, generator=own), torch.randint(4, (4,))
    print(twice(lambda m: [torch.optim.Adam(m.parameters())], batches=by_main())[0])
    """
    assert says(tmp_path, code) == f"{[True] * 6}"


def test_schedulers_and_averages_return(tmp_path: Path) -> None:
    code = """
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
    held = {}
    def make(model):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        held["scheduler"] = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
        held["average"] = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
        held["seen"] = []
        return [optimizer]
    def after(model, optimizers, loss):
        held["scheduler"].step()
        held["average"].update_parameters(model)
        held["seen"].append((held["scheduler"].last_epoch, optimizers[0].param_groups[0]["lr"],
                             held["average"].module.head.weight.sum().item(), held["average"].n_averaged.item()))
    same, _, _ = twice(make, after_step=after, begin=4)
    seen = held["seen"]
    print(same, seen[4:9] == seen[10:15], len(set(seen[4:9])))
    """
    # The script's calls after the last update of a pass come after the return.
    assert says(tmp_path, code) == f"{[True] * 6} True 5"


def test_a_gradient_scaler_of_the_script_returns(tmp_path: Path) -> None:
    code = """
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    state, scales = {}, []
    def on_update(update):
        if clock.updates == 3:
            state["snapshot"] = Snapshot(FOLDER)
        if clock.updates == 7:
            state["snapshot"].restore()
    clock.on_update = on_update
    for _ in range(11):
        optimizer.zero_grad()
        scaler.scale(torch.nn.functional.cross_entropy(model(torch.ones(4, 8)), torch.arange(4))).backward()
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    print(scales[2:6] == scales[6:10], len(set(scales)) > 3)
    """
    assert says(tmp_path, code) == "True True"


@pytest.mark.parametrize(
    "parts",
    [
        "(m := torch.nn.Linear(2, 1)), torch.optim.LBFGS(m.parameters(), lr=0.01, max_iter=3), torch.ones(3, 2)",
        "(m := torch.nn.Embedding(5, 2, sparse=True)), torch.optim.SparseAdam(m.parameters()), torch.tensor([1])",
    ],
    ids=["lbfgs", "sparse"],
)
def test_closures_and_sparse_gradients_return(parts: str, tmp_path: Path) -> None:
    code = f"""
    torch.manual_seed(0)  # the sum of some first weights rounds two states to one value
    model, optimizer, inputs = {parts}
    state, seen = {{}}, []
    def on_update(update):
        seen.append(model.weight.detach().sum().item())
        if clock.updates == 2:
            state["snapshot"] = Snapshot(FOLDER)
        if clock.updates == 5:
            state["snapshot"].restore()
    clock.on_update = on_update
    def closure():
        optimizer.zero_grad()
        loss = (model(inputs) - 1).square().sum()
        loss.backward()
        return loss
    for _ in range(8):
        optimizer.step(closure)
    print(seen[2:5] == seen[5:8], len(set(seen)))
    """
    assert says(tmp_path, code) == "True 5"


def test_gradients_that_the_script_keeps_adding_to_return(tmp_path: Path) -> None:
    code = "print(twice(lambda m: [torch.optim.SGD(m.parameters(), lr=0.01)], zero=False)[0])"
    assert says(tmp_path, code) == f"{[True] * 6}"


def test_a_diverged_training_returns(tmp_path: Path) -> None:
    code = """
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.Adam(model.parameters())
    def step(scale):
        loss = model(torch.ones(4, 8) * scale).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()
    step(1.0), step(1.0)
    snapshot = Snapshot()
    before = step(1.0)
    step(float("nan"))
    print(model.head.weight.isnan().any().item())
    snapshot.restore()
    print(step(1.0) == before)
    """
    assert says(tmp_path, code) == "True\nTrue"


def test_frozen_parts_are_not_copied_and_counters_are_named(tmp_path: Path) -> None:
    code = """
    frozen = torch.nn.Linear(1000, 1000).requires_grad_(False)
    def loop():
        step, best = 0, 5.0
        model = Model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        def on_update(update):
            if clock.updates == 2:
                found["snapshot"] = Snapshot()
            if clock.updates == 3:
                found["moved"] = found["snapshot"].moved()
        clock.on_update = on_update
        found = {}
        for step in range(3):
            model(torch.ones(4, 8)).sum().backward()
            optimizer.step()
        return found
    found = loop()
    print(found["moved"], found["snapshot"].bytes < 100_000, found["snapshot"].changed_outside())
    frozen.weight.zero_()
    print(found["snapshot"].changed_outside())
    """
    assert says(tmp_path, code) == "['step'] True 0\n1"


def test_a_state_that_memory_does_not_hold_twice_is_refused(tmp_path: Path) -> None:
    code = """
    from advisor.agent.settings import snapshot
    snapshot.free_bytes = lambda: 1000
    model = Model()
    try:
        Snapshot()
    except Refused as why:
        print(str(why).startswith("a copy of the training's state takes"))
    """
    assert says(tmp_path, code) == "True"


@pytest.mark.parametrize(
    "make",
    [
        "lambda m: [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)]",
        "lambda m: [torch.optim.Adam(m.head.parameters(), lr=0.01),"
        " torch.optim.SGD(m.body.parameters(), lr=0.1, momentum=0.9)]",
    ],
    ids=["momentum", "two"],
)
def test_from_a_disk_the_same_updates_come_again(make: str, tmp_path: Path) -> None:
    code = f"""
    import os
    from advisor.agent.settings import snapshot
    snapshot.free_bytes = lambda: 1000
    FOLDER = os.getcwd()
    before = sorted(os.listdir())
    same, losses, found = twice({make}, begin=9)
    written = os.stat(found._spill._file.fileno())
    print(same, losses, found.on_disk, written.st_size == found.bytes > 1000, written.st_nlink)
    print(sorted(os.listdir()) == before)
    found.close()
    """
    assert says(tmp_path, code) == f"{[True] * 6} 6 True True 0\nTrue"


def test_a_state_that_neither_memory_nor_a_disk_holds_is_refused(tmp_path: Path) -> None:
    code = """
    import collections, os, shutil
    from advisor.agent.settings import snapshot
    snapshot.free_bytes = lambda: 1000
    model = Model()
    def why(folder):
        try:
            Snapshot(folder)
        except Refused as refused:
            return str(refused).partition(" (cpu), ")[2]
    print(why("/dev/shm"))
    print(why("missing"))
    shutil.disk_usage = lambda folder: collections.namedtuple("Usage", "free")(1000)
    print(why(os.getcwd()).replace(os.getcwd(), "HERE"))
    """
    assert says(tmp_path, code) == (
        "and /dev/shm lies in memory itself\n"
        "and no file can be made in missing: No such file or directory\n"
        "and the disk of HERE has 0.00 GiB free"
    )


def test_tensors_come_back_from_a_file_bit_for_bit(tmp_path: Path) -> None:
    code = """
    import os
    from advisor.agent.settings.spilled import Spill, takes
    spill = Spill(os.getcwd(), 1)
    tensors = [
        torch.randn(3, 5).t(),
        torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        torch.randn(7).bfloat16(),
        torch.tensor([float("nan"), -0.0, float("inf")]),
        torch.randn(4, dtype=torch.complex64).conj(),
        torch.zeros(0, 3),
        torch.tensor(5),
        torch.nn.Parameter(torch.ones(2)),
        torch.arange(10)[3:7],
    ]
    kept = [spill.put(tensor) for tensor in tensors]
    for tensor, one in zip(reversed(tensors), reversed(kept)):
        back = torch.empty_like(tensor).copy_(one.read())
        assert takes(tensor) and back.dtype == tensor.dtype and back.shape == tensor.shape
        assert repr(back.tolist()) == repr(tensor.tolist())
    print(takes(torch.eye(2).to_sparse()), takes(torch.nn.Buffer(torch.ones(1))))
    """
    assert says(tmp_path, code) == "False True"


def test_a_tape_that_memory_does_not_hold_is_torn(tmp_path: Path) -> None:
    code = """
    tape = Tape(100)
    fetch = lambda: (torch.ones(20), [1])
    print(tape.next(fetch, True)[1], tape.next(fetch, True)[1], tape.torn, tape.rewind(), len(tape))
    """
    assert says(tmp_path, code) == "[1] [1] True False 0"
