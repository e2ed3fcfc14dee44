"""A configuration in the user's own code: the settings of an `advisor.yaml`, ready to be applied."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .errors import SettingsWarning, UsageError
from .types import Artifact, Config, SettingValue, TuneResult, Workload

if TYPE_CHECKING:
    from .emit import Batch, Document


AGENT = "_advisor"
"""The package's name where the agent has started the script."""
_applied: dict[str, SettingValue] | None = None
"""In this process, by `apply`."""
VERSION_S = 20.0
"""Another Python may start from a slow disk."""
LOADER = ("num_workers", "prefetch_factor", "pin_memory", "persistent_workers")
FOR_WORKERS = ("prefetch_factor", "persistent_workers")
"""Refused by a loader that has none."""


@dataclass(frozen=True, kw_only=True)
class LoadedConfig:
    """Settings from an `advisor.yaml`, or from a search; for scripts that apply them by themselves.

    What is not among the settings stays as the script has it: every method then changes nothing.
    """

    settings: Mapping[str, SettingValue]
    """Knob → value; see `advisor explain KNOB`."""
    text: str = field(default="", repr=False)
    """The file's content."""

    @property
    def document(self) -> Document:
        """The file's content as values, with where it was found and what is known of it."""
        from .emit import advisor_yaml

        if self.text:
            return advisor_yaml.parse(self.text, Path("advisor.yaml"))
        return advisor_yaml.Document(config=Config.of(self.settings))

    def dataloader(self, worker_init_fn: Callable[[int], Any] | None = None) -> dict[str, Any]:
        """Keyword arguments for `torch.utils.data.DataLoader`; what is not set is not among them.

        They are for the loader that feeds the training. Where the file says that its dataset holds random generators
        whose draws workers would repeat, a `worker_init_fn` is among them that gives each worker seeds of its own, and
        then calls yours: hand it over here, and not to the loader besides.

        `batch_size` (samples of one backward of one process) is among them where a batch setting is, and the file says
        enough to know it. How many such batches make an update then is `accumulation`.
        """
        found: dict[str, Any] = {name: self.settings[name] for name in LOADER if name in self.settings}
        if found.get("num_workers") == 0:
            found = {name: value for name, value in found.items() if name not in FOR_WORKERS}
        if self._repeats_draws or (self._may_repeat_draws and worker_init_fn is not None):
            from .worker_seeds import WorkerSeeds

            worker_init_fn = WorkerSeeds(worker_init_fn)
        if worker_init_fn is not None:
            found["worker_init_fn"] = worker_init_fn
        micro = self._batch.micro
        return found if micro is None else {**found, "batch_size": micro}

    @property
    def accumulation(self) -> int | None:
        """Backwards of each process that make an update; None where the settings leave that as the script has it."""
        return self._batch.parts

    @property
    def _repeats_draws(self) -> bool:
        from . import emit

        return bool(emit.repeated_draws(self.document))

    @property
    def _may_repeat_draws(self) -> bool:
        """Workers would, and the file does not say whether the dataset holds generators."""
        from . import emit

        return emit.repeated_draws(self.document) is not None

    @property
    def _batch(self) -> Batch:
        from . import emit

        return emit.batch_of(self.document)

    def autocast(self, device: Any) -> Any:
        """The context for forward and loss on this device (`torch.device` or its name); it does nothing where the
        precision is as written. Leave it before `backward()`. With fp16 the loss has to be scaled, too."""
        from .agent import precision

        return precision.by_hand(str(self.settings.get("precision", "")), device)

    def apply(self, model: Any = None, optimizer: Any = None) -> Any:
        """Apply what plain torch can apply to these objects, and for the process: threads, tf32, cuDNN's benchmark, the
        model's memory format, its compilation, the optimizer's fused form.

        Call it when the model is on its device and before the first step, and go on with the model that it returns.
        Loader and autocast are for `dataloader()` and `autocast()`. What could not be applied is told in one
        `SettingsWarning`; nothing is raised for it.
        """
        from .agent import by_hand

        model, left = by_hand.apply(self.settings, model, optimizer)
        if (self.accumulation or 1) > 1:
            name = "micro_batch" if "micro_batch" in self.settings else "global_batch"
            left[name] = f"step the optimizer after every {self.accumulation} backwards, or use advisor.apply()"
        for flag, value in self.document.arguments.items():
            left[flag] = f"an option of the script itself: give it {value}"
        if left:
            told = "; ".join(f"{_shown(name, self.settings)}: {why}" for name, why in sorted(left.items()))
            warnings.warn(f"not applied: {told}", SettingsWarning, stacklevel=2)
        return model

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the file. Raises UsageError where one is there already and `overwrite` is False."""
        return write(path, self.text, overwrite=overwrite)

    def export(self, *targets: str) -> list[Artifact]:
        """The settings in the form of other tools: accelerate, deepspeed, lightning, python, torchrun, transformers.

        Each says what it could not express. Raises UsageError for a target that there is no form for.
        """
        from . import emit

        return emit.artifacts(self.document, targets)


def load(path: str | os.PathLike[str]) -> LoadedConfig:
    """The settings of an `advisor.yaml`.

    Raises UsageError for what cannot be read or is not known, and why. Warns (`SettingsWarning`) where the file was
    found on other hardware or with another torch, and says what no longer holds.
    """
    document = read_document(Path(path))
    told = no_longer_holds(document)
    if told:
        warnings.warn(f"{path}: {'; '.join(told)}", SettingsWarning, stacklevel=2)
    return LoadedConfig(settings=document.config.as_dict(), text=Path(path).read_text(encoding="utf-8"))


def apply(config: LoadedConfig | str | os.PathLike[str]) -> None:
    """Apply all settings to this very process, in one line, best before the model and its loaders are made.

    The training loop that follows is run as `advisor run` would run it: loaders, forwards and optimizer steps are
    switched from outside once the loop has begun. A setting that cannot be applied, or that fails in the first updates,
    stays as the script has it; that is said on stderr, and kept in the user's state folder (`settings-given-up.jsonl`).
    `config` may be the path of a file.

    In a script that advisor itself runs (`advisor run`, `profile`, `tune`, `verify`) it only warns: what those apply is
    what counts. The same settings twice are applied once. Raises UsageError for others in the same process, and for a
    file that `advisor.load` refuses.
    """
    global _applied
    from . import store
    from .agent import launch
    from .agent.refused import Refused

    found = config if isinstance(config, LoadedConfig) else load(config)
    if AGENT in sys.modules:
        warnings.warn("not applied: advisor runs this script, with its own settings", SettingsWarning, stacklevel=2)
        return
    settings = dict(found.settings)
    if _applied == settings:
        return
    try:
        launch.install(settings, log=str(store.given_up_path()))
    except Refused as error:
        raise UsageError(f"{error}: start a new process for others") from error
    _applied = settings


def no_longer_holds(document: Document, *, python: str | None = None) -> list[str]:
    """What of the file no longer holds on this machine, with the torch of this Python or another; a sentence each."""
    from . import emit, hardware

    if not document.config.settings:
        return []
    version = _torch_version(python)
    versions = {"torch": version} if version is not None else {}
    return emit.differences(document, hardware.probe(folder=Path.cwd()), versions)


def _torch_version(python: str | None) -> str | None:
    """Without importing it, which takes seconds; None where it cannot be found out."""
    loaded = sys.modules.get("torch")
    if python is None or os.path.realpath(python) == os.path.realpath(sys.executable):
        if loaded is not None:
            return str(loaded.__version__)
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version("torch")
        return None
    code = "from importlib import metadata; print(metadata.version('torch'))"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=VERSION_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def write_artifacts(artifacts: Sequence[Artifact], folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write the files; nothing at all is written where one of them is there already and `overwrite` is False."""
    for artifact in artifacts:
        check_target(folder / artifact.file_name, overwrite=overwrite)
    return [write(folder / artifact.file_name, artifact.content, overwrite=overwrite) for artifact in artifacts]


def write(path: str | os.PathLike[str], text: str, *, overwrite: bool) -> Path:
    """A file of the user's, whole or not at all."""
    from .store import write_atomic

    target = check_target(path, overwrite=overwrite)
    write_atomic(target, text.encode("utf-8", "backslashreplace"))
    target.chmod(0o666 & ~_umask())
    return target


def read_document(path: Path) -> Document:
    """The file with its settings checked against the knobs that there are."""
    from . import knobs
    from .emit import advisor_yaml

    document = advisor_yaml.read(path)
    known = {knob.id: knob for knob in knobs.all_knobs()}
    for name, value in document.config.settings:
        if name not in known:
            raise UsageError(
                f"{path}: no knob is called {name!r}: there are {', '.join(known)}. "
                "Remove it, or upgrade advisor if a newer one wrote it"
            )
        why = known[name].wrong(value)
        if why is not None:
            raise UsageError(f"{path}: {name}: {why}. Correct it, or remove it")
    return document


def as_yaml(result: TuneResult) -> str:
    """The text of `advisor.yaml`."""
    from . import knobs
    from .emit import advisor_yaml

    workload = result.profile.workload
    return advisor_yaml.render(
        result.recommendation,
        advisor=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=result.profile.environment,
        changes={knob.id: f"{knob.title}. {knob.changes}".strip() for knob in knobs.all_knobs()},
        training=_training(workload) if workload is not None else {},
        only=result.only,
    )


def _training(workload: Workload) -> dict[str, Any]:
    """What other tools have to be told beside the settings: how the script trains as written."""
    from .knobs._loader import held_generators
    from .knobs.global_batch import written_samples

    loader, optimizer = workload.train_loader, workload.main_optimizer
    found = {
        "framework": workload.framework,
        "device": workload.device,
        "optimizer": optimizer.class_name if optimizer is not None else None,
        "processes": workload.world_size,
        "batch_size": loader.batch_size if loader is not None else None,
        "samples_per_update": written_samples(workload),
        "workers": loader.num_workers if loader is not None else None,
        "persistent_workers": True if loader is not None and loader.persistent_workers else None,
        "generators": held_generators(workload),
    }
    return {name: value for name, value in found.items() if value is not None}


def check_target(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Where a file of the user's is to be written; UsageError before anything is measured for nothing."""
    target = Path(path)
    if target.is_dir():
        raise UsageError(f"{target} is a folder: give the name of a file")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} is there already: overwrite it with -f, or choose another name with -o")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"{target} cannot be written: the folder {target.parent} is missing or read-only")
    return target


def _shown(name: str, settings: Mapping[str, SettingValue]) -> str:
    return f"{name}={settings[name]}" if name in settings else name


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
