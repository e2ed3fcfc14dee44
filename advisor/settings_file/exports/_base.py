"""Emitters, and the draft that each of them works on, so that no setting gets lost.

A draft knows all settings of the document. A setting is expressed in the form that its knob has for the format
(`Knob.formats`), or as an emitter takes it. For the others the draft says why not, and what to do by hand.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ... import knobs
from ...knobs._loader import workers_with
from ...redaction import HIDDEN, is_placeholder
from ...repeated_draws import Workers, add_repeats
from ...types import Artifact, SettingValue, Skipped
from ..advisor_yaml import Document

MOST_RATE = 1e3
"""Limit on a learning rate: a larger one is no measurement."""


@dataclass(frozen=True, kw_only=True)
class Emitter:
    """Output format of one tool. `emit` takes a draft of the document and returns the file's content."""

    id: str
    title: str
    file_name: str
    usage: str
    """Example of the file's use; `{command}` stands for the training command."""
    emit: Callable[[Draft], str]
    starts_script: bool = False
    """True if the file, or its use, holds the training command and thus the script's own options."""
    sets_constants: bool = False
    """True if the file holds the script's constants."""
    forms_of: str = ""
    """Format whose forms of the knobs it takes, if it has none of its own: it starts the same launcher."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """Facts of the baseline's training, as far as the document says; otherwise None."""

    device: str | None
    optimizer: str | None
    batch_size: int | None
    samples_per_update: int | None
    processes: int
    workers: Workers | None
    """Workers of the loader that feeds the training."""
    generators: tuple[str, ...] | None
    """Paths to the random generators that its dataset holds."""
    settings: Mapping[str, Any]
    """All settings of the document: the form of one may depend on another."""
    updates: int | None
    """Length of the training that schedules are made for."""
    made_optimizer: str | None
    """Class of the main optimizer with the settings."""
    own_rate: float | None
    """The script's peak learning rate."""
    rate: float | None
    """The same with the settings."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Batch sizes by the settings; None where neither they nor the document say. All None: the baseline's."""

    micro: int | None
    """Samples in one backward pass of one process."""
    parts: int | None
    """Backward passes per update in a process."""
    update: int | None
    """Samples in an update, over all processes."""


class Draft:
    """Settings of one document while they are converted to one format."""

    def __init__(self, document: Document, emitter: Emitter) -> None:
        self.document = document
        self.emitter = emitter
        self.training = training_of(document)
        followed = self._followed_rate()
        self._rate_unknown = followed is None
        self._open = {**document.config.as_dict(), **(followed or {})}
        self._asked = len(self._open)
        self._partly = 0
        self._repeated = repeated_draws(document)
        self._left: list[Skipped] = []
        self._needed: list[Skipped] = []

    def _followed_rate(self) -> dict[str, SettingValue] | None:
        """Return the learning rate as a setting where it follows a larger batch, as other tools do not raise it.

        Return None if it follows, and the document does not say what it is.
        """
        from ...knobs import global_batch, learning_rate

        if self.document.config.as_dict().get(global_batch.KNOB.id) in (None, self.training.samples_per_update):
            return {}
        return None if self.training.rate is None else {learning_rate.KNOB.id: self.training.rate}

    @property
    def processes(self) -> int:
        """Processes that train together, by the settings or as in the baseline."""
        return max(self.training.processes, knobs.ranks(self.document.config.as_dict()))

    def take(self, name: str) -> SettingValue | None:
        """Return the setting's value and mark it as expressed; return None if it is not set."""
        return self._open.pop(name, None)

    def take_all(self) -> None:
        """Mark all settings as expressed, and the workers' seeds, which `advisor run` takes care of."""
        self._open.clear()
        self._repeated, self._rate_unknown = None, False

    def express(self) -> dict[str, Any]:
        """Take the settings whose knobs have a form for this format, and return their forms merged."""
        content: dict[str, Any] = {}
        for knob in sorted(knobs.all_knobs(), key=lambda knob: (knob.after_others, knob.id)):
            form = knob.formats.get(self.emitter.forms_of or self.emitter.id)
            if form is None or knob.id not in self._open:
                continue
            made = form(self._open[knob.id], self.training)
            if isinstance(made, knobs.Unable):
                self.leave(knob.id, made.why, made.do)
                made = made.content
                self._partly += bool(made)
            self.take(knob.id)
            _merge(content, made)
        return content

    def leave(self, name: str, why: str = "", do: str = "") -> None:
        """Mark a setting as impossible to express: why, and what to do instead (default: what a script would do)."""
        if name not in self._open:
            return
        value = self._open.pop(name)
        instead = do.format(value=value) if do else knobs.get(name).described_by_hand(value)
        reason = why or f"{self.emitter.id} has no key for it"
        self._left.append(Skipped(what=f"{name}={value}", why=f"{reason}; {instead}"))

    def need(self, what: str, why: str) -> None:
        """Record something that the user has to tell the tool."""
        self._needed.append(Skipped(what=what, why=why))

    def take_worker_seeds(self) -> bool:
        """Return True if the settings' workers need seeds for the dataset's generators; the format then seeds them."""
        repeated, self._repeated = self._repeated, None
        return repeated is not None

    def batch(self) -> Batch:
        """Return the batch sizes by the settings; mark the settings as taken, and record what stays open."""
        settings = self.document.config.as_dict()
        micro, update = knobs.samples_per("backward", settings), knobs.samples_per("update", settings)
        for name in [knob.id for knob in knobs.all_knobs() if knob.samples_per]:
            self.take(name)
        batch = batch_of(self.document)
        if batch.parts is None and update is not None:
            self.need(
                "batch size and accumulation",
                f"an update has {update} samples; the number of backward passes is not in the file",
            )
        elif batch.parts is None and micro is not None:
            self.need("gradient accumulation", f"samples per update ÷ ({micro} × processes); not in the file")
        return batch

    def artifact(self, content: str) -> Artifact:
        """Return the file, with everything that was not expressed."""
        for name in list(self._open):
            self.leave(name)
        if self._repeated is not None:
            self.need("worker_init_fn", _by_hand(self._repeated))
        if self._rate_unknown:
            self.need("learning rate", "it follows a larger batch, and the file does not say what it is")
        if not self.emitter.sets_constants:
            for name, value in self.document.constants.items():
                self.need(f"{name}={value}", "a constant of the script: change its line, or apply the export `patch`")
        if not self.emitter.starts_script:
            for flag, value in self.document.arguments.items():
                self.need(f"{flag}={value}", "an option of the script, for its command line")
        elif any(map(is_placeholder, self._words())):
            self.need(HIDDEN, "a secret in the training command: type it in this place")
        # A launcher starts the script at least; its settings are listed as not expressed.
        carries = self.emitter.starts_script or (self.emitter.sets_constants and self.document.constants)
        return Artifact(
            target=self.emitter.id,
            is_empty=len(self._left) - self._partly == self._asked and not carries,
            file_name=self.emitter.file_name,
            content=content,
            usage=self.emitter.usage.format(command=self.command()),
            not_expressed=tuple(sorted(self._left, key=lambda left: left.what)),
            to_fill=tuple(self._needed),
        )

    def command(self, placeholder: str = "train.py") -> str:
        """Return the training command as typed plus the script's own options in the file, as one line for a shell."""
        import shlex

        return shlex.join(self._words(placeholder))

    @property
    def launcher(self) -> list[str]:
        """Words of the launcher that the training was found with; empty without one."""
        import shlex

        try:
            return shlex.split(str(self.document.found.get("launcher") or ""))
        except ValueError:
            return []

    def _words(self, placeholder: str = "train.py") -> list[str]:
        import shlex

        try:
            words = shlex.split(str(self.document.found.get("command") or "")) or [placeholder]
        except ValueError:
            words = [placeholder]
        if self.launcher and words[: len(self.launcher)] == self.launcher:
            words = words[len(self.launcher) :]
        for flag, value in self.document.arguments.items():
            words += [flag, str(value)] if flag.startswith("-") else [f"{flag}={value}"]
        return ["".join(char if char.isprintable() else "?" for char in word) for word in words]


def training_of(document: Document) -> Training:
    """Return what the document says of the baseline; values that make no sense count as missing."""
    said = document.found.get("training")
    said = said if isinstance(said, dict) else {}
    settings, optimizer = document.config.as_dict(), _text(said.get("optimizer"))
    samples, rate = _whole(said.get("samples_per_update")), _positive(said.get("learning_rate"))
    made = knobs.made_optimizer(settings, optimizer)
    return Training(
        settings=settings,
        updates=None if document.updates is None else max(1, round(document.updates)),
        made_optimizer=made,
        own_rate=rate,
        rate=knobs.peak_rate(settings, rate, samples, made),
        device=_text(said.get("device")),
        optimizer=optimizer,
        batch_size=_whole(said.get("batch_size")),
        samples_per_update=samples,
        processes=_whole(said.get("processes")) or 1,
        workers=_workers(said.get("workers"), said.get("persistent_workers")),
        generators=_texts(said.get("generators")),
    )


def repeated_draws(document: Document) -> tuple[str, ...] | None:
    """Return the dataset's generators whose draws the settings' workers would repeat, while the script's do not.

    The tuple is empty if the document does not say which generators exist. Return None if no draws are repeated.
    """
    known = training_of(document)
    original = known.workers or Workers(0, False)
    wanted = workers_with(document.config.as_dict(), original)
    if wanted is None or known.generators == ():
        return None
    return (known.generators or ()) if add_repeats(original, wanted) else None


def _by_hand(generators: tuple[str, ...]) -> str:
    held = f"the dataset holds {', '.join(generators)}" if generators else "if the dataset holds random generators"
    return (
        f"{held}: workers get copies that give the same numbers; a worker_init_fn must seed them with "
        "torch.utils.data.get_worker_info().seed, as advisor run, advisor.apply() and the python export do"
    )


def batch_of(document: Document) -> Batch:
    """Derive the batch sizes from the settings and from what the document says of the baseline."""
    settings, known = document.config.as_dict(), training_of(document)
    micro, update = (_whole(knobs.samples_per(what, settings)) for what in ("backward", "update"))
    if micro is None and update is None:
        return Batch(micro=None, parts=None, update=None)
    if micro is None:
        baseline_parts = _parts(known.samples_per_update, known.batch_size, known.processes)
        micro = _parts(update, baseline_parts, known.processes)
    whole = update or known.samples_per_update
    parts = _parts(whole, micro, known.processes)
    return Batch(micro=micro, parts=parts, update=whole if parts is not None or update is not None else None)


def _merge(content: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add `more` to the content: mappings are merged, lists joined, other values replaced."""
    for name, value in more.items():
        there = content.get(name)
        if isinstance(there, dict) and isinstance(value, Mapping):
            _merge(there, value)
        elif isinstance(there, list) and isinstance(value, list):
            there.extend(value)
        else:
            content[name] = copy.deepcopy(value)


def _parts(whole: int | None, part: int | None, processes: int) -> int | None:
    """Return how often `part` goes into `whole` on each process; None if unknown or not a whole number."""
    if whole is None or part is None or whole % (part * processes):
        return None
    return whole // (part * processes)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _positive(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < MOST_RATE
    return float(value) if known else None


def _workers(number: Any, stay: Any) -> Workers | None:
    known = isinstance(number, int) and not isinstance(number, bool) and number >= 0
    return Workers(number, stay is True) if known else None


def _texts(value: Any) -> tuple[str, ...] | None:
    return tuple(map(str, value)) if isinstance(value, list) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
