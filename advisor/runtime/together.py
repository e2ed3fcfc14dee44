"""Other processes of a script run that measures a training by several: each in its own view, with nothing measured."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import knobs, wire
from ..types import Command
from .bootstrap_file import BOOTSTRAP
from .isolation import Isolation
from .launch_file import store
from .processes import start
from .ranks_launch import SHARED_MEMORY, device_of

JOINS_AFTER = 3
"""Updates after which the processes join: the first one finds its model at the first step, and then its loader."""
IN_PLACE = "its other processes would write into the script's own files: it needs an isolation that protects them"


@dataclass(frozen=True, kw_only=True)
class Together:
    """Processes that a script run consists of."""

    ranks: int
    isolation: Isolation
    folder: Path
    number: int
    alike: int | None = None
    why_alone: str = ""

    @classmethod
    def of(cls, config: Mapping[str, Any], isolation: Isolation, folder: Path, number: int) -> Together:
        """Return those that the settings ask for; one where the others could not be kept from the user's files."""
        ranks = knobs.ranks(config)
        if ranks == 1 or not isolation.protects:
            why = IN_PLACE if ranks > 1 else ""
            return cls(ranks=1, isolation=isolation, folder=folder, number=number, why_alone=why)
        alike = random.SystemRandom().getrandbits(32)
        return cls(ranks=ranks, isolation=isolation.for_ranks(), folder=folder, number=number, alike=alike)

    @property
    def writable(self) -> Sequence[Path]:
        return [self.folder, SHARED_MEMORY] if self.ranks > 1 else [self.folder]

    def environment_of(self, rank: int, environment: Mapping[str, str]) -> dict[str, str]:
        return {**environment, **(device_of(rank, environment) if self.ranks > 1 else {})}

    def first(self, spec: wire.LaunchSpec) -> wire.LaunchSpec:
        """Return what the agent of the first process is told."""
        if self.ranks == 1:
            return replace(spec, why_alone=self.why_alone)
        meeting = str(self.folder / f"meeting-{self.number}")
        return replace(spec, ranks=self.ranks, meeting=meeting, alike=self.alike, joins_after=JOINS_AFTER)

    @contextmanager
    def others(self, command: Command, spec: wire.LaunchSpec, environment: Mapping[str, str]) -> Iterator[None]:
        """Run the other processes, and end them with the block."""
        with ExitStack() as stack:
            for rank in range(1, self.ranks):
                name = f"life-{self.number}-rank-{rank}"
                view = stack.enter_context(self.isolation.prepare(Path(command.cwd), writable=self.writable))
                path = self.folder / f"{name}.json"
                told = replace(spec, rank=rank, mode="run", socket="", token="")
                store(told, path)
                stack.enter_context(
                    start(
                        [command.interpreter, str(BOOTSTRAP), str(path)],
                        cwd=view.cwd,
                        env=self.environment_of(rank, environment),
                        logs=self.folder,
                        view=view,
                        stdin="null",
                        name=name,
                    )
                )
            yield
