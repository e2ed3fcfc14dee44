"""What all tests share: nothing is kept outside of pytest's own folders, whoever runs them, and no test depends on what
ran before it in the same process."""

from __future__ import annotations

import gc
import itertools
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import postgres
import pytest
from process_state import ProcessState, forget_compiled
from snapshot import RENEW, Snapshot

from advisor.agent.base import modes


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--order-seed", type=int, help="Run the files, and the tests in each, in the order of this seed.")
    parser.addoption(RENEW, action="store_true", help="Write the texts that tests compare to tests/snapshots anew.")


@pytest.fixture
def snapshot(request: pytest.FixtureRequest) -> Snapshot:
    return Snapshot(renew=request.config.getoption(RENEW))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect without collecting garbage: torch and thousands of tests are made here, and nothing is thrown away."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    files = [list(tests) for _path, tests in itertools.groupby(items, lambda item: item.path)]
    seed = config.getoption("order_seed")
    if seed is None:
        # A file that takes minutes must not be the last: one worker would run it while the others have nothing to do.
        files.sort(key=lambda tests: -sum(map(_expected_s, tests)))
    else:
        generator = random.Random(seed)
        for tests in files:
            generator.shuffle(tests)
        generator.shuffle(files)
    items[:] = [item for tests in files for item in tests]
    # pytest-xdist would deal out the files by their number of tests.
    config.option.loadscopereorder = False


def _expected_s(item: pytest.Item) -> float:
    """Return the seconds that a test takes, about: those of its mark `slow(seconds)`, or a few."""
    mark = item.get_closest_marker("slow")
    if mark is not None:
        return float(mark.args[0]) if mark.args else 5.0
    return 1.0 if item.get_closest_marker("frameworks") or item.get_closest_marker("browser") else 0.05


@pytest.fixture(autouse=True, scope="session")
def _own_state_and_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs and measured peaks of the person at the keyboard are neither read nor added to, in children either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        # One for all workers; torch's own default would hold what earlier runs have compiled.
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(_shared_folder(tmp_path_factory) / "inductor"))
        # Threads that wait actively for each other make steps ten times longer where tests share the CPUs.
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("OMP_WAIT_POLICY", "passive")
        patch.setenv("PYTHONPATH", str(Path(__file__).parent / "quick_start"), prepend=os.pathsep)
        yield


def _shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="module")
def thin() -> Iterator[None]:
    """Windows and rounds as short as they go, for profiles and searches of this process."""
    from search.thin import make_thin

    with pytest.MonkeyPatch.context() as patch:
        make_thin(patch.setattr)
        yield


@pytest.fixture(scope="module")
def forks() -> Iterator[None]:
    """Scripts of this process' sessions begin with torch imported: what is looked at comes later."""
    import forked
    import forked_keepers

    with pytest.MonkeyPatch.context() as patch:
        forked_keepers.install(forked.keepers(), patch.setattr)
        yield


@pytest.fixture(scope="module")
def rank_forks() -> Iterator[None]:
    """So do torchrun and the ranks that it starts."""
    import forked
    import forked_keepers

    with pytest.MonkeyPatch.context() as patch:
        forked_keepers.install(forked.keepers("torch.distributed.run"), patch.setattr)
        yield


@pytest.fixture
def no_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One test among those with forks whose scripts are programs of their own, with the agent there before torch."""
    import subprocess

    from advisor.runtime import processes

    monkeypatch.setattr(processes, "subprocess", subprocess)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A real server, started by the first test that asks for it. Names of studies keep its tests apart."""
    if why := postgres.why_not():
        pytest.skip(why)
    with postgres.server() as server:
        yield server


@pytest.fixture(autouse=True)
def _leaves_its_process_as_it_was() -> Iterator[None]:
    """Every test begins with the same random numbers and nothing compiled, and fails where it leaves something set."""
    random.seed(0)
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "default_generator"):
        torch.default_generator.manual_seed(0)
    before = ProcessState()
    yield
    changes = before.changes()
    before.restore()
    if modes.compile_used():
        forget_compiled()
    if changes:
        pytest.fail("left behind in this process: " + "; ".join(changes))
