"""What `advisor tune` does to scripts whose loop lies in a library: live windows under the settings, and back."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from wild.probing import Probed, probe

from advisor import wire

SCRIPTS = Path(__file__).parent / "scripts"
pytestmark = pytest.mark.frameworks
PACKAGES = {"hf_trainer": "transformers", "accelerated": "accelerate", "lit": "lightning", "fabricated": "lightning"}
SAMPLES = {"hf_trainer": 8, "accelerated": 18, "lit": 16, "fabricated": 8}
"""Of an update as written."""
SETTINGS: dict[str, Any] = {"num_workers": 2, "precision": "bf16", "threads": 1}


def window(name: str, **config: Any) -> wire.Window:
    return wire.Window(
        id=name, config=config, natural=False, warm_up_updates=2, min_updates=4, max_updates=4, max_s=20.0
    )


def windows(name: str) -> list[wire.Window]:
    single = [window(knob, **{knob: value}) for knob, value in SETTINGS.items()]
    larger = window("global_batch", global_batch=2 * SAMPLES[name])
    return [window("as written"), *single, larger, window("as written again")]


@pytest.fixture(scope="module")
def probes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("knobs")
    selected = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    with ThreadPoolExecutor(2) as pool:
        yield {
            name: pool.submit(_probe, name, folder / name)
            for name, package in PACKAGES.items()
            if name in selected and importlib.util.find_spec(package) is not None
        }
        pool.shutdown(cancel_futures=True)


def _probe(name: str, folder: Path) -> Probed:
    folder.mkdir()
    return probe([f"{name}.py"], cwd=SCRIPTS, folder=folder, wanted=windows(name))


def done(probes: dict[str, Future[Probed]], name: str, window: str) -> wire.WindowDone:
    if name not in probes:
        pytest.skip(f"{PACKAGES[name]} is not installed")
    outcome = probes[name].result().window(window)
    assert isinstance(outcome, wire.WindowDone), outcome
    return outcome


@pytest.mark.parametrize("knob", SETTINGS)
@pytest.mark.parametrize("name", PACKAGES)
def test_a_setting_is_taken_and_its_updates_are_those_of_the_script(
    probes: dict[str, Future[Probed]], name: str, knob: str
) -> None:
    assert done(probes, name, knob).samples == [SAMPLES[name]] * 4


@pytest.mark.parametrize("name", PACKAGES)
def test_a_global_batch_is_what_an_update_takes(probes: dict[str, Future[Probed]], name: str) -> None:
    assert done(probes, name, "global_batch").samples == [2 * SAMPLES[name]] * 4


@pytest.mark.parametrize("name", PACKAGES)
def test_afterwards_it_is_as_written(probes: dict[str, Future[Probed]], name: str) -> None:
    assert done(probes, name, "as written again").samples == [SAMPLES[name]] * 4
    assert probes[name].result().agent_errors == []


HF_ARGUMENTS = """
import json, sys
from dataclasses import dataclass
from advisor.agent.observe.arguments import ArgumentWatch
watch = ArgumentWatch()
watch.install()
from transformers import HfArgumentParser, TrainingArguments
@dataclass
class Own:
    seed_words: str = "secret"
    bs: int = 12
sys.argv[1:] = ["--output_dir", "out", "--use_cpu", "--per_device_train_batch_size", "6", "--report_to", "none"]
arguments, own = HfArgumentParser((TrainingArguments, Own)).parse_args_into_dataclasses()
told = {entry["name"]: entry["value"] for entry in watch.describe()}
print(told["per_device_train_batch_size"], told["gradient_accumulation_steps"], told["bs"], "seed_words" in told)
"""


def test_options_of_transformers_parser_are_seen(tmp_path: Path) -> None:
    if importlib.util.find_spec("transformers") is None:
        pytest.skip("transformers is not installed")
    done = subprocess.run(
        [sys.executable, "-c", HF_ARGUMENTS], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["6 1 12 False"], done.stderr
