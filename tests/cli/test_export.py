"""`advisor export`, through real processes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import forked
import pytest
from report import sample_tuning

from advisor.storage import run_store
from advisor.workflows.export import export_to

LIMIT_S = 60


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "advisor.yaml"
    path.write_text("version: 1\nsettings: {num_workers: 2, precision: bf16}\nfound: {command: train.py}\n")
    return path


def export(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return forked.advisor(config.parent, "export", config, *words, limit_s=LIMIT_S)


def test_each_target_has_its_file(config: Path, tmp_path: Path) -> None:
    done = export(config, "--to", "accelerate,torchrun", "-o", "made/here")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "made/here").iterdir()) == ["accelerate.yaml", "torchrun.sh"]


@pytest.mark.slow
def test_without_a_folder_the_files_are_written_where_one_is(config: Path) -> None:
    export(config, "--to", "python")
    assert (config.parent / "fast_settings.py").is_file()


def test_what_is_not_expressed_is_shown_with_its_reason(config: Path) -> None:
    assert "    num_workers=2: torchrun has no key for it; DataLoader(" in export(config, "--to", "torchrun").stdout


def test_json_says_the_same(config: Path) -> None:
    content = json.loads(export(config, "--to", "deepspeed", "--json").stdout)
    (file,) = content["files"]
    assert (content["version"], file["target"], file["path"]) == (1, "deepspeed", "deepspeed.json")
    assert [item["what"] for item in file["not_expressed"]] == ["num_workers=2"]
    assert [item["what"] for item in file["to_fill"]] == ["train_micro_batch_size_per_gpu", "worker_init_fn"]


@pytest.mark.slow
def test_nothing_is_overwritten_unless_that_is_asked_for(config: Path) -> None:
    mine = config.parent / "deepspeed.json"
    mine.write_text("mine")
    refused = export(config, "--to", "accelerate,deepspeed")
    assert (refused.returncode, mine.read_text()) == (2, "mine")
    assert not (config.parent / "accelerate.yaml").exists()
    assert export(config, "--to", "accelerate,deepspeed", "-f").returncode == 0
    assert mine.read_text() != "mine"


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        ("keras", "expected one of accelerate, advisor, deepspeed"),
        (" , ", "--to names no target"),
        ("torchrun,keras", "'keras'"),
    ],
)
def test_a_wrong_target_is_one_line(config: Path, targets: str, told: str) -> None:
    done = export(config, "--to", targets)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(config.parent.iterdir()) == [config]


def test_a_folder_that_cannot_be_made_is_one_line(config: Path) -> None:
    done = export(config, "--to", "python", "-o", "advisor.yaml/below")
    assert done.returncode == 2
    assert "cannot create" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_settings_that_are_not_known_are_not_exported(config: Path) -> None:
    config.write_text("version: 1\nsettings: {warp_drive: 9}\n")
    done = export(config, "--to", "python")
    assert (done.returncode, "warp_drive" in done.stderr) == (2, True)


@pytest.mark.slow
def test_settings_from_elsewhere_are_told_on_stderr_once_when_they_are_run(config: Path) -> None:
    config.write_text("version: 1\nsettings: {num_workers: 2}\nfound: {hardware: {usable_cpus: 512}}\n")
    (config.parent / "train.py").write_text("print('trained')\n")
    done = forked.advisor(config.parent, "run", "--config", config, "train.py", limit_s=LIMIT_S)
    assert done.stdout == "trained\n"
    assert done.stderr.count("found with 512 CPUs") == 1
    assert done.stderr.startswith(f"advisor: {config}: found with 512 CPUs")


@pytest.mark.slow
@pytest.mark.parametrize(("emit", "told"), [("torchrun", "torchrun.sh already exists"), ("keras", "'keras'")])
def test_a_search_that_could_not_write_its_files_is_not_begun(tmp_path: Path, emit: str, told: str) -> None:
    (tmp_path / "torchrun.sh").write_text("mine")
    (tmp_path / "train.py").write_text("open('ran', 'w')\n")
    done = forked.advisor(tmp_path, "tune", "--isolation", "none", "--emit", emit, "train.py", limit_s=LIMIT_S)
    assert (done.returncode, told in done.stderr) == (2, True)
    assert not (tmp_path / "ran").exists()


def test_a_stored_search_is_written_without_a_target(tmp_path: Path) -> None:
    run = run_store.new_run(tmp_path / "runs", "train.py")
    run_store.save_tune(sample_tuning.faster(), run)
    done = forked.advisor(tmp_path, "export", "latest", "--runs", "runs", limit_s=LIMIT_S)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "advisor.yaml: advisor run --config advisor.yaml train.py --epochs 3\n"


def test_a_file_without_a_target_is_one_line(config: Path) -> None:
    done = export(config)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no target is named" in done.stderr


def test_a_file_that_holds_none_of_the_settings_says_so(config: Path) -> None:
    config.write_text("version: 1\nsettings: {num_workers: 2}\nfound: {command: train.py}\n")
    done = export(config, "--to", "deepspeed,lightning")
    assert "deepspeed.json: holds no setting: there is none, or the tool has no place for it" in done.stdout
    assert "    num_workers=2: deepspeed has no key for it; DataLoader(" in done.stdout
    assert "lightning.yaml: holds no setting" not in done.stdout


def test_settings_that_are_none_make_no_patch_that_could_be_applied(config: Path) -> None:
    config.write_text("version: 1\nsettings: {}\nfound: {command: train.py}\n")
    done = export(config, "--to", "patch,python,torchrun")
    assert "advisor.patch: holds no setting: there is none" in done.stdout
    assert "fast_settings.py: holds no setting: there is none" in done.stdout
    assert "patch -p1" not in done.stdout


def test_a_search_leaves_out_files_that_would_hold_none_of_its_settings(config: Path) -> None:
    config.write_text("version: 1\nsettings: {num_workers: 2}\nfound: {command: train.py}\n")
    written = export_to(str(config), ["deepspeed", "lightning"], config.parent, skip_empty=True)
    assert [file.name for _artifact, file in written] == ["lightning.yaml"]
    assert not (config.parent / "deepspeed.json").exists()
