"""Length of the training that the user will run: as given, by the script's options, or by the loops of its source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..number_range import in_range
from ..types import Command, TrainingLength, Workload
from .option_roles import EPOCHS, Option

EPOCH_WORDS = ("num_train_epochs", "max_epochs", "num_epochs", "n_epochs", "epochs")
UPDATE_WORDS = ("max_steps",)
"""Keywords of trainers with these meanings."""
LOOPS_OF_EPOCHS = re.compile(r"(^|_)epochs?($|_)", re.IGNORECASE)
MOST_SOURCE_BYTES = 2_000_000


def training_length(
    workload: Workload, command: Command, options: Sequence[Option], asked_updates: float | None = None
) -> TrainingLength | None:
    """Return how long the script trains; None if that is not known."""
    if asked_updates is not None:
        return _whole(workload, updates=asked_updates, source="as given")
    of_epochs = [option for option in options if option.role == EPOCHS and option.value and option.why_closed is None]
    for option in of_epochs:
        if option.place is None:  # a constant says less than the loop that reads it
            return _whole(workload, epochs=option.value, source=f"{option.flag} {option.value:g}")
    for kind, count, source in _in_source(command, workload):
        found = _whole(workload, source=source, **{kind: count})
        if found is not None:
            return found
    for option in of_epochs:
        return _whole(workload, epochs=option.value, source=f"{option.flag} = {option.value:g} in {option.where}")
    return None


def epoch_updates(workload: Workload) -> float | None:
    """Return the updates of an epoch; None if the loader does not say."""
    loader = workload.train_loader
    if loader is None or not loader.length_batches:
        return None
    return loader.length_batches / (workload.facts.batches_per_update or max(1, workload.facts.micro_steps))


def _whole(
    workload: Workload, *, source: str, updates: float | None = None, epochs: float | None = None
) -> TrainingLength | None:
    of_an_epoch = epoch_updates(workload)
    if updates is None:
        if of_an_epoch is None or epochs is None:
            return None
        updates = epochs * of_an_epoch
    elif of_an_epoch is not None:
        epochs = updates / of_an_epoch
    return TrainingLength(updates=updates, epochs=epochs, source=source) if updates >= 1 else None


def _in_source(command: Command, workload: Workload) -> Iterator[tuple[str, float, str]]:
    """Yield what the script's own source says, its trainers' keywords first, then its loops."""
    path = Path(command.cwd) / command.target
    try:
        if command.is_module or command.function or path.stat().st_size > MOST_SOURCE_BYTES:
            return
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    values = {argument.name: argument.value for argument in workload.arguments}
    names = _Names(tree, values)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        for keyword in call.keywords:
            kind = _kind_of(keyword.arg or "")
            value = names.number(keyword.value)
            if kind is not None and value is not None:
                yield kind, value, f"{keyword.arg}={value:g} in {path.name}:{keyword.value.lineno}"
    for loop in (node for node in ast.walk(tree) if isinstance(node, ast.For)):
        count, name = names.length(loop.iter), ast.unparse(loop.target)
        if count is not None and LOOPS_OF_EPOCHS.search(name):
            yield "epochs", count, f"{ast.unparse(loop.iter)} in {path.name}:{loop.lineno}"


def _kind_of(word: str) -> str | None:
    if word in EPOCH_WORDS:
        return "epochs"
    return "updates" if word in UPDATE_WORDS else None


class _Names:
    """Numbers that names of a script stand for: literals assigned once, and its own options."""

    def __init__(self, tree: ast.Module, values: Mapping[str, object]) -> None:
        self._options = values
        self._literals: dict[str, float] = {}
        assigned: list[str] = []
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                assigned += [target.id for target in node.targets if isinstance(target, ast.Name)]
                if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                    value = self.number(node.value)
                    if value is not None:
                        self._literals[node.targets[0].id] = value
        for name in {name for name in assigned if assigned.count(name) > 1}:
            self._literals.pop(name, None)

    def number(self, node: ast.expr) -> float | None:
        """Return the number of a literal, of a name, or of an option (`args.epochs`); None for anything else."""
        value: object = None
        if isinstance(node, ast.Constant):
            value = node.value
        elif isinstance(node, ast.Name):
            value = self._literals.get(node.id)
        elif isinstance(node, ast.Attribute):
            value = self._options.get(node.attr)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0 or not in_range(value):
            return None
        return float(value)

    def length(self, node: ast.expr) -> float | None:
        """Return the length of a `range`, or of one within `tqdm` and the like; None for anything else."""
        if not isinstance(node, ast.Call) or not node.args:
            return None
        if not (isinstance(node.func, ast.Name) and node.func.id in ("range", "trange")):
            return self.length(node.args[0])
        ends = [self.number(argument) for argument in node.args]
        if len(ends) == 1:
            return ends[0]
        begin = 0.0 if isinstance(node.args[0], ast.Constant) and node.args[0].value == 0 else ends[0]
        if ends[1] is None or begin is None:
            return None
        return ends[1] - begin if ends[1] > begin else None
