"""Random draws of the dataset's own under `advisor run`, in `advisor.apply` and in plain torch: none comes twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import forked
import pytest
import yaml

from advisor.settings_file import exports
from advisor.settings_file.loaded import read_document

pytestmark = pytest.mark.slow

LIMIT_S = 240
TRAIN = """
import json, sys
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info
FIRST

module = np.random.default_rng(0)
BITS = 2 ** 52

class Noise:
    def __init__(self):
        self.rng = np.random.default_rng(0)
    def __call__(self):
        return int(self.rng.integers(BITS))

class Numbers(Dataset):
    def __init__(self):
        self.transforms, self.reads = [Noise()], 0
    def __len__(self):
        return 24
    def __getitem__(self, index):
        info = get_worker_info()
        self.reads += 1
        row = [-1 if info is None else info.id, self.transforms[0](), int(module.integers(BITS))]
        return torch.full((8,), float(index)) / 24, index % 4, torch.tensor(row)

def own_init(worker):
    get_worker_info().dataset.transforms.append("of the script")

def main():
    torch.manual_seed(0)
    model = torch.nn.Linear(8, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = DataLoader(Numbers(), batch_size=4, shuffle=True, LOADER)
    rows = []
    for epoch in range(2):
        for batch, target, drawn in loader:
            loss = torch.nn.functional.cross_entropy(model(batch), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rows += drawn.tolist()
    with open("draws.json", "w") as file:
        json.dump(rows, file)
    with open("reads.json", "w") as file:
        json.dump(loader.dataset.reads, file)

if __name__ == "__main__":
    main()
"""


def script(folder: Path, first: str = "", loader: str = "") -> None:
    (folder / "train.py").write_text(TRAIN.replace("FIRST", first).replace("LOADER", loader))


def settings(folder: Path, wanted: dict[str, Any], **training: Any) -> None:
    content = {"version": 1, "settings": wanted, "found": {"training": training}}
    (folder / "advisor.yaml").write_text(yaml.safe_dump(content))


def drawn(folder: Path, *command: str) -> list[list[int]]:
    """Worker and draws of every sample that a worker has fetched; those of the script's own process are no more than it
    was given: a dataset may count them, or hold a stream."""
    if command:
        done = forked.advisor(folder, *command, "train.py", limit_s=LIMIT_S)
        code, said = done.returncode, done.stderr
    else:
        alone = forked.run(folder, "train.py", limit_s=LIMIT_S)
        code, said = alone.code, alone.err
    announced = "advisor: advisor.yaml: settings " if command else ""
    assert (code, said.count("\n")) == (0, int(bool(announced))), said
    assert said.startswith(announced)
    rows = json.loads((folder / "draws.json").read_text())
    assert json.loads((folder / "reads.json").read_text()) == sum(row[0] < 0 for row in rows)
    return [row for row in rows if row[0] >= 0]


def repeated(rows: list[list[int]]) -> list[int]:
    """How many draws were there before, by each generator."""
    return [len(rows) - len({row[place] for row in rows}) for place in (1, 2)]


RUN = ("run", "--config", "advisor.yaml")


@pytest.mark.parametrize("persistent", [False, True])
def test_a_real_training_repeats_no_draw(tmp_path: Path, persistent: bool) -> None:
    script(tmp_path)
    settings(tmp_path, {"num_workers": 2, "persistent_workers": persistent})
    rows = drawn(tmp_path, *RUN)
    assert ({row[0] for row in rows}, repeated(rows)) == ({0, 1}, [0, 0])


def test_workers_that_are_spawned_repeat_none_either(tmp_path: Path) -> None:
    script(tmp_path, loader="multiprocessing_context=None, worker_init_fn=own_init")
    text = (tmp_path / "train.py").read_text()
    (tmp_path / "train.py").write_text(
        text.replace("    main()\n", "    torch.multiprocessing.set_start_method('spawn')\n    main()\n")
    )
    settings(tmp_path, {"num_workers": 2, "persistent_workers": True})
    rows = drawn(tmp_path, *RUN)
    assert ({row[0] for row in rows}, repeated(rows)) == ({0, 1}, [0, 0])


def test_one_line_in_the_script_repeats_none(tmp_path: Path) -> None:
    script(tmp_path, first="import advisor; advisor.apply('advisor.yaml')")
    settings(tmp_path, {"num_workers": 2})
    rows = drawn(tmp_path)
    assert ({row[0] for row in rows}, repeated(rows)) == ({0, 1}, [0, 0])


@pytest.mark.parametrize("own", ["", "own_init"])
def test_arguments_of_a_loader_repeat_none(tmp_path: Path, own: str) -> None:
    script(tmp_path, loader=f"**advisor.load('advisor.yaml').dataloader({own})", first="import advisor")
    settings(tmp_path, {"num_workers": 2}, workers=0, generators=["Numbers.transforms[0].rng"])
    rows = drawn(tmp_path)
    assert ({row[0] for row in rows}, repeated(rows)) == ({0, 1}, [0, 0])


def test_plain_torch_repeats_none(tmp_path: Path) -> None:
    script(tmp_path, loader="**fast.LOADER", first="sys.modules['advisor'] = None\nimport fast_settings as fast")
    settings(tmp_path, {"num_workers": 2}, workers=0, generators=["Numbers.transforms[0].rng"])
    (artifact,) = exports.artifacts(read_document(tmp_path / "advisor.yaml"), ["python"])
    (tmp_path / "fast_settings.py").write_text(artifact.content)
    rows = drawn(tmp_path)
    assert ({row[0] for row in rows}, repeated(rows)) == ({0, 1}, [0, 0])


def test_the_script_alone_would_repeat_them(tmp_path: Path) -> None:
    """What the others guard against is there."""
    script(tmp_path, loader="num_workers=2")
    assert min(repeated(drawn(tmp_path))) > 12
