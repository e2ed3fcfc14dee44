"""Another seed: what a script draws in processes that were begun with one number, and with others."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LIMIT_S = 120
SET_NOTHING = "pass"
SETS_ITS_OWN = "random.seed(5); np.random.seed(5); torch.manual_seed(5)"
BY_NAME = "random.seed(a=5); np.random.seed(seed=5); torch.manual_seed(seed=5)"
DRAWN = "[random.random(), float(np.random.random()), float(torch.rand(())), float(np.random.default_rng(1).random())]"


def drawn(seed: int | None, script: str) -> list[float]:
    begin = "" if seed is None else f"from advisor.agent import seeds; seeds.install({seed})\n"
    code = f"{begin}import json, random, torch, numpy as np\n{script}\nprint(json.dumps({DRAWN}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=LIMIT_S)
    found: list[float] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def plain() -> list[float]:
    return drawn(None, SETS_ITS_OWN)


def test_one_seed_draws_alike_where_the_script_sets_none() -> None:
    assert drawn(3, SET_NOTHING) == drawn(3, SET_NOTHING)


def test_seeds_of_the_script_are_left_with_seed_0(plain: list[float]) -> None:
    assert drawn(0, SETS_ITS_OWN) == plain


def test_every_generator_of_a_script_with_seeds_draws_otherwise_with_another(plain: list[float]) -> None:
    assert [one != two for one, two in zip(drawn(3, SETS_ITS_OWN), plain, strict=True)] == [True] * 4


def test_a_seed_is_moved_by_the_number() -> None:
    assert drawn(3, SETS_ITS_OWN)[:3] == drawn(None, SETS_ITS_OWN.replace("5", "8"))[:3]


def test_a_seed_given_by_name_is_moved_too() -> None:
    assert drawn(3, BY_NAME)[:3] == drawn(3, SETS_ITS_OWN)[:3]
