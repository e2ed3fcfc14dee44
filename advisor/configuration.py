"""A configuration in the user's own code: the settings of an `advisor.yaml`, ready to be applied."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .errors import UsageError
from .types import SettingValue, TuneResult, Workload

if TYPE_CHECKING:
    from .emit.advisor_yaml import Document


@dataclass(frozen=True, kw_only=True)
class LoadedConfig:
    """Settings from an `advisor.yaml`, or from a search; for scripts that apply them by themselves."""

    settings: Mapping[str, SettingValue]
    text: str = ""
    """The file's content."""

    def dataloader(self) -> dict[str, Any]:
        """Keyword arguments for `torch.utils.data.DataLoader`; what is not set is not among them."""
        return {name: self.settings[name] for name in ("num_workers",) if name in self.settings}

    def autocast(self, device: Any) -> Any:
        """The context for forward and loss on this device (`torch.device` or its name); it does nothing where the
        precision is as written. Leave it before `backward()`."""
        from .agent import precision

        return precision.by_hand(str(self.settings.get("precision", "")), device)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the file. Raises UsageError where one is there already and `overwrite` is False."""
        from .store import write_atomic

        target = check_target(path, overwrite=overwrite)
        write_atomic(target, self.text.encode("utf-8", "backslashreplace"))
        target.chmod(0o666 & ~_umask())
        return target


def load(path: str | os.PathLike[str]) -> LoadedConfig:
    """The settings of an `advisor.yaml`. Raises UsageError for what cannot be read or is not known, and why."""
    document = read_document(Path(path))
    return LoadedConfig(settings=document.config.as_dict(), text=Path(path).read_text(encoding="utf-8"))


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
    )


def _training(workload: Workload) -> dict[str, str | int]:
    """What other tools have to be told beside the settings: how the script trains as written."""
    from .knobs.global_batch import written_samples

    loader, optimizer = workload.train_loader, workload.main_optimizer
    found = {
        "framework": workload.framework,
        "device": workload.device,
        "optimizer": optimizer.class_name if optimizer is not None else None,
        "processes": workload.world_size,
        "batch_size": loader.batch_size if loader is not None else None,
        "samples_per_update": written_samples(workload),
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
