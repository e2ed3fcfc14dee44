"""Every script is probed once for the tests that were selected, two at a time: most of a probe is waiting for torch.

In the order in which the tests ask for them, so that none waits for all the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from .probing import Probed
from .scripts import LABELS, probe_script

AT_A_TIME = 2


class Probes:
    def __init__(self, names: list[str], folder: Path, pool: ThreadPoolExecutor) -> None:
        self._futures: dict[str, Future[Probed]] = {
            name: pool.submit(probe_script, name, folder / name.replace("/", "-")) for name in names
        }

    def of(self, name: str) -> Probed:
        return self._futures[name].result()


@pytest.fixture(scope="session")
def probes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probes]:
    wanted = [item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")]
    names = [name for name in dict.fromkeys(wanted) if name in LABELS]
    with ThreadPoolExecutor(min(AT_A_TIME, os.cpu_count() or 1)) as pool:
        yield Probes(names, tmp_path_factory.mktemp("wild"), pool)
        pool.shutdown(cancel_futures=True)
