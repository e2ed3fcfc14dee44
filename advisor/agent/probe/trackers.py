"""Experiment trackers in a probe: offline, so that measuring leaves nothing on a server and asks for no login.

Most obey an environment variable, which the script's own children inherit. If an argument in the script's code would
override it, the tracker's entry point is patched after its import. Isolation covers files that a tracker writes.
TensorBoard is left alone: it only writes files.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any, Callable

from ..base.channel import AgentChannel
from ..base.imports import when_imported
from ..base.pass_through import stands_for

_ENVIRONMENT: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    # variable, value, user's values that are already offline
    ("WANDB_MODE", "disabled", ("offline", "disabled", "dryrun")),
    ("NEPTUNE_MODE", "offline", ("offline", "debug", "disabled")),
    ("COMET_AUTO_LOG_DISABLE", "1", ("1", "true", "True")),
    ("COMET_MODE", "DISABLED", ("OFFLINE", "DISABLED")),  # read by transformers, not by comet_ml
    ("CLEARML_OFFLINE_MODE", "1", ("1", "true", "True")),
    ("SWANLAB_MODE", "disabled", ("offline", "local", "disabled")),
    ("HF_HUB_DISABLE_TELEMETRY", "1", ("1", "true", "True")),
    ("MLFLOW_ALLOW_FILE_STORE", "true", ("true", "1")),  # MLflow 3 refuses plain files otherwise
)
_ALSO_IMPORTED = {"aim": "local files only", "tensorboard": "local files only", "dvclive": "local files only"}


def put_offline(channel: AgentChannel) -> None:
    """Set the trackers' variables before the script runs, and report each tracker that the script imports."""
    for variable, value, offline in _ENVIRONMENT:
        if os.environ.get(variable) not in offline:
            os.environ[variable] = value
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        if not _is_local(os.environ.get(variable, "")):
            os.environ[variable] = _mlflow_folder()

    def watched(name: str, how: str, patch: Callable[[Any], None] | None = None) -> None:
        def imported(module: object) -> None:
            if patch is not None:
                patch(module)
            channel.note("tracker", f"{name}: {how}")

        when_imported(name, imported)

    watched("wandb", "disabled", _patch_wandb)
    watched("mlflow", "writes to local files", _patch_mlflow)
    watched("comet_ml", "disabled", _patch_comet)
    watched("neptune", "debug mode", _patch_neptune)
    watched("neptune_scale", "disabled", _patch_neptune_scale)
    watched("clearml", "offline")
    watched("swanlab", "disabled", _patch_swanlab)
    for name, how in _ALSO_IMPORTED.items():
        watched(name, how)
    when_imported("huggingface_hub.hf_api", lambda module: _patch_hub(module, channel))


def _with_argument(original: Any, **forced: object) -> Any:
    """Wrap the function with arguments that override the caller's."""

    @stands_for(original)
    def call(*args: object, **kwargs: object) -> Any:
        return original(*args, **{**kwargs, **forced})

    return call


def _patch_wandb(module: Any) -> None:
    module.init = _with_argument(module.init, mode="disabled")
    module.login = lambda *_args, **_kwargs: True


def _patch_swanlab(module: Any) -> None:
    module.init = _with_argument(module.init, mode="disabled")
    module.login = lambda *_args, **_kwargs: None


def _patch_neptune(module: object) -> None:
    # neptune and neptune_scale share only the word "offline"; each has its own for writing nothing at all.
    for name in ("init_run", "init_model", "init_model_version", "init_project"):
        if hasattr(module, name):
            setattr(module, name, _with_argument(getattr(module, name), mode="debug"))


def _patch_neptune_scale(module: Any) -> None:
    module.Run.__init__ = _with_argument(module.Run.__init__, mode="disabled")


def _patch_comet(module: Any) -> None:
    for name in ("Experiment", "ExistingExperiment"):
        kind = getattr(module, name, None)
        if kind is not None:
            kind.__init__ = _with_argument(kind.__init__, disabled=True)
    module.login = lambda *_args, **_kwargs: None


def _patch_mlflow(module: Any) -> None:
    original = module.set_tracking_uri

    @stands_for(original)
    def set_tracking_uri(uri: object) -> Any:
        return original(uri if _is_local(str(uri)) else _mlflow_folder())

    module.set_tracking_uri = set_tracking_uri


def _is_local(uri: str) -> bool:
    """Return whether MLflow's URI is a path or a file's address; empty is its own choice, also local."""
    return uri.startswith(("file:", "sqlite:")) or ("://" not in uri and not uri.startswith(("databricks", "uc")))


def _mlflow_folder() -> str:
    """Return a store of plain files, the only one that needs no other package."""
    return f"file://{os.environ.get('TMPDIR') or '/tmp'}/advisor-mlflow-{os.getpid()}"


def _patch_hub(module: ModuleType, channel: AgentChannel) -> None:
    """Answer uploads to the Hugging Face Hub locally; downloads and local caches work as usual."""
    noted: set[str] = set()

    def create_repo(_self: object, repo_id: str, *_args: object, **kwargs: Any) -> object:
        name = repo_id if "/" in repo_id else f"local/{repo_id}"
        prefix = {"dataset": "datasets/", "space": "spaces/"}.get(kwargs.get("repo_type") or "model", "")
        return module.RepoUrl(f"https://huggingface.co/{prefix}{name}")

    def no_upload(_self: object, repo_id: str = "", *_args: object, **kwargs: Any) -> object:
        repo_id = kwargs.get("repo_id", repo_id)
        if repo_id not in noted:
            noted.add(repo_id)
            channel.note("tracker", f"huggingface_hub: uploads to {repo_id} are skipped")
        commit = module.CommitInfo(
            commit_url=f"https://huggingface.co/{repo_id}/commit/{'0' * 40}",
            commit_message=str(kwargs.get("commit_message", "")),
            commit_description="",
            oid="0" * 40,
        )
        if not kwargs.get("run_as_future"):
            return commit
        from concurrent.futures import Future

        future: Future[object] = Future()
        future.set_result(commit)
        return future

    bound = module.HfApi()
    for name in ("create_repo", "create_commit", "upload_file", "upload_folder", "upload_large_folder"):
        if hasattr(module.HfApi, name):
            answer = create_repo if name == "create_repo" else no_upload
            setattr(module.HfApi, name, _like(getattr(module.HfApi, name), answer))
            setattr(module, name, getattr(bound, name))


def _like(original: Any, replacement: Any) -> object:
    @stands_for(original)
    def call(*args: object, **kwargs: object) -> object:
        return replacement(*args, **kwargs)

    return call
