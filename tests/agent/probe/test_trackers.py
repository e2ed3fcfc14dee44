"""Trackers in a probe. The packages stand in for the real ones, with the arguments that matter; each does as the real
one does: what the code says wins over the environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..launched import Ended, advised

MODE = """\
import os
def init(*args, mode=None, **kwargs): return mode or os.environ.get({variable!r}, "online")
def login(*args, **kwargs): raise SystemExit("asks for a key")
"""
PACKAGES = {
    "wandb": MODE.format(variable="WANDB_MODE"),
    "swanlab": MODE.format(variable="SWANLAB_MODE"),
    "neptune": "def init_run(*args, mode='async', **kwargs): return mode\n",
    "neptune_scale": "class Run:\n    def __init__(self, mode='async'): self.mode = mode\n",
    "comet_ml": (
        "class Experiment:\n    def __init__(self, api_key=None, disabled=False): self.disabled = disabled\n"
        "def login(*args): raise SystemExit('asks for a key')\n"
    ),
    "mlflow": "uri = ''\ndef set_tracking_uri(new):\n    global uri\n    uri = new\n",
    "clearml": "",
    "aim": "",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for name, text in PACKAGES.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def script(project: Path, text: str, *, mode: str = "probe", environment: dict[str, str] | None = None) -> Ended:
    (project / "script.py").write_text(text, encoding="utf-8")
    ended = advised(project, "script.py", mode=mode, environment=environment)
    assert ended.code == 0, ended.err
    return ended


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import wandb; print(wandb.init())", "disabled"),
        ("import wandb; print(wandb.init(mode='online'))", "disabled"),
        ("from wandb import init; print(init('project', mode='online'))", "disabled"),
        ("import wandb; wandb.login(); print('on')", "on"),
        ("import swanlab; swanlab.login(); print(swanlab.init(mode='cloud'))", "disabled"),
        ("import neptune; print(neptune.init_run(mode='sync'))", "debug"),
        ("import neptune_scale; print(neptune_scale.Run().mode)", "disabled"),
        ("import comet_ml; comet_ml.login(); print(comet_ml.Experiment('key').disabled)", "True"),
        ("import mlflow; mlflow.set_tracking_uri('sqlite:///a.db'); print(mlflow.uri)", "sqlite:///a.db"),
        ("import mlflow; mlflow.set_tracking_uri('runs'); print(mlflow.uri)", "runs"),
    ],
)
def test_a_tracker_is_put_offline(project: Path, text: str, expected: str) -> None:
    assert script(project, text).out.strip() == expected


@pytest.mark.parametrize("uri", ["http://tracking:5000", "databricks", "databricks://profile", "postgresql://h/db"])
def test_mlflow_on_a_server_writes_to_files(project: Path, uri: str) -> None:
    text = f"import mlflow; mlflow.set_tracking_uri({uri!r}); print(mlflow.uri)"
    assert script(project, text).out.startswith("file:///")


def test_mlflow_on_a_server_by_environment_writes_to_files(project: Path) -> None:
    text = "import os; print(os.environ['MLFLOW_TRACKING_URI'])"
    assert script(project, text, environment={"MLFLOW_TRACKING_URI": "http://tracking"}).out.startswith("file:///")


def test_mlflow_on_files_stays_where_it_is(project: Path) -> None:
    text = "import os; print(os.environ['MLFLOW_TRACKING_URI'])"
    assert script(project, text, environment={"MLFLOW_TRACKING_URI": "sqlite:///my.db"}).out == "sqlite:///my.db\n"


def test_what_is_offline_already_stays_as_it_is(project: Path) -> None:
    text = "import os; print(os.environ['WANDB_MODE'], os.environ['NEPTUNE_MODE'])"
    ended = script(project, text, environment={"WANDB_MODE": "offline", "NEPTUNE_MODE": "debug"})
    assert ended.out == "offline debug\n"


def test_children_inherit_it(project: Path) -> None:
    text = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import wandb; print(wandb.init())'])"
    assert script(project, text).out == "disabled\n"


@pytest.mark.parametrize("name", PACKAGES)
def test_an_imported_tracker_is_told(project: Path, name: str) -> None:
    (note,) = script(project, f"import {name}").notes("tracker")
    assert note.startswith(f"{name}: ")


def test_a_tracker_that_is_not_imported_is_not_told(project: Path) -> None:
    assert script(project, "import json").notes("tracker") == []


def test_a_tracker_of_another_make_does_not_break_the_script(project: Path) -> None:
    (project / "wandb.py").write_text("version = 99\n", encoding="utf-8")
    ended = script(project, "import wandb; print(wandb.version)")
    assert ended.out == "99\n"
    assert "wandb" in ended.notes("agent_error")[0]


@pytest.mark.parametrize("name", ["wandb", "swanlab"])
def test_a_real_run_is_left_alone(project: Path, name: str) -> None:
    ended = script(project, f"import {name}; print({name}.init())", mode="run")
    assert (ended.out, ended.notes("tracker")) == ("online\n", [])


def test_nothing_is_uploaded_to_the_hub(project: Path) -> None:
    pytest.importorskip("huggingface_hub")
    text = (
        "import json, os\n"
        "from huggingface_hub import HfApi, create_repo, upload_file\n"
        "api = HfApi()\n"
        "answers = [create_repo('me/model').repo_id,\n"
        "    upload_file(path_or_fileobj=b'x', path_in_repo='x', repo_id='me/model').oid,\n"
        "    api.upload_folder(repo_id='me/model', folder_path='.').oid,\n"
        "    api.upload_folder(repo_id='me/model', folder_path='.', run_as_future=True).result().oid]\n"
        "print(json.dumps(answers))\n"
    )
    ended = script(project, text)
    assert json.loads(ended.out) == ["me/model", "0" * 40, "0" * 40, "0" * 40]
    assert ended.notes("tracker") == ["huggingface_hub: uploads to me/model are skipped"]
    assert ended.notes("network") == []
