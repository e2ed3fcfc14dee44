"""Settings of stored searches, written to files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from report import sample, sample_tuning

import advisor
from advisor.errors import UsageError
from advisor.settings_file.loaded import read_document
from advisor.storage import run_store
from advisor.types import TuneResult


def stored(root: Path, result: TuneResult | None = None) -> str:
    run = run_store.new_run(root, "train.py")
    run_store.save_tune(result or sample_tuning.faster(), run)
    return run.run_id


@pytest.mark.parametrize("name", ["latest", "id", "folder"])
def test_a_stored_search_is_written_as_advisor_yaml(tmp_path: Path, name: str) -> None:
    run_id = stored(tmp_path / "runs")
    named = {"latest": "latest", "id": run_id, "folder": tmp_path / "runs" / run_id}[name]
    (path,) = advisor.export(named, folder=tmp_path / "new", runs=tmp_path / "runs")
    assert path == tmp_path / "new" / "advisor.yaml"
    assert read_document(path).config == sample_tuning.faster().recommendation.config
    assert f"found by advisor {sample_tuning.faster().profile.advisor}" in path.read_text()


def test_the_latest_is_a_search(tmp_path: Path) -> None:
    stored(tmp_path)
    run_store.save_profile(sample.healthy(), run_store.new_run(tmp_path, "train.py"))
    assert advisor.export("latest", "torchrun", folder=tmp_path, runs=tmp_path) == [tmp_path / "torchrun.sh"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    run_id = stored(tmp_path)
    advisor.export(run_id, folder=tmp_path, runs=tmp_path)
    with pytest.raises(UsageError, match="already exists"):
        advisor.export(run_id, folder=tmp_path, runs=tmp_path)
    advisor.export(run_id, folder=tmp_path, runs=tmp_path, overwrite=True)


def test_a_run_without_settings_is_told(tmp_path: Path) -> None:
    profile = run_store.new_run(tmp_path, "train.py")
    run_store.save_profile(sample.healthy(), profile)
    with pytest.raises(UsageError, match="is a profile, which has no settings: find some with advisor tune"):
        advisor.export(profile.path, runs=tmp_path)
    with pytest.raises(UsageError, match="no stored search in"):
        advisor.export("latest", runs=tmp_path)
    with pytest.raises(UsageError, match="has no settings: "):
        advisor.export(stored(tmp_path, replace(sample_tuning.crashed(), run_folder="")), runs=tmp_path)


def test_a_file_needs_a_target(tmp_path: Path) -> None:
    (tmp_path / "advisor.yaml").write_text("version: 1\nsettings: {threads: 2}\n")
    with pytest.raises(UsageError, match="no target is named: expected one or more"):
        advisor.export(tmp_path / "advisor.yaml")
