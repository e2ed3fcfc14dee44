"""Another seed: what a script draws in processes that were begun with one number, and with others."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import forked
import pytest

pytestmark = pytest.mark.slow

LIMIT_S = 120
SET_NOTHING = "pass"
SETS_ITS_OWN = "random.seed(5); np.random.seed(5); torch.manual_seed(5)"
BY_NAME = "random.seed(a=5); np.random.seed(seed=5); torch.manual_seed(seed=5)"
DRAWN = "[random.random(), float(np.random.random()), float(torch.rand(())), float(np.random.default_rng(1).random())]"


def drawn(seed: int, script: str) -> list[float]:
    code = (
        f"from advisor.agent.probe import seeds; seeds.install({seed})\n"
        f"import json, random, torch, numpy as np\n{script}\nprint(json.dumps({DRAWN}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=LIMIT_S)
    found: list[float] = json.loads(done.stdout)
    return found


def drawn_alone(script: str) -> list[float]:
    """What it draws where we are not."""
    code = f"import json, random, torch, numpy as np\n{script}\nprint(json.dumps({DRAWN}))"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "draws.py").write_text(code)
        done = forked.run(Path(folder), "draws.py", limit_s=LIMIT_S)
    assert done.code == 0, done.err
    found: list[float] = json.loads(done.out)
    return found


@pytest.fixture(scope="module")
def plain() -> list[float]:
    return drawn_alone(SETS_ITS_OWN)


@pytest.fixture(scope="module")
def with_another() -> list[float]:
    return drawn(3, SETS_ITS_OWN)


def test_one_seed_draws_alike_where_the_script_sets_none() -> None:
    assert drawn(3, SET_NOTHING) == drawn(3, SET_NOTHING)


def test_seeds_of_the_script_are_left_with_seed_0(plain: list[float]) -> None:
    assert drawn(0, SETS_ITS_OWN) == plain


def test_every_generator_of_a_script_with_seeds_draws_otherwise_with_another(
    plain: list[float], with_another: list[float]
) -> None:
    assert [one != two for one, two in zip(with_another, plain, strict=True)] == [True] * 4


def test_a_seed_is_moved_by_the_number(with_another: list[float]) -> None:
    assert with_another[:3] == drawn_alone(SETS_ITS_OWN.replace("5", "8"))[:3]


def test_a_seed_given_by_name_is_moved_too(with_another: list[float]) -> None:
    assert drawn(3, BY_NAME)[:3] == with_another[:3]
