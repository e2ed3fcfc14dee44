"""Searches stored and read back: whole, or refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import random
import re
from pathlib import Path
from typing import Any

import pytest
from report import sample, sample_tuning

from advisor import api
from advisor.errors import StorageError
from advisor.search import trial_log
from advisor.storage import documents, run_store
from advisor.types import TuneResult


def saved(root: Path, result: TuneResult | None = None) -> run_store.RunFolder:
    run = run_store.new_run(root, "train.py")
    run_store.save_tune(result or sample_tuning.faster(), run)
    return run


def forged(path: Path, document: object, *, version: int = run_store.FORMAT, kind: str = "advisor search") -> None:
    """A document with a right checksum: what somebody hostile, or a later version, would write."""
    body = json.dumps(document).encode()
    digest = hashlib.sha256(b"%d\n" % version + body).hexdigest()
    path.write_bytes(json.dumps({"kind": kind, "version": version, "sha256": digest}).encode() + b"\n" + body + b"\n")


def plain_document(tmp_path: Path) -> dict[str, Any]:
    document = json.loads(saved(tmp_path / "plain").tune_path.read_bytes().split(b"\n")[1])
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("shape", sample_tuning.ALL)
def test_what_is_loaded_is_what_was_saved(tmp_path: Path, shape: str) -> None:
    result = sample_tuning.ALL[shape]()
    run = saved(tmp_path, result)
    profile = dataclasses.replace(result.profile, run_folder=str(run.path))
    assert run_store.load_tune(run.path) == dataclasses.replace(result, profile=profile, run_folder=str(run.path))


def test_settings_keep_their_types(tmp_path: Path) -> None:
    """1, 1.0 and true are equal to Python and not to a knob."""
    base = sample_tuning.faster()
    config = dataclasses.replace(base.recommendation.config, settings=(("a", True), ("b", 1), ("c", 1.0), ("d", None)))
    found = dataclasses.replace(base.recommendation, config=config)
    back = run_store.load_tune(saved(tmp_path, dataclasses.replace(base, recommendation=found)).path)
    assert [type(value) for _, value in back.recommendation.config.settings] == [bool, int, float, type(None)]


def test_numbers_that_json_has_no_word_for_survive(tmp_path: Path) -> None:
    base = sample_tuning.faster()
    verdict = dataclasses.replace(base.recommendation.verdict, speedup=math.inf, low=math.nan)
    found = dataclasses.replace(base.recommendation, verdict=verdict)
    back = run_store.load_tune(
        saved(tmp_path, dataclasses.replace(base, recommendation=found)).path
    ).recommendation.verdict
    assert (back.speedup, math.isnan(back.low)) == (math.inf, True)


def test_a_search_of_an_older_advisor_is_read(tmp_path: Path) -> None:
    """What was added since has a default."""
    document = plain_document(tmp_path)
    for name in ("objective", "importances", "space", "between_windows_s"):
        document.pop(name)
    for trial in document["trials"]:
        for name in ("score", "set_up_s", "joules_per_sample"):
            trial.pop(name, None)
            trial["outcome"].pop(name, None)
    forged(tmp_path / "tune.json", document)
    assert run_store.load_tune(tmp_path).objective.name == "throughput"


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    forged(tmp_path / "tune.json", {}, version=99)
    with pytest.raises(StorageError, match=r"format 99.*upgrade advisor, or tune again"):
        run_store.load_tune(tmp_path)


def test_a_profile_is_no_search(tmp_path: Path) -> None:
    forged(tmp_path / "tune.json", plain_document(tmp_path), kind="advisor profile")
    with pytest.raises(StorageError, match="not a stored search"):
        run_store.load_tune(tmp_path)


def test_a_search_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = saved(tmp_path).tune_path.read_bytes()
    copy = tmp_path / "cut.json"
    for length in [*range(0, 400, 11), *range(400, len(whole) - 1, 2048), len(whole) - 2]:
        copy.write_bytes(whole[:length])
        with pytest.raises(StorageError, match=re.escape(str(copy))):
            run_store.load_tune(copy)


def test_a_flipped_bit_is_never_taken_for_a_result(tmp_path: Path) -> None:
    run = saved(tmp_path)
    whole, expected = run.tune_path.read_bytes(), run_store.load_tune(run.path)
    random_numbers = random.Random(7)
    copy = run.path / "flipped.json"
    for _ in range(100):
        flipped = bytearray(whole)
        flipped[random_numbers.randrange(len(whole))] ^= 1 << random_numbers.randrange(8)
        copy.write_bytes(flipped)
        try:
            loaded = run_store.load_tune(copy)
        except StorageError:
            continue
        assert loaded == expected


@pytest.mark.parametrize("name", ["trials", "recommendation", "profile", "importances", "objective"])
@pytest.mark.parametrize("wrong", [7, "text", [[[]]]])
def test_a_field_of_the_wrong_type_is_named(tmp_path: Path, name: str, wrong: object) -> None:
    forged(tmp_path / "tune.json", plain_document(tmp_path) | {name: wrong})
    with pytest.raises(StorageError, match=rf"not a search \({name}"):
        run_store.load_tune(tmp_path)


def test_a_run_is_shown_as_what_it_is(tmp_path: Path) -> None:
    searched, profiled = saved(tmp_path), run_store.new_run(tmp_path, "train.py")
    for run in (searched, profiled):
        run_store.save_profile(sample_tuning.faster().profile, run)
    assert isinstance(api.load_run(searched.run_id, runs=tmp_path), TuneResult)
    assert not isinstance(api.load_run(profiled.run_id, runs=tmp_path), TuneResult)
    assert not isinstance(api.load_run(searched.profile_path), TuneResult)


def test_a_loaded_search_shows_itself_in_a_notebook_and_has_its_settings_ready(tmp_path: Path) -> None:
    run = saved(tmp_path)
    run_store.save_profile(sample_tuning.faster().profile, run)
    found = api.load_run(run.path)
    assert isinstance(found, TuneResult)
    assert "<h1>With num_workers=4" in found._repr_html_()
    assert found.config.settings == sample_tuning.WINNER


def test_renamed_fields_keep_the_keys_of_0_1(tmp_path: Path) -> None:
    document, profile = plain_document(tmp_path), documents.plain(sample.healthy())
    assert {"tier", "effect"} & set(document["trials"][0]) == {"tier"}
    assert {"tier", "effect"} & set(documents.plain(sample_tuning.dry_run().space[0])) == {"tier"}
    assert {"carried", "passed_as_arguments"} & set(document["recommendation"]) == {"carried"}
    assert {"as_written", "baseline"} & set(document["objective"]) == {"as_written"}
    assert {"lives", "script_runs"} & set(profile) == {"lives"}
    assert {"life", "script_run"} & set(profile["windows"][0]) == {"life"}


def test_a_log_of_trials_keeps_the_key_of_0_1(tmp_path: Path) -> None:
    trial = sample_tuning.faster().trials[1]
    trial_log.TrialLog(tmp_path).begin({})
    trial_log.TrialLog(tmp_path).add(trial)
    assert '"tier"' in (tmp_path / trial_log.TRIALS_FILE).read_text()
    assert trial_log.read(tmp_path).trials == (trial,)
