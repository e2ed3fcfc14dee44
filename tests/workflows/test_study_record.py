"""A named study: what it stores, and which workers may take part."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from report import sample

from advisor import hardware as machines
from advisor.errors import UsageError
from advisor.progress import SILENT
from advisor.search import database, studies
from advisor.search.shared_study import search_name
from advisor.settings_file.loaded import torch_version
from advisor.storage import run_store
from advisor.target.command import build
from advisor.version import __version__
from advisor.workflows import study_record
from advisor.workflows.tune_request import Asked, TuneRequest, checked
from advisor.workflows.worker import begun, worker

SCRIPT = "import helper\nimport torch\n"


class Project:
    """A project's folder and a database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'study.db'}"
        (folder / "train.py").write_text(SCRIPT)
        (folder / "helper.py").write_text("rows = 32\n")

    def asked(self, **options: Any) -> Asked:
        usual: dict[str, Any] = {
            "budget": "40s",
            "preset": "quick",
            "knobs": ["num_workers"],
            "no_knobs": (),
            "mapped": {"micro_batch": ("--rows", 32.0)},
            "objective": "memory",
            "price": None,
            "tolerance": "5%",
            "updates": 1000,
            "allow_training": True,
        }
        return usual | options  # type: ignore[return-value]

    def begin(self, *args: str, script: str = "train.py", **options: Any) -> TuneRequest:
        asked = self.asked(**options)
        request = checked(build(script, args), asked, verify=True, storage=self.url, study="one")
        study_record.begin(request, asked)
        return request

    def record(self, name: str = "one") -> studies.StudyRecord:
        with study_record.connected(self.url) as engine:
            found = studies.find(engine, name)
        assert found is not None
        return found

    def replace(self, **changes: Any) -> None:
        import json

        table = database.table(database.STUDIES)
        document = json.dumps(asdict(replace(self.record(), **changes)))
        with study_record.connected(self.url) as engine, engine.begin() as connection:
            connection.execute(table.update().values(document=document))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def refusal(project: Project, study: str = "one", **options: Any) -> str:
    with pytest.raises(UsageError) as refused:
        worker(study, storage=project.url, **options)
    text = str(refused.value)
    assert "\n" not in text
    return text


def test_a_worker_asks_for_the_search_that_tune_was_asked_for(project: Project) -> None:
    begun = project.begin("--rows", "32")
    record = project.record()
    command = study_record.command_of("one", record, (), None)
    again = checked(command, study_record.asked_of(record), verify=True, storage=project.url, study="one")
    assert again == begun


def test_the_same_study_is_joined_and_another_refused(project: Project) -> None:
    project.begin("--rows", "32")
    project.begin("--rows", "32")
    with pytest.raises(UsageError, match=r"the study one has other args: --rows 32 there, --rows 64 here; choose"):
        project.begin("--rows", "64")
    with pytest.raises(UsageError, match=r"other options: knobs=\['num_workers'\] there, knobs=None here"):
        project.begin("--rows", "32", knobs=None)


def test_the_path_of_a_script_is_that_from_the_projects_folder(project: Project) -> None:
    project.begin(script=str(project.folder / "train.py"))
    assert project.record().script == "train.py"


def test_a_script_outside_of_the_projects_folder_has_no_study(project: Project, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "sub")
        with pytest.raises(UsageError, match=r"\.\./train\.py is not in .*sub: begin a study in the project's folder"):
            project.begin(script="../train.py")


@pytest.mark.parametrize("script", ["/etc/hostname", "../outside.py", "sub/../../outside.py"])
def test_a_database_cannot_lead_a_worker_out_of_its_folder(project: Project, script: str) -> None:
    project.begin()
    (project.folder.parent / "outside.py").write_text("")
    project.replace(script=script)
    assert f"is about {script}, which is not in {project.folder}" in refusal(project)


@pytest.mark.parametrize("options", [{}, {"budget": "1m"}, {"mapped": 3}])
def test_options_that_tune_did_not_write_are_refused(project: Project, options: dict[str, Any]) -> None:
    project.begin()
    whole = options if "mapped" not in options else dict(project.record().options) | options
    project.replace(options=whole)
    assert refusal(project) == "the study's options are none of advisor's: begin another study"


def test_secrets_are_not_stored_and_must_be_given_to_the_worker(project: Project) -> None:
    project.begin("--api-key", "Hunter2-xyz", "--rows", "32")
    assert b"Hunter2" not in (project.folder / "study.db").read_bytes()
    record = project.record()
    assert record.args == ("--api-key", "***", "--rows", "32")
    assert refusal(project) == (
        "the arguments of the study one hold secrets, which it does not store: give all of them, as in "
        "advisor worker --study one -- --api-key *** --rows 32"
    )
    other = refusal(project, args=["--api-key", "Hunter3-abc", "--rows", "64"])
    assert other == ("the study one has other arguments than --api-key *** --rows 64: expected --api-key *** --rows 32")
    given = ("--api-key", "Hunter3-abc", "--rows", "32")
    assert study_record.command_of("one", record, given, None).args == given


def test_another_project_is_refused(project: Project) -> None:
    project.begin()
    (project.folder / "helper.py").write_text("rows = 64\n")
    assert refusal(project) == (
        "the study one was begun with another project: train.py, or a module that it imports, differs here; use the "
        "same commit, or begin another study"
    )
    (project.folder / "train.py").unlink()
    assert "is about train.py, which is not in " in refusal(project)


def test_another_version_of_advisor_is_refused(project: Project) -> None:
    project.begin()
    project.replace(advisor="0.1.0")
    assert refusal(project) == (
        f"the study one was begun by advisor 0.1.0, and this is {__version__}: install the same version, or begin "
        "another study"
    )


def test_a_document_that_is_none_is_refused(project: Project) -> None:
    project.begin()
    project.replace(script=None)
    assert "written by another version of advisor" in refusal(project)


def test_an_unknown_study_names_those_that_are_there(project: Project) -> None:
    assert f"no study 'two' in {project.url}, which holds none: begin it with advisor tune" in refusal(project, "two")
    project.begin()
    assert refusal(project, "two") == f"no study 'two' in {project.url}: expected one of one"


def test_a_worker_waits_for_its_study(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _s: project.begin())
    assert study_record.waited_for(project.url, "one", 60.0, SILENT).script == "train.py"


def test_a_storage_that_does_not_answer_is_one_line_without_its_password(project: Project) -> None:
    project.url = "sqlite:////nowhere/at/all.db"
    assert refusal(project).startswith("cannot open storage='sqlite:////nowhere/at/all.db': OperationalError: unable")


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_one_line_without_its_password(project: Project, postgres_server: Any) -> None:
    project.url = postgres_server.url.replace(str(postgres_server.port), "1")
    text = refusal(project)
    assert "://***@127.0.0.1:1/postgres': " in text
    assert "refused" in text
    assert "secret" not in text


@pytest.mark.parametrize("name", ["", " ", "x" * 129, "a\nb"])
def test_a_name_that_a_study_cannot_have_is_refused(project: Project, name: str) -> None:
    asked = project.asked()
    with pytest.raises(UsageError, match="expected 1 to 128 printable characters"):
        checked(build("train.py"), asked, verify=True, storage=project.url, study=name)


def test_a_study_needs_a_storage(project: Project) -> None:
    with pytest.raises(UsageError, match="study='one' needs storage=: the database that holds it"):
        checked(build("train.py"), project.asked(), verify=True, study="one")


@pytest.mark.parametrize("stored", ["x", "{}", '{"kind": "advisor profile", "version": 1, "sha256": "0"}\n{}\n'])
def test_a_profile_that_is_none_is_not_begun_with(project: Project, stored: str) -> None:
    request = project.begin()
    machine = studies.machine_key(machines.probe(folder=project.folder), torch_version(request.command.interpreter))
    name = search_name("one", request.search.goal, studies.identity_of(request.command), machine)
    with study_record.connected(project.url) as engine:
        studies.add_search(engine, name, "one", machine, stored)
    assert begun(request) == ("", None)


def test_the_profile_of_a_search_is_begun_with(project: Project) -> None:
    request, profile = project.begin(objective="throughput", tolerance=None), sample.input_bound()
    machine = studies.machine_key(machines.probe(folder=project.folder), torch_version(request.command.interpreter))
    name = search_name("one", request.search.goal, studies.identity_of(request.command), machine)
    with study_record.connected(project.url) as engine:
        studies.add_search(engine, name, "one", machine, run_store.encoded_profile(profile).decode())
    over, found = begun(request)
    assert found is not None
    assert (over, found.steps, found.findings) == ("", profile.steps, profile.findings)
