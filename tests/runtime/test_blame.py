"""Epochs are as long as the script made them, and what fails for a change of advisor's is not the script's failure."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from wild.probing import Probed, probe

from advisor import wire
from advisor.analysis.profile_plan import FIRST
from advisor.runtime.blame import CHECK

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forks")]

BATCHES = 12
TRAIN = f"""
    import sys, time
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(torch.randn({4 * BATCHES}, 4)), batch_size=4)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    seen, longest = 0, 0
    epochs = int(sys.argv[1])
    for epoch in range(epochs):
        for place, (batch,) in enumerate(loader):
            optimizer.zero_grad()
            model(batch).square().mean().backward()
            optimizer.step()
            seen += 1
            longest = max(longest, place + 1)
            AFTER
        with torch.no_grad():
            model.eval()
            model(batch)
            time.sleep(EVALUATION_S)
            model(batch)
            model.train()
    open(sys.argv[2], "a").write(f"{{seen}} {{longest}}\\n") if len(sys.argv) > 2 else None
"""
COUNTS_BATCHES = "1 / (len(loader) - place)"
"""As libraries do that tell how far an epoch has come: nothing is left to divide by past its end."""
KNOWS_BATCHES = f"1 / ({BATCHES} - place)"
"""The same with a constant: nobody sees that the script counts."""


def measure(name: str, count: int, **settings: object) -> wire.Window:
    return wire.Window(
        **{"id": name, "natural": False, "warm_up_updates": 0, "min_updates": count, "max_updates": count, **settings}
    )


def probed(
    folder: Path,
    after: str,
    *args: str,
    wanted: list[wire.Window],
    max_script_runs: int = 4,
    evaluation_s: float = 0.02,
) -> Probed:
    text = textwrap.dedent(TRAIN).replace("AFTER", after).replace("EVALUATION_S", str(evaluation_s))
    (folder / "train.py").write_text(text)
    return probe(["train.py"], args, cwd=folder, folder=folder, wanted=wanted, max_script_runs=max_script_runs)


def counted(found: Probed, name: str) -> int:
    done = found.window(name)
    assert isinstance(done, wire.WindowDone), done
    return len(done.wall_s)


def test_windows_go_on_through_the_scripts_own_next_epoch(tmp_path: Path) -> None:
    wanted = [measure(FIRST, 10), measure("base 0", 3 * BATCHES), measure("base 1", 3 * BATCHES)]
    found = probed(tmp_path, COUNTS_BATCHES, "100", wanted=wanted)
    assert [script_run.end for script_run in found.result.script_runs] == ["plan done"]
    assert [counted(found, window.id) for window in wanted] == [10, 3 * BATCHES, 3 * BATCHES]
    assert found.profile.failure is None


def test_an_evaluation_takes_no_time_from_the_window_around_it(tmp_path: Path) -> None:
    """Ten of them last 1 s, which is all that the window has."""
    wanted = [measure(FIRST, 10), measure("base 0", 10 * BATCHES, least_updates=1, max_s=0.9)]
    found = probed(tmp_path, "pass", "100", wanted=wanted, evaluation_s=0.1)
    assert counted(found, "base 0") == 10 * BATCHES


@pytest.mark.parametrize("what_if", ["no_data_wait", "no_optimizer"])
def test_no_what_if_makes_an_epoch_longer(tmp_path: Path, what_if: str) -> None:
    wanted = [
        measure(FIRST, 10),
        measure(what_if, 4 * BATCHES, what_if=what_if),
        measure("base 0", 4 * BATCHES),
    ]
    found = probed(tmp_path, COUNTS_BATCHES, "100", wanted=wanted)
    assert [counted(found, window.id) for window in wanted] == [10, 4 * BATCHES, 4 * BATCHES]
    assert (found.profile.failure, found.result.ours) == (None, {})


def test_a_script_that_ends_too_soon_is_prolonged_from_its_second_start_on(tmp_path: Path) -> None:
    wanted = [measure(FIRST, 10), measure("base 0", 10), measure("base 1", 20 * BATCHES)]
    found = probed(tmp_path, "pass", "1", wanted=wanted)
    assert [script_run.end for script_run in found.result.script_runs] == ["finished", "plan done"]
    assert counted(found, "base 1") == 20 * BATCHES


def test_a_script_that_bears_no_longer_epoch_is_run_again_without_and_is_not_blamed(tmp_path: Path) -> None:
    wanted = [measure(FIRST, 10), *(measure(f"base {number}", 2 * BATCHES) for number in range(3))]
    found = probed(tmp_path, KNOWS_BATCHES, "2", wanted=wanted)
    assert [script_run.end for script_run in found.result.script_runs] == ["finished", "crash", "finished"]
    assert counted(found, "base 2") == 2 * BATCHES - 1  # the whole of a start with epochs as they are, after its first
    assert found.profile.failure is None
    (told,) = found.result.ours.values()
    assert "ZeroDivisionError" in told
    assert f"an epoch continued past its {BATCHES} batches, as requested by advisor" in told
    assert told in found.profile.notes


@pytest.mark.parametrize("what_if", [None, "no_data_wait"])
def test_a_script_that_asks_for_its_number_of_batches_loses_no_start(tmp_path: Path, what_if: str | None) -> None:
    wanted = [measure(FIRST, 10), measure("base 0", 2 * BATCHES), measure("base 1", 2 * BATCHES, what_if=what_if)]
    found = probed(tmp_path, COUNTS_BATCHES, "2", wanted=wanted)
    assert {script_run.end for script_run in found.result.script_runs} == {"finished"}
    assert counted(found, "base 1") > BATCHES
    assert (found.profile.failure, found.result.ours) == (None, {})


def test_a_failure_of_the_scripts_own_is_its_own_although_something_was_changed_before(tmp_path: Path) -> None:
    wanted = [
        measure(FIRST, 10),
        measure("no_optimizer", 10, what_if="no_optimizer"),
        measure("base 0", 1000),
    ]
    found = probed(tmp_path, "if seen == 60: 1 / 0", "100", wanted=wanted)
    assert [script_run.end for script_run in found.result.script_runs] == ["crash", "crash"]
    assert found.result.ours == {}
    assert found.profile.failure is not None
    assert "ZeroDivisionError" in found.profile.failure.message


def test_a_failure_after_a_change_is_not_the_scripts_where_it_runs_on_without(tmp_path: Path) -> None:
    """Weights that stand still are noticed thirty updates later."""
    notices = (
        "kept = [*(kept if seen > 1 else []), model.weight.sum().item()]; "
        "len(kept) > 30 and kept[-30] == kept[-29] and 1 / 0"
    )
    wanted = [
        measure(FIRST, 10),
        measure("no_optimizer", 10, what_if="no_optimizer"),
        measure("base 0", 200),
        measure("base 1", 20),
    ]
    found = probed(tmp_path, notices, "100", wanted=wanted)
    assert [script_run.end for script_run in found.result.script_runs] == ["crash", "plan done"]
    assert isinstance(found.window(CHECK), wire.WindowDone)
    assert found.profile.failure is None
    (told,) = found.result.ours.values()
    assert "after a change by advisor; unmodified it continued" in told


def test_a_failure_after_a_change_is_not_said_to_be_the_scripts_where_it_was_not_run_again(tmp_path: Path) -> None:
    wanted = [
        measure(FIRST, 10),
        measure("no_optimizer", 10, what_if="no_optimizer"),
        measure("base 0", 1000),
    ]
    found = probed(tmp_path, "if seen == 60: 1 / 0", "100", wanted=wanted, max_script_runs=1)
    assert [script_run.end for script_run in found.result.script_runs] == ["crash"]
    assert found.profile.failure is None
    (told,) = [note for note in found.profile.notes if "ZeroDivisionError" in note]
    assert "after advisor had tried settings" in told


def test_pictures_kept_from_a_window_in_bf16_are_taken_by_a_network_in_fp32(tmp_path: Path) -> None:
    """A GAN's pool, a replay memory, a list of features: what the script keeps outlives the setting."""
    keeps = "pool = [*(pool if seen > 1 else []), model(batch).detach().repeat(1, 4)]; model(pool[-20:][0])"
    wanted = [measure(FIRST, 10), measure("bf16", 10, config={"precision": "bf16"}), measure("base 0", 60)]
    found = probed(tmp_path, keeps, "100", wanted=wanted)
    assert (counted(found, "bf16"), counted(found, "base 0")) == (10, 60)
    assert [script_run.end for script_run in found.result.script_runs] == ["plan done"]


def test_what_breaks_in_a_changed_window_costs_that_window(tmp_path: Path) -> None:
    wanted = [
        measure(FIRST, 10),
        measure("no_optimizer", 10, what_if="no_optimizer"),
        measure("base 0", 20),
    ]
    found = probed(tmp_path, "optimizer.__dict__.get('step') and 1 / 0", "100", wanted=wanted)
    assert found.profile.failure is None
    refused = found.window("no_optimizer")
    assert isinstance(refused, wire.WindowRefused)
    (told,) = found.result.ours.values()
    assert told.endswith("in the what-if no_optimizer")
