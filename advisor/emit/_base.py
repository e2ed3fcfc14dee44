"""What an emitter is, and the draft that each of them works on: no setting is lost on the way.

A draft knows all settings of the document. What an emitter takes is expressed; for everything else it says why not, and
what to do by hand. A setting that it does neither with (of a knob that is newer than the emitter) is told as unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..repeated_draws import Workers, add_repeats
from ..types import Artifact, SettingValue, Skipped
from .advisor_yaml import Document

BY_HAND = {
    "activation_checkpointing": "call the repeated blocks through torch.utils.checkpoint.checkpoint(block, …, "
    "use_reentrant=False)",
    "cache_dataset": "keep the samples that the dataset has read once",
    "compile": "model = torch.compile(model, mode={value!r})",
    "cudnn_benchmark": "torch.backends.cudnn.benchmark = {value}",
    "fused_optimizer": "make the optimizer with {value}=True",
    "global_batch": "choose batch size and accumulation so that an update takes {value} samples over all processes",
    "memory_format": "model = model.to(memory_format=torch.{value})",
    "micro_batch": "DataLoader(…, batch_size={value})",
    "num_workers": "DataLoader(…, num_workers={value})",
    "persistent_workers": "DataLoader(…, persistent_workers={value})",
    "pin_memory": "DataLoader(…, pin_memory={value})",
    "precision": "run forward and loss under the autocast of {value}",
    "prefetch_factor": "DataLoader(…, prefetch_factor={value})",
    "threads": "torch.set_num_threads({value}), or OMP_NUM_THREADS={value} in the environment",
}
"""What a script does for itself where the tool does not do it."""
TF32_BY_HAND = 'torch.set_float32_matmul_precision("high")'


@dataclass(frozen=True, kw_only=True)
class Emitter:
    """One tool's form. `emit` is given a draft of the document and returns the file's content."""

    id: str
    title: str
    file_name: str
    usage: str
    """How the file is used; `{command}` stands for the training command."""
    emit: Callable[[Draft], str]
    starts_script: bool = False
    """The file, or its use, holds the training command, and with it the script's own options."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the script trains as written, as far as the document says; None where it does not."""

    device: str | None
    optimizer: str | None
    batch_size: int | None
    samples_per_update: int | None
    processes: int
    workers: Workers | None
    """Of the loader that feeds the training."""
    generators: tuple[str, ...] | None
    """Paths to the random generators that its dataset holds."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Samples by the settings; None where neither they nor the document say. All None: as written."""

    micro: int | None
    """Of one backward of one process."""
    parts: int | None
    """Backwards of a process that make an update."""
    update: int | None
    """Over all processes."""


class Draft:
    """The settings of one document on their way into one form."""

    def __init__(self, document: Document, emitter: Emitter) -> None:
        self.document = document
        self.emitter = emitter
        self.training = training_of(document)
        self._open = document.config.as_dict()
        self._repeated = repeated_draws(document)
        self._left: list[Skipped] = []
        self._needed: list[Skipped] = []

    def has(self, name: str) -> bool:
        """Whether the setting is there and nothing has been said of it yet."""
        return name in self._open

    def take(self, name: str) -> SettingValue | None:
        """The setting's value, which the form expresses; None where it is not set."""
        return self._open.pop(name, None)

    def keywords(self, names: dict[str, str]) -> dict[str, Any]:
        """Settings that the form has under names of its own: {its name: value}."""
        return {there: self.take(here) for here, there in names.items() if self.has(here)}

    def leave(self, name: str, why: str = "", do: str = "") -> None:
        """The form has no place for this setting: why, and what to do instead (else what one does in a script)."""
        if name not in self._open:
            return
        value = self._open.pop(name)
        by_hand = TF32_BY_HAND if (name, value) == ("precision", "tf32") else BY_HAND[name]
        reason = why or f"{self.emitter.id} has no key for it"
        self._left.append(Skipped(what=f"{name}={value}", why=f"{reason}; {(do or by_hand).format(value=value)}"))

    def leave_rest(self) -> None:
        """All settings that are known and that nothing has been said of."""
        for name in [name for name in self._open if name in BY_HAND]:
            self.leave(name)

    def need(self, what: str, why: str) -> None:
        """The tool has to be told this by the user."""
        self._needed.append(Skipped(what=what, why=why))

    def take_worker_seeds(self) -> bool:
        """Whether workers by the settings need seeds for what the dataset draws from; the form then gives them."""
        repeated, self._repeated = self._repeated, None
        return repeated is not None

    def batch(self) -> Batch:
        """What the settings say of batches; both settings count as taken, and what stays open is told as needed."""
        micro, update = self.take("micro_batch"), self.take("global_batch")
        batch = batch_of(self.document)
        if batch.parts is None and update is not None:
            self.need(
                "batch size and accumulation",
                f"an update takes {update} samples, and the file does not say of how many backwards",
            )
        elif batch.parts is None and micro is not None:
            self.need("gradient accumulation", f"samples an update ÷ ({micro} × processes); the file does not say")
        return batch

    def artifact(self, content: str) -> Artifact:
        """The file, with everything that was not expressed."""
        for name, value in self._open.items():
            self._left.append(Skipped(what=f"{name}={value}", why=f"not known to {self.emitter.id}.py"))
        if self._repeated is not None:
            self.need("worker_init_fn", _by_hand(self._repeated))
        if not self.emitter.starts_script:
            for flag, value in self.document.arguments.items():
                self.need(f"{flag}={value}", "an option of the script itself, for its command line")
        return Artifact(
            target=self.emitter.id,
            file_name=self.emitter.file_name,
            content=content,
            usage=self.emitter.usage.format(command=self.command()),
            not_expressed=tuple(sorted(self._left, key=lambda left: left.what)),
            to_fill=tuple(self._needed),
        )

    def command(self, placeholder: str = "train.py") -> str:
        """The training command as it was typed, and the script's own options of the file; one line, for a shell."""
        import shlex

        try:
            words = shlex.split(str(self.document.found.get("command") or "")) or [placeholder]
        except ValueError:
            words = [placeholder]
        for flag, value in self.document.arguments.items():
            words += [flag, str(value)] if flag.startswith("-") else [f"{flag}={value}"]
        plain = ["".join(char if char.isprintable() else "?" for char in word) for word in words]
        return shlex.join(plain)


def training_of(document: Document) -> Training:
    """What the document says of the script as written; anything in it that makes no sense counts as not said."""
    said = document.found.get("training")
    said = said if isinstance(said, dict) else {}
    return Training(
        device=_text(said.get("device")),
        optimizer=_text(said.get("optimizer")),
        batch_size=_whole(said.get("batch_size")),
        samples_per_update=_whole(said.get("samples_per_update")),
        processes=_whole(said.get("processes")) or 1,
        workers=_workers(said.get("workers"), said.get("persistent_workers")),
        generators=_texts(said.get("generators")),
    )


def repeated_draws(document: Document) -> tuple[str, ...] | None:
    """Generators of the dataset whose draws workers by the settings would repeat, where the script's do not; none
    where the document does not say which there are. None where no draws are repeated."""
    settings, known = document.config.as_dict(), training_of(document)
    written = known.workers or Workers(0, False)
    number = settings.get("num_workers", written.number)
    if settings.get("cache_dataset") or not isinstance(number, int) or known.generators == ():
        return None
    wanted = Workers(number, bool(settings.get("persistent_workers", written.stay)))
    return (known.generators or ()) if add_repeats(written, wanted) else None


def _by_hand(generators: tuple[str, ...]) -> str:
    held = f"the dataset holds {', '.join(generators)}" if generators else "where the dataset holds random generators"
    return (
        f"{held}: workers get copies that draw alike, and a worker_init_fn has to seed them by "
        "torch.utils.data.get_worker_info().seed; advisor run, advisor.apply() and --to python do that"
    )


def batch_of(document: Document) -> Batch:
    """What the settings say of batches, with the help of what the document says of the script as written."""
    settings, known = document.config.as_dict(), training_of(document)
    micro, update = _whole(settings.get("micro_batch")), _whole(settings.get("global_batch"))
    if micro is None and update is None:
        return Batch(micro=None, parts=None, update=None)
    if micro is None:
        as_written = _parts(known.samples_per_update, known.batch_size, known.processes)
        micro = _parts(update, as_written, known.processes)
    update = update or known.samples_per_update
    parts = _parts(update, micro, known.processes)
    return Batch(micro=micro, parts=parts, update=update if parts is not None or "global_batch" in settings else None)


def _parts(whole: int | None, part: int | None, processes: int) -> int | None:
    """How often `part` goes into `whole` on each process; None where that is not known, or no whole number."""
    if whole is None or part is None or whole % (part * processes):
        return None
    return whole // (part * processes)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _workers(number: Any, stay: Any) -> Workers | None:
    known = isinstance(number, int) and not isinstance(number, bool) and number >= 0
    return Workers(number, stay is True) if known else None


def _texts(value: Any) -> tuple[str, ...] | None:
    return tuple(map(str, value)) if isinstance(value, list) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
