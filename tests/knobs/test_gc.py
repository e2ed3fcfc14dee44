"""gc: what lives is frozen, what comes due is collected between two updates, and all of it is taken back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from live import says
from real_training import alone, beside_the_settings, trained

from advisor import knobs
from advisor.rules._examples import healthy_cpu

KNOB = knobs.get("gc")
WATCH = """
import gc, weakref
from advisor.agent.settings import garbage_collection
gc.unfreeze()  # the server that this process was forked from has frozen its own
gc.set_threshold(700, 10, 10)  # the tests' interpreters collect less often
begun = []
def note(phase, info):
    if phase == 'start':
        begun.append((info['generation'], clock.phase, clock.paused))
class Cycle:
    def __init__(self):
        self.itself = self
"""


def test_it_is_open_everywhere_and_changes_nothing_of_the_training() -> None:
    evidence = healthy_cpu()
    assert KNOB.values(evidence.hardware, evidence.workload).values == ("freeze", "between_updates")
    assert KNOB.effect(evidence.hardware, evidence.workload) == "exact"


def test_only_collecting_between_updates_needs_a_hook_in_a_real_training() -> None:
    assert KNOB.hooks_for("freeze") == ()
    assert KNOB.hooks_for("between_updates") == ("steps",)


@pytest.mark.slow
@pytest.mark.parametrize("value", ["freeze", "between_updates"])
def test_objects_are_frozen_while_it_stands_and_losses_are_the_same(tmp_path: Path, value: str) -> None:
    code = f"""
    hook()
    thresholds = gc.get_threshold()
    wanted = train()
    seen = {{}}
    def look(number):
        seen[number] = (gc.get_freeze_count() > 1000, gc.get_threshold() == thresholds)
    switched = train({{3: {{"gc": {value!r}}}, 9: {{}}}}, look=look)
    print(switched.same(wanted), seen[2], seen[5], seen[9], gc.get_freeze_count())
    """
    thresholds_stay = value == "freeze"
    assert says(tmp_path, WATCH, code) == f"True (False, True) (True, {thresholds_stay}) (False, True) 0"


@pytest.mark.slow
def test_collections_come_between_two_updates_and_free_what_was_thrown_away(tmp_path: Path) -> None:
    code = """
    hook()
    thrown_away = []
    class Littering(Net):
        def forward(self, images):
            here = [Cycle() for _ in range(2000)]
            thrown_away.append(weakref.ref(here[0]))
            return super().forward(images)
    gc.callbacks.append(note)
    train(make_model=Littering)
    within = {(phase, paused) for _, phase, paused in begun}
    alive = []
    def look(number):
        if number == 4:
            begun.clear()
        alive.append(sum(one() is not None for one in thrown_away[:-1]))
    train({3: {"gc": "between_updates"}}, make_model=Littering, look=look)
    during = [one for one in begun if one[0] < 2]
    print(within != {(5, False)}, {(phase, paused) for _, phase, paused in during}, len(during) > 15, max(alive[5:]))
    """
    assert says(tmp_path, WATCH, code) == "True {(5, False)} True 0"


@pytest.mark.slow
def test_every_generation_is_collected_from_time_to_time(tmp_path: Path) -> None:
    code = """
    hook()
    garbage_collection.FULL_EVERY = 5
    gc.callbacks.append(note)
    def look(number):
        if number == 3:
            begun.clear()
    train({2: {"gc": "between_updates"}}, look=look)
    print([generation for generation, _, paused in begun if generation == 2 and not paused])
    """
    assert says(tmp_path, WATCH, code) == "[2, 2, 2, 2]"


@pytest.mark.slow
def test_what_the_script_has_frozen_stays_frozen(tmp_path: Path) -> None:
    code = """
    gc.freeze()
    count = gc.get_freeze_count()
    try:
        controls.set_config({"gc": "freeze"})
    except Refused as refused:
        print(refused, gc.get_freeze_count() == count)
    """
    assert says(tmp_path, WATCH, code) == "the script has frozen its objects itself (gc.freeze) True"


@pytest.mark.slow
@pytest.mark.parametrize("off", ["gc.disable()", "gc.set_threshold(0)"])
def test_a_script_that_collects_by_itself_goes_on_doing_so(tmp_path: Path, off: str) -> None:
    code = f"""
    {off}
    before = gc.isenabled(), gc.get_threshold()
    try:
        controls.set_config({{"gc": "between_updates"}})
    except Refused as refused:
        print(refused)
    controls.set_config({{"gc": "freeze"}})
    print(gc.get_freeze_count() > 0, (gc.isenabled(), gc.get_threshold()) == before)
    """
    assert says(tmp_path, WATCH, code).splitlines() == [
        "the script has switched the automatic collection off itself",
        "True True",
    ]


@pytest.mark.slow
def test_thresholds_that_the_script_sets_meanwhile_are_its_own(tmp_path: Path) -> None:
    code = """
    controls.set_config({"gc": "between_updates"})
    gc.set_threshold(1234, 5, 6)
    controls.set_config({})
    print(gc.get_threshold(), gc.get_freeze_count())
    """
    assert says(tmp_path, WATCH, code) == "(1234, 5, 6) 0"


@pytest.mark.slow
@pytest.mark.parametrize("value", ["freeze", "between_updates"])
def test_a_real_training_saves_the_same_bytes(tmp_path: Path, value: str) -> None:
    saved, whole, said = trained(tmp_path, f"{{gc: {value}}}")
    wanted, whole_alone = alone()
    assert (whole, said) == (whole_alone, "")
    assert all((saved["model"][name] == tensor).all() for name, tensor in wanted["model"].items())


@pytest.mark.slow
def test_a_real_training_keeps_collecting_after_its_first_updates(tmp_path: Path) -> None:
    """Its hooks are removed where no setting needs them; this one needs the ends of updates."""
    (tmp_path / "advisor.yaml").write_text("version: 1\nsettings: {gc: between_updates}\n")
    (tmp_path / "train.py").write_text(
        "import gc, torch\n"
        "gc.set_threshold(700, 10, 10)\n"
        "model = torch.nn.Linear(4, 4)\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "collected = []\n"
        "gc.callbacks.append(lambda phase, info: collected.append(number) if phase == 'stop' else None)\n"
        "for number in range(40):\n"
        "    for _ in range(2000):\n"
        "        itself = []\n"
        "        itself.append(itself)\n"
        "    model(torch.ones(2, 4)).sum().backward()\n"
        "    optimizer.step()\n"
        "print(gc.get_freeze_count() > 1000, gc.get_threshold()[0], set(range(20, 40)) <= set(collected),\n"
        "      len([one for one in collected if one >= 20]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "advisor", "run", "--config", "advisor.yaml", "train.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, beside_the_settings(done.stderr)) == ("True 100000 True 20\n", "")
