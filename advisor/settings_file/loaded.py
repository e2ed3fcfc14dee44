"""Settings of an `advisor.yaml`, ready to be applied in the user's own code."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AdvisorError, SettingsWarning, UsageError
from ..spelling import parameter
from ..types import Artifact, Config, LearningResult, Profile, Recommendation, SettingValue, TuneResult, Workload

if TYPE_CHECKING:
    from .exports import Batch, Document


AGENT = "_advisor"
"""Name of the package in a script that the agent has started."""
_applied: dict[str, SettingValue] | None = None
"""Settings that `apply` has applied in this process."""
VERSION_S = 20.0
"""Seconds until another Python must have answered; it may start from a slow disk."""


@dataclass(frozen=True, kw_only=True)
class LoadedConfig:
    """Settings from an `advisor.yaml` or a search, for scripts that apply them themselves.

    Anything that is not among the settings stays as the script has it: every method then changes nothing.
    """

    settings: Mapping[str, SettingValue]
    """Knob → value; see `advisor explain KNOB`."""
    text: str = field(default="", repr=False)
    """Content of the file."""

    def __post_init__(self) -> None:
        from . import advisor_yaml

        advisor_yaml.check(Config.of(self.settings), "the settings cannot be used")

    @property
    def document(self) -> Document:
        """Return the file's content as values, with where the settings were found and what is known of them."""
        from . import advisor_yaml

        if self.text:
            return advisor_yaml.parse(self.text, Path("advisor.yaml"))
        return advisor_yaml.Document(config=Config.of(self.settings))

    def dataloader(self, worker_init_fn: Callable[[int], Any] | None = None) -> dict[str, Any]:
        """Return keyword arguments for `torch.utils.data.DataLoader`, only those that are set.

        They are for the loader that feeds the training. The file may say that the dataset holds random generators
        whose draws workers would repeat. A `worker_init_fn` is then included that gives each worker its own seeds
        and calls yours. Pass yours here, and not to the loader as well.

        `batch_size` (samples in one backward pass of one process) is included if there is a batch setting and the
        file says enough to derive it. `accumulation` is then the number of such batches in an update.
        """
        from .. import knobs

        # A loader without workers refuses what needs them.
        usable = [knob for knob in map(knobs.get, self.settings) if self.settings.get(knob.needs, True)]
        found: dict[str, Any] = {knob.loader_keyword: self.settings[knob.id] for knob in usable if knob.loader_keyword}
        if self._repeats_draws or (self._may_repeat_draws and worker_init_fn is not None):
            from ..worker_seeds import WorkerSeeds

            worker_init_fn = WorkerSeeds(worker_init_fn)
        for knob in usable:
            if knob.worker_init is not None:
                worker_init_fn = knob.worker_init(self.settings[knob.id], worker_init_fn)
        if worker_init_fn is not None:
            found["worker_init_fn"] = worker_init_fn
        micro = self._batch.micro
        return found if micro is None else {**found, "batch_size": micro}

    @property
    def accumulation(self) -> int | None:
        """Return the backward passes per update in each process; None if the settings leave the script's number."""
        return self._batch.parts

    @property
    def _repeats_draws(self) -> bool:
        from . import exports

        return bool(exports.repeated_draws(self.document))

    @property
    def _may_repeat_draws(self) -> bool:
        """Return True if workers would repeat the draws of generators that the dataset holds or may hold."""
        from . import exports

        return exports.repeated_draws(self.document) is not None

    @property
    def _batch(self) -> Batch:
        from . import exports

        return exports.batch_of(self.document)

    def autocast(self, device: Any) -> Any:
        """Return a context manager for forward and loss on this device (a `torch.device` or its name).

        It does nothing if the precision is the baseline's. Leave it before `backward()`. With fp16, scale the loss too.
        """
        from ..agent.real_run import by_hand

        return by_hand.autocast(self.settings, device)

    def apply(self, model: Any = None, optimizer: Any = None) -> Any:
        """Apply the settings that plain torch can apply to these objects and to the process.

        These are threads, tf32, cuDNN's benchmark mode, the model's memory format and compilation, and the fused
        optimizer. Call it once the model is on its device and before the first step; use the model that it returns.
        Use `dataloader()` for the loader and `autocast()` for autocast. One `SettingsWarning` lists everything that
        could not be applied; no exception is raised for it.
        """
        from .. import knobs
        from ..agent.real_run import by_hand

        model, left = by_hand.apply(self.settings, model, optimizer)
        if (self.accumulation or 1) > 1:
            name = min(
                (knob for knob in map(knobs.get, self.settings) if knob.samples_per), key=lambda knob: knob.samples_per
            ).id
            left[name] = f"step the optimizer after every {self.accumulation} backward passes, or use advisor.apply()"
        left |= _of_the_script(self.document)
        if left:
            reasons = "; ".join(f"{_shown(name, self.settings)}: {why}" for name, why in sorted(left.items()))
            warnings.warn(f"not applied: {reasons}", SettingsWarning, stacklevel=2)
        return model

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the file. Raises UsageError if it already exists and `overwrite` is False."""
        from .how_to_train import renamed

        return write(path, renamed(self.text, Path(path).name), overwrite=overwrite)

    def export(self, *targets: str) -> list[Artifact]:
        """Export the settings: accelerate, advisor, deepspeed, lightning, patch, python, torchrun, transformers.

        Each artifact says what it could not express. Raises UsageError for an unknown target.
        """
        from . import exports

        return exports.artifacts(self.document, targets)


def load(path: str | os.PathLike[str]) -> LoadedConfig:
    """Load the settings of an `advisor.yaml`.

    Raises UsageError, with the reason, for anything unreadable or unknown. Warns (`SettingsWarning`) if the settings
    were found on other hardware or with another torch, and says what no longer holds.
    """
    document = read_document(Path(path))
    differences = no_longer_holds(document)
    if differences:
        warnings.warn(f"{path}: {'; '.join(differences)}", SettingsWarning, stacklevel=2)
    return LoadedConfig(settings=document.config.as_dict(), text=Path(path).read_text(encoding="utf-8"))


def apply(config: LoadedConfig | str | os.PathLike[str]) -> None:
    """Apply all settings to this process, in one line, best before the model and its loaders are made.

    The training loop that follows runs as `advisor run` would run it: loaders, forwards and optimizer steps are
    switched from outside once the loop has begun. A setting that cannot be applied, or that fails in the first
    updates, stays as the script has it. This is reported on stderr and recorded in the user's state folder
    (`settings-given-up.jsonl`). `config` may be the path of a file.

    Options and constants of the script that the file holds are for `advisor run`: a `SettingsWarning` lists them.

    In a script that advisor itself runs (`advisor run`, `profile`, `tune`, `verify`) it only warns, because the
    settings of that command count. Applying the same settings twice applies them once. Raises UsageError for
    different settings in the same process, and for a file that `advisor.load` refuses.
    """
    global _applied
    from ..agent.real_run import launch
    from ..refused import Refused
    from ..storage import run_store

    found = config if isinstance(config, LoadedConfig) else load(config)
    if AGENT in sys.modules:
        warnings.warn("not applied: advisor runs this script with its own settings", SettingsWarning, stacklevel=2)
        return
    settings = dict(found.settings)
    if _applied == settings:
        return
    try:
        launch.install(settings, log=str(run_store.given_up_path()), updates=found.document.updates)
    except Refused as error:
        raise UsageError(f"{error}: start a new process for other settings") from error
    _applied = settings
    left = _of_the_script(found.document)
    if left:
        reasons = "; ".join(f"{name}: {why}" for name, why in left.items())
        warnings.warn(f"not applied: {reasons}", SettingsWarning, stacklevel=2)


def _of_the_script(document: Document) -> dict[str, str]:
    """Return what only the script itself can set, with what to do."""
    return {
        **{flag: f"an option of the script: set it to {value}" for flag, value in document.arguments.items()},
        **{name: f"a constant of the script: set it to {value!r}" for name, value in document.constants.items()},
    }


def no_longer_holds(document: Document, *, python: str | None = None) -> list[str]:
    """Describe, a sentence each, what in the file no longer holds on this machine with this (or `python`'s) torch."""
    from .. import hardware
    from . import exports

    if not document.config.settings:
        return []
    version = torch_version(python)
    versions = {"torch": version} if version is not None else {}
    return exports.differences(document, hardware.probe(folder=Path.cwd()), versions)


def torch_version(python: str | None) -> str | None:
    """Return torch's version without the seconds that importing it takes; None if it cannot be determined."""
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
    """Write the files; write none if one of them already exists and `overwrite` is False."""
    for artifact in artifacts:
        check_target(folder / artifact.file_name, overwrite=overwrite)
    return [write(folder / artifact.file_name, artifact.content, overwrite=overwrite) for artifact in artifacts]


def write(path: str | os.PathLike[str], text: str, *, overwrite: bool) -> Path:
    """Write a file for the user, completely or not at all."""
    from ..storage.safe_files import write_for_user

    target = check_target(path, overwrite=overwrite)
    write_for_user(target, text.encode("utf-8", "backslashreplace"))
    return target


def read_document(path: Path) -> Document:
    """Read the file and check its settings against the existing knobs."""
    from . import advisor_yaml

    document = advisor_yaml.read(path)
    advisor_yaml.check(document.config, path)
    return document


def as_yaml(result: TuneResult) -> str:
    """Return the text of `advisor.yaml`."""
    return _yaml(result.recommendation, result.profile, result.only)


def learned_yaml(result: LearningResult) -> str:
    """Return the text of `advisor.yaml` for a search by losses."""
    from ..knobs import lr_schedule

    scheduled = lr_schedule.KNOB.id in result.recommendation.config.as_dict()
    updates = result.best_updates if scheduled and result.best_updates else None
    rate = result.range_test.script_rate if result.range_test is not None else None
    return _yaml(result.recommendation, result.profile, None, updates, rate)


def _yaml(
    found: Recommendation,
    profile: Profile,
    only: Sequence[str] | None,
    updates: int | None = None,
    peak_rate: float | None = None,
) -> str:
    from .. import knobs
    from . import advisor_yaml

    workload = profile.workload
    return advisor_yaml.render(
        found,
        advisor=profile.advisor,
        created=profile.created,
        versions=profile.environment,
        changes={knob.id: f"{knob.title}. {knob.changes}".strip() for knob in knobs.all_knobs()},
        training=_training(workload, peak_rate) if workload is not None else {},
        only=only,
        updates=updates,
    )


def _training(workload: Workload, peak_rate: float | None) -> dict[str, Any]:
    """Return what other tools need besides the settings: how the baseline trains.

    Its peak learning rate is `peak_rate`, or the one that was seen if nothing changes it.
    """
    from ..knobs.global_batch import baseline_samples

    loader, optimizer = workload.train_loader, workload.main_optimizer
    held = workload.facts.dataset_generators
    if peak_rate is None and optimizer is not None and optimizer.has_schedule is False:
        peak_rate = optimizer.learning_rate
    found = {
        "framework": workload.framework,
        "device": workload.device,
        "optimizer": optimizer.class_name if optimizer is not None else None,
        "learning_rate": peak_rate,
        "processes": workload.world_size,
        "batch_size": loader.batch_size if loader is not None else None,
        "samples_per_update": baseline_samples(workload),
        "workers": loader.num_workers if loader is not None else None,
        "persistent_workers": True if loader is not None and loader.persistent_workers else None,
        "generators": list(held) if held is not None else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def check_target(path: str | os.PathLike[str], *, overwrite: bool, other: str = "choose another path") -> Path:
    """Return the path to write a user's file to; raise UsageError early, before anything is measured in vain.

    `other` says how to write somewhere else.
    """
    target = Path(path)
    if target.is_dir():
        raise UsageError(f"{target} is a folder: give a file name")
    if target.exists() and not overwrite and not _holds_nothing(target):
        raise UsageError(f"{target} already exists: overwrite it with {parameter('overwrite', True)}, or {other}")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"{target} cannot be written: the folder {target.parent} is missing or read-only")
    return target


def _holds_nothing(target: Path) -> bool:
    """Return whether the file is one of ours without any setting, as a search writes it that found none."""
    try:
        found = read_document(target)
    except AdvisorError:
        return False
    return not (found.config.settings or found.arguments or found.constants)


def _shown(name: str, settings: Mapping[str, SettingValue]) -> str:
    return f"{name}={settings[name]}" if name in settings else name
