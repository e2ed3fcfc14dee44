"""What labels.toml says of every awkward script, against what a probe of it says."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Probes
from .scripts import LABELS, SCRIPTS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forks")]

PROFILED = [name for name, label in LABELS.items() if "refused" not in label and label["updates"]]
REFUSED = [name for name, label in LABELS.items() if "refused" in label]
ONE_AFTER_THE_OTHER = ("optimizer_per_layer",)
"""Their label counts the updates of one of several optimizers, each of which is gone before the next is made."""
EXACT_SAMPLES = [
    name for name in PROFILED if "samples_per_update" in LABELS[name] and not LABELS[name].get("samples_uncertain")
]


def _within(value: float, wanted: Any) -> bool:
    low, high = wanted if isinstance(wanted, list) else (wanted, wanted)
    return bool(low <= value <= high)


def _measured(probes: Probes, name: str) -> Any:
    probed = probes.of(name)
    if probed.profile.steps is None and "or_refused" in LABELS[name]:
        pytest.skip(f"refused here, as its label allows: {probed.profile.failure}")
    assert probed.profile.steps is not None, (probed.profile.failure, probed.agent_errors)
    return probed


@pytest.mark.parametrize("name", list(LABELS))
def test_the_agent_stumbles_over_nothing(probes: Probes, name: str) -> None:
    assert probes.of(name).agent_errors == []


@pytest.mark.parametrize("name", list(LABELS))
def test_nothing_is_left_behind(probes: Probes, name: str) -> None:
    probed = probes.of(name)
    left = [process for script_run in probed.result.script_runs for process in script_run.left_processes]
    assert (left, probed.result.changed_files) == ([], ())
    assert not [path for path in LABELS[name].get("must_not_leave", ()) if (SCRIPTS / path).exists()]


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_for_its_reason(probes: Probes, name: str) -> None:
    label, profile = LABELS[name], probes.of(name).profile
    failure = profile.failure
    assert failure is not None
    # A worker that is killed shows as one of several exceptions, without advisor too; the notes tell it in any case.
    told = (failure.message, *failure.exceptions, *profile.notes)
    assert (failure.kind, any(label.get("message", "") in text for text in told)) == (label["refused"], True), failure


@pytest.mark.parametrize("name", [name for name, label in LABELS.items() if "or_refused" in label])
def test_fails_with_no_other_kind(probes: Probes, name: str) -> None:
    failure = probes.of(name).profile.failure
    assert failure is None or failure.kind == LABELS[name]["or_refused"]


@pytest.mark.parametrize("name", [name for name in PROFILED if "or_refused" not in LABELS[name]])
def test_has_no_failure(probes: Probes, name: str) -> None:
    assert probes.of(name).profile.failure is None


@pytest.mark.parametrize("name", PROFILED)
def test_micro_steps(probes: Probes, name: str) -> None:
    steps = _measured(probes, name).profile.steps
    assert _within(steps.micro_steps_per_update, LABELS[name]["micro_steps_per_update"])


@pytest.mark.parametrize("name", EXACT_SAMPLES)
def test_samples(probes: Probes, name: str) -> None:
    steps = _measured(probes, name).profile.steps
    assert steps.samples_per_update == LABELS[name]["samples_per_update"]


@pytest.mark.parametrize("name", PROFILED)
def test_phases_are_all_seen_and_add_up(probes: Probes, name: str) -> None:
    probed = _measured(probes, name)
    phases = probed.profile.phases
    seen = {"forward", "backward"} | ({"optimizer"} if LABELS[name].get("optimizers") else set())
    assert [phase for phase in sorted(seen) if phases[phase] <= 0] == []
    assert min(phases.values()) >= 0
    first = probed.first
    beside = [sum(values) for values in zip(*first.off_step_s.values(), strict=True)]
    inside = [sum(values) for values in zip(*first.phases_s.values(), strict=True)]
    assert [a + b for a, b in zip(inside, beside, strict=True)] == pytest.approx(first.wall_s, abs=2e-5, rel=0.02)


@pytest.mark.parametrize("name", [name for name in PROFILED if not LABELS[name].get("endless")])
def test_updates_of_a_script_that_runs_to_its_end(probes: Probes, name: str) -> None:
    probed = _measured(probes, name)
    (script_run,) = probed.result.script_runs
    if script_run.end != "finished":
        pytest.skip(f"still running after {script_run.updates} updates when the last window ended")
    discarded = 3 if LABELS[name].get("out_of_memory_caught") else 0
    first_few = 9 if not LABELS[name]["optimizers"] else 0  # backwards before it is known that there is no optimizer
    times = LABELS[name]["optimizers"] if name in ONE_AFTER_THE_OTHER else 1
    wanted = LABELS[name]["updates"]
    assert wanted - first_few <= script_run.updates <= wanted * times + discarded


@pytest.mark.parametrize("name", [name for name in PROFILED if name not in ONE_AFTER_THE_OTHER])
def test_optimizers(probes: Probes, name: str) -> None:
    workload = _measured(probes, name).workload
    assert workload is not None
    assert len(workload.optimizers) == LABELS[name]["optimizers"]
