"""Random `advisor.yaml`, stored runs and trial logs: they are read, or refused in one line, and nothing else happens.

Each test stops after `ADVISOR_FUZZ_S` seconds (5): all four together take twenty.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import strategies as st
from report import sample, sample_tuning

from advisor import knobs
from advisor.errors import AdvisorError, StorageError, UsageError
from advisor.report.profile.html import as_page
from advisor.report.profile.json import profile_json
from advisor.report.search.html import tune_page
from advisor.report.search.json import tune_json
from advisor.search import trial_log
from advisor.settings_file import advisor_yaml, exports, loaded
from advisor.storage import documents, record_file, run_store
from advisor.types import Profile, TuneResult
from advisor.verification import round_log
from advisor.workflows.shown import text_of

from .damage import SCALARS, VALUES, damaged_bytes, damaged_value, try_many

pytestmark = pytest.mark.slow(6)

KNOBS = st.dictionaries(
    st.sampled_from([knob.id for knob in knobs.all_knobs()]), st.one_of(SCALARS, VALUES), max_size=5
)
ENTRIES = st.fixed_dictionaries(
    {"version": st.one_of(st.just(1), SCALARS)},
    optional={
        "settings": st.one_of(KNOBS, VALUES),
        "arguments": st.one_of(st.dictionaries(st.sampled_from(["--lr", "--batch-size", "-b"]), SCALARS), VALUES),
        "constants": st.one_of(st.dictionaries(st.sampled_from(["LR", "Config.lr", "m.BATCH"]), VALUES), VALUES),
        "verdict": VALUES,
        "found": VALUES,
    },
)
TARGETS = [emitter.id for emitter in exports.all_emitters() if emitter.id != "patch"]
"""The patch reads the script itself."""
WHOLE_YAML = loaded.as_yaml(sample_tuning.faster())


def assert_refused_well(error: AdvisorError) -> None:
    said = str(error)
    assert said
    assert len(said) < 2000
    assert said.isprintable(), said


def use_settings(path: Path) -> None:
    """Read the file, and do with it what can be done with settings."""
    document = loaded.read_document(path)
    again = advisor_yaml.parse(advisor_yaml.plain_text(document), path)
    assert (again.config, again.arguments, again.constants) == (document.config, document.arguments, document.constants)
    exports.artifacts(document, TARGETS)
    config = loaded.LoadedConfig(settings=document.config.as_dict(), text=document.text)
    config.dataloader()
    loaded.no_longer_holds(document)


@st.composite
def yaml_files(draw: st.DrawFn) -> bytes:
    if draw(st.booleans()):
        return draw(damaged_bytes(WHOLE_YAML.encode()))
    text = yaml.safe_dump(draw(ENTRIES), allow_unicode=True).encode("utf-8", "surrogatepass")
    return text if draw(st.booleans()) else draw(damaged_bytes(text))


def test_settings_files() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "advisor.yaml"

        def example(data: bytes) -> None:
            path.write_bytes(data)
            try:
                use_settings(path)
            except UsageError as error:
                assert_refused_well(error)

        try_many(yaml_files(), example)


def show(found: Profile | TuneResult) -> None:
    """Show a stored result in every form."""
    assert text_of(found)
    if isinstance(found, Profile):
        pages, content = as_page(found), profile_json(found)
    else:
        pages, content = tune_page(found), tune_json(found)
        loaded.as_yaml(found)
    json.dumps(content, allow_nan=False)
    assert "<script" not in pages


def stored(kind: documents.Kind[Any], value: Any) -> st.SearchStrategy[bytes]:
    """Return files of this kind: damaged within, with a right checksum; and damaged bytes."""
    whole = documents.encoded(value, kind)
    content = json.loads(whole.split(b"\n")[1])

    def written(damaged: Any) -> bytes:
        body = json.dumps(damaged).encode()
        header = {"kind": kind.header, "version": kind.version, "sha256": documents._digest(kind.version, body)}
        return json.dumps(header).encode() + b"\n" + body + b"\n"

    # Long series would take all the damage.
    short = json.loads(json.dumps(content), object_hook=lambda entry: {name: _cut(one) for name, one in entry.items()})
    return st.one_of(damaged_value(short).map(written), damaged_bytes(whole))


def _cut(value: Any) -> Any:
    return value[:6] if isinstance(value, list) else value


@pytest.mark.parametrize("what", ["profile", "search"])
def test_stored_runs(what: str) -> None:
    kind: documents.Kind[Any] = run_store.PROFILE_KIND if what == "profile" else run_store.TUNE_KIND
    value = sample.input_bound(updates=12) if what == "profile" else sample_tuning.faster()
    load = run_store.load_profile if what == "profile" else run_store.load_tune
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stored.json"

        def example(data: bytes) -> None:
            path.write_bytes(data)
            try:
                found = load(path)
            except StorageError as error:
                assert_refused_well(error)
                return
            show(found)

        try_many(stored(kind, value), example)


TRIALS = [documents.plain(trial) for trial in sample_tuning.faster().trials]
REQUEST = {"asked": {"version": 1, "script": "train.py", "arguments": ["--lr", "1"], "knobs": None}}
ROUND = {
    "side": "before",
    "updates": 10,
    "seconds": 1.0,
    "samples": 80,
    "seed": 0,
    "of": "digest",
    "losses": [1.0, None],
}
RECORDS = st.one_of(
    st.sampled_from([REQUEST, ROUND, *TRIALS]).flatmap(damaged_value),
    st.sampled_from([REQUEST, ROUND, *TRIALS]),
)


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    lines = []
    for record in draw(st.lists(RECORDS, max_size=5)):
        body = json.dumps(record).encode()
        lines.append(b'{"check":"%s","record":%s}' % (record_file._check(body), body))
    whole = b"\n".join(lines) + b"\n"
    return whole if draw(st.booleans()) else draw(damaged_bytes(whole))


def test_logs_of_trials_and_rounds() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / round_log.VERIFY_FOLDER).mkdir()

        def example(data: bytes) -> None:
            (folder / trial_log.TRIALS_FILE).write_bytes(data)
            (folder / round_log.VERIFY_FOLDER / round_log.PROCESSES_FILE).write_bytes(data)
            round_log.earlier([folder], "digest", [])
            try:
                past = trial_log.read(folder)
                trial_log.check_alike(past, {"script": "train.py", "arguments": ["--lr", "1"], "knobs": None}, folder)
            except (StorageError, UsageError) as error:
                assert_refused_well(error)

        try_many(logs(), example)
