"""Runs that advisor 0.1 stored: what their texts told is read as values."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from report import sample, sample_tuning

from advisor.errors import StorageError
from advisor.storage import documents, run_store
from advisor.types import ScriptFacts
from advisor.wire import WindowRole

ROLES = {
    "as written": WindowRole.PROFILE,
    "as written again": WindowRole.PROFILE,
    "base 0": WindowRole.BASELINE,
    "base after epoch": WindowRole.BASELINE,
    "base trial 3 long": WindowRole.BASELINE,
    "base final 0 1": WindowRole.BASELINE,
    "bare 2": WindowRole.BARE,
    "no_optimizer 1": WindowRole.WHAT_IF,
    "loader_alone inside": WindowRole.OBSERVATION,
    "trace": WindowRole.OBSERVATION,
    "epoch end": WindowRole.OBSERVATION,
    "trial 3": WindowRole.TRIAL,
    "trial 3 long": WindowRole.TRIAL,
    "final 0 2": WindowRole.FINAL,
    "by knob all 0 after precision": WindowRole.ABLATION,
    "by knob without precision 0": WindowRole.LEFT_OUT,
}

OLD_FACTS = {
    "torch": "2.9.0",
    "closures": "yes",
    "compiled_code": "no",
    "triton": "no",
    "cxx": "",
    "micro_steps": "4",
    "loader_starts": "2",
    "dataset_draws": "yes",
    "dataset_generators": "Pictures.rng, train.noise",
    "repeated_blocks": "12 Block",
}


def window(name: str) -> dict[str, Any]:
    what_if = {"no_optimizer 1": "no_optimizer", "loader_alone inside": "loader_alone"}.get(name)
    present = documents.plain(sample.input_bound().windows[0])
    assert isinstance(present, dict)
    del present["role"]
    return {**present, "id": name, "what_if": what_if, "kind": "drain" if "inside" in name else "measure"}


def stored(path: Path, kind: str, document: dict[str, Any]) -> Path:
    body = json.dumps(document).encode()
    digest = hashlib.sha256(b"1\n" + body).hexdigest()
    path.write_bytes(json.dumps({"kind": kind, "version": 1, "sha256": digest}).encode() + b"\n" + body + b"\n")
    return path


def old_profile(facts: object = OLD_FACTS, **changes: Any) -> dict[str, Any]:
    document = documents.plain(sample.input_bound())
    assert isinstance(document, dict)
    workload = {**document["workload"], "facts": facts}
    return {**document, "workload": workload, "windows": [window(name) for name in ROLES], **changes}


def test_a_windows_role_is_read_from_its_name(tmp_path: Path) -> None:
    found = run_store.load_profile(stored(tmp_path / "profile.json", "advisor profile", old_profile()))
    assert {window.id: window.role for window in found.windows} == ROLES


def test_a_search_holds_such_a_profile(tmp_path: Path) -> None:
    document = documents.plain(sample_tuning.faster())
    file = stored(tmp_path / "tune.json", "advisor search", {**document, "profile": old_profile()})
    assert {window.id: window.role for window in run_store.load_tune(file).profile.windows} == ROLES


def test_facts_told_in_words_are_values(tmp_path: Path) -> None:
    found = run_store.load_profile(stored(tmp_path / "profile.json", "advisor profile", old_profile()))
    assert found.workload is not None
    assert found.workload.facts == ScriptFacts(
        packages={"torch": "2.9.0"},
        micro_steps=4,
        closures=True,
        triton=False,
        cxx=False,
        dataset_draws=True,
        dataset_generators=("Pictures.rng", "train.noise"),
        repeated_blocks="12 Block",
        loader_starts=2,
    )


def test_facts_that_were_not_told_are_not_known(tmp_path: Path) -> None:
    found = run_store.load_profile(stored(tmp_path / "profile.json", "advisor profile", old_profile({})))
    assert found.workload is not None
    assert found.workload.facts == ScriptFacts()


@pytest.mark.parametrize("facts", ["none", {"micro_steps": "many"}, {"repeated_blocks": 3}], ids=str)
def test_facts_that_are_none_are_refused(tmp_path: Path, facts: object) -> None:
    file = stored(tmp_path / "profile.json", "advisor profile", old_profile(facts))
    with pytest.raises(StorageError, match="facts"):
        run_store.load_profile(file)


@pytest.mark.parametrize("windows", [None, "many", [3]], ids=str)
def test_windows_that_are_none_are_refused(tmp_path: Path, windows: object) -> None:
    file = stored(tmp_path / "profile.json", "advisor profile", old_profile(windows=windows))
    with pytest.raises(StorageError, match="windows"):
        run_store.load_profile(file)
