"""Every script is probed once, when the first test asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .probing import Probed
from .scripts import probe_script


class Probes:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[str, Probed] = {}

    def of(self, name: str) -> Probed:
        if name not in self._found:
            self._found[name] = probe_script(name, self._folder / name.replace("/", "-"))
        return self._found[name]


@pytest.fixture(scope="session")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Probes:
    return Probes(tmp_path_factory.mktemp("wild"))
