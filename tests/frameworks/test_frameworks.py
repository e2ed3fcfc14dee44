"""Scripts whose loop, or part of it, lies in a library profile as plain loops do."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from wild.probing import Probed, probe, windows

SCRIPTS = Path(__file__).parent / "scripts"
SAMPLER_HZ = 1000.0  # forty updates of a tiny model take 12 ms
pytestmark = pytest.mark.frameworks


@dataclass(frozen=True, kw_only=True)
class Wanted:
    package: str
    framework: str
    micro_steps: int
    samples: int
    beside: frozenset[str]
    """What stands beside its updates."""
    planned: int
    """Updates of the whole training."""


SCRIPT = {
    "hf_trainer": Wanted(
        package="transformers",
        framework="transformers",
        planned=60,
        micro_steps=2,
        samples=8,
        beside=frozenset({"evaluation", "checkpoint", "logging"}),
    ),
    "accelerated": Wanted(
        package="accelerate",
        framework="accelerate",
        planned=136,
        micro_steps=3,
        samples=18,
        beside=frozenset({"evaluation", "logging"}),
    ),
    "lit": Wanted(
        package="lightning",
        framework="lightning",
        planned=80,
        micro_steps=2,
        samples=16,
        beside=frozenset({"evaluation", "checkpoint"}),
    ),
    "fabricated": Wanted(
        package="lightning", framework="lightning", micro_steps=1, samples=8, beside=frozenset(), planned=160
    ),
}


@pytest.fixture(scope="module")
def probes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("frameworks")
    selected = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    first, *rest = windows()
    # Long enough for evaluation and checkpoints to come by; sampled, so that the user's lines are known.
    first = type(first)(
        **{**vars(first), "min_updates": 40, "max_updates": 40, "max_s": 20.0, "sampler_hz": SAMPLER_HZ}
    )
    with ThreadPoolExecutor(2) as pool:
        yield {
            name: pool.submit(_probe, name, folder / name, [first, *rest])
            for name in SCRIPT
            if name in selected and importlib.util.find_spec(SCRIPT[name].package) is not None
        }
        pool.shutdown(cancel_futures=True)


def _probe(name: str, folder: Path, wanted: list[Any]) -> Probed:
    folder.mkdir()
    return probe([f"{name}.py"], cwd=SCRIPTS, folder=folder, wanted=wanted)


def _of(probes: dict[str, Future[Probed]], name: str) -> Probed:
    if name not in probes:
        pytest.skip(f"{SCRIPT[name].package} is not installed: pip install 'advisor[frameworks]'")
    probed = probes[name].result()
    assert probed.profile.steps is not None, (probed.profile.failure, probed.agent_errors)
    return probed


@pytest.mark.parametrize("name", SCRIPT)
def test_nothing_fails(probes: dict[str, Any], name: str) -> None:
    probed = _of(probes, name)
    assert (probed.profile.failure, probed.agent_errors) == (None, [])


@pytest.mark.parametrize("name", SCRIPT)
def test_micro_steps(probes: dict[str, Any], name: str) -> None:
    assert set(_of(probes, name).first.micro_steps) == {SCRIPT[name].micro_steps}


@pytest.mark.parametrize("name", SCRIPT)
def test_samples_by_indices(probes: dict[str, Any], name: str) -> None:
    steps = _of(probes, name).profile.steps
    assert steps is not None
    assert (steps.samples_per_update, steps.samples_from) == (SCRIPT[name].samples, "indices")


@pytest.mark.parametrize("name", SCRIPT)
def test_phases_are_all_seen_and_add_up(probes: dict[str, Any], name: str) -> None:
    probed = _of(probes, name)
    phases, first = probed.profile.phases, probed.first
    assert [phase for phase in ("data_wait", "forward", "backward", "optimizer") if phases[phase] <= 0] == []
    whole = [sum(values) for values in zip(*first.phases_s.values(), *first.off_step_s.values(), strict=True)]
    assert whole == pytest.approx(first.wall_s, abs=2e-5, rel=0.02)


@pytest.mark.parametrize("name", SCRIPT)
def test_what_stands_beside_the_updates(probes: dict[str, Any], name: str) -> None:
    seen = {phase for phase, values in _of(probes, name).first.off_step_s.items() if sum(values) > 0}
    assert seen >= SCRIPT[name].beside


@pytest.mark.parametrize("name", SCRIPT)
def test_evaluation_is_in_few_updates(probes: dict[str, Any], name: str) -> None:
    first = _of(probes, name).first
    with_evaluation = sum(value > 0 for value in first.off_step_s["evaluation"])
    assert with_evaluation <= len(first.wall_s) / 4


@pytest.mark.parametrize("name", SCRIPT)
def test_framework_is_named(probes: dict[str, Any], name: str) -> None:
    workload = _of(probes, name).workload
    assert workload is not None
    assert workload.framework == SCRIPT[name].framework


@pytest.mark.parametrize("name", SCRIPT)
def test_one_trained_model_and_one_optimizer(probes: dict[str, Any], name: str) -> None:
    workload = _of(probes, name).workload
    assert workload is not None
    assert ([model.parameters > 0 for model in workload.models][:1], len(workload.optimizers)) == ([True], 1)


@pytest.mark.parametrize("name", SCRIPT)
def test_the_loop_is_found_in_the_users_own_file(probes: dict[str, Any], name: str) -> None:
    lines = _of(probes, name).profile.lines
    assert [line for line in lines if Path(line.file).name == f"{name}.py"]


@pytest.mark.parametrize("name", SCRIPT)
def test_the_length_of_the_training_is_read_from_its_loops(probes: dict[str, Any], name: str) -> None:
    workload = _of(probes, name).workload
    assert workload is not None
    assert workload.learning.planned_updates == SCRIPT[name].planned
