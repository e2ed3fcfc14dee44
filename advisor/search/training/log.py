"""Trainings that were run, one checksummed line each: those of an interrupted search are not run again."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ...storage import record_file
from ...types import Config, RangeTest, TrainingRun
from ...verification.training_run import Trainings
from ..trial_log import TRIALS_FILE


@dataclass(kw_only=True)
class TrainingLog:
    """Runner of trainings that remembers what it ran."""

    trainings: Trainings
    folder: Path
    known: dict[str, TrainingRun] = field(default_factory=dict)
    tested: RangeTest | None = None
    """Range test of the learning rate, once there is one."""

    def read(self) -> None:
        """Take in the trainings of an interrupted search; a torn line costs the one in it."""
        adapter, of_tests = TypeAdapter(TrainingRun), TypeAdapter(RangeTest)
        for record in record_file.read(self.folder / TRIALS_FILE).records:
            key, run = record.get("training"), record.get("run")
            with contextlib.suppress(ValidationError):
                if isinstance(key, str) and run is not None:
                    self.known[key] = adapter.validate_python(run)
                elif "range_test" in record:
                    self.tested = of_tests.validate_python(record["range_test"])

    def keep_range_test(self, tested: RangeTest) -> None:
        self.tested = tested
        record_file.append(self.folder / TRIALS_FILE, {"range_test": asdict(tested)})

    def train(self, config: Config, *, updates: int, seed: int, most_s: float | None = None) -> TrainingRun:
        """Train as `Trainings.train` does, unless that was done before."""
        key = _key(config, updates, seed)
        if key not in self.known:
            self._keep(key, self.trainings.train(config, updates=updates, seed=seed, most_s=most_s))
        return self.known[key]

    def moments(
        self, config: Config, *, updates: int, seed: int, environment: Mapping[str, str] | None = None
    ) -> Generator[None, None, TrainingRun]:
        """Train as `Trainings.moments` does, unless that was done before."""
        key = _key(config, updates, seed)
        if key not in self.known:
            found = yield from self.trainings.moments(config, updates=updates, seed=seed, environment=environment)
            self._keep(key, found)
        return self.known[key]

    def _keep(self, key: str, found: TrainingRun) -> None:
        self.known[key] = found
        record: dict[str, Any] = {"training": key, "run": asdict(found)}
        record_file.append(self.folder / TRIALS_FILE, record)


def _key(config: Config, updates: int, seed: int) -> str:
    return f"{config} over {updates} updates, seed {seed}"
