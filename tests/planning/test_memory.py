"""Memory of a plan against torch's own tracker, on trainings that advisor has profiled."""

from __future__ import annotations

from pathlib import Path

import forked
import pytest

import advisor
from advisor.types import Layout, PlannedLayout, Profile

from . import trainings

MOST_ERROR = 0.1
LIMIT_S = 240
TEXTS = {"blocks": trainings.BLOCKS, "autocast": trainings.AUTOCAST, "pictures": trainings.PICTURES}
Profiles = dict[str, tuple[Path, Profile]]

pytestmark = pytest.mark.slow(4)


@pytest.fixture(scope="module")
def profiles(forks: None, thin: None, tmp_path_factory: pytest.TempPathFactory) -> Profiles:
    found = {}
    for name, text in TEXTS.items():
        folder = tmp_path_factory.mktemp(name)
        (folder / "train.py").write_text(text + trainings.LOOP)
        (folder / "tracked.py").write_text(trainings.TRACKED)
        found[name] = folder, advisor.profile(folder / "train.py", budget=4, runs=folder / "runs")
    return found


@pytest.mark.parametrize(
    ("name", "recompute", "sharding", "devices"),
    [
        ("blocks", "none", "none", 1),
        ("blocks", "full", "none", 1),
        ("blocks", "none", "fsdp2", 2),
        ("blocks", "none", "fsdp2_kept", 2),
        ("blocks", "full", "fsdp2", 8),
        ("autocast", "none", "none", 1),
        ("autocast", "full", "none", 1),
        ("pictures", "none", "none", 1),
    ],
)
def test_the_peak_is_that_of_torchs_tracker(
    profiles: Profiles, name: str, recompute: str, sharding: str, devices: int
) -> None:
    folder, profile = profiles[name]
    found = planned(profile, recompute, sharding, devices)
    done = forked.run(folder, "tracked.py", recompute, sharding, str(devices), limit_s=LIMIT_S)
    assert done.code == 0, done.err
    assert found.memory.total_bytes == pytest.approx(float(done.out), rel=MOST_ERROR)


def planned(profile: Profile, recompute: str, sharding: str, devices: int) -> PlannedLayout:
    """The plan's layout with the script's own batch on each device."""
    found = advisor.plan(profile=profile, devices=f"here:{devices}", memory_gb=80)
    wanted = Layout(sharding=sharding, data=devices, recompute=recompute)  # type: ignore[arg-type]
    return next(
        one
        for one in found.layouts
        if one.layout.micro_steps == 1
        and (one.layout.sharding, one.layout.data, one.layout.recompute)
        == (wanted.sharding, wanted.data, wanted.recompute)
    )
