"""Whatever a profile finds, it names lines of the user's: never ours, never torch's, never those of Python itself."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

import advisor
from advisor.types import Profile

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forks", "thin")]

HERE = Path(__file__).resolve().parent
PACKAGE = Path(advisor.__file__).resolve().parent
STANDARD_LIBRARY = Path(sysconfig.get_paths()["stdlib"]).resolve()
BUDGET_S = 2.0
SCRIPTS = ("char_lm_tokenise", "deepcopy_ema", "save_every_step", "validate_often")
"""Work of the loader, of the standard library inside the loop, of torch's serialisation, and of an evaluation."""


@pytest.fixture(scope="module")
def profiles(forks: None, thin: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Profile]:
    runs = tmp_path_factory.mktemp("runs")
    return {name: advisor.profile(HERE / f"{name}.py", runs=runs, budget=BUDGET_S) for name in SCRIPTS}


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_place_is_a_line_of_the_script_and_is_named_once(name: str, profiles: dict[str, Profile]) -> None:
    found = profiles[name]
    assert found.failure is None
    assert found.steps is not None
    places = [(finding.rule, place) for finding in found.findings for place in finding.where]
    assert [(rule, place) for rule, place in places if whose(place.file) != "user"] == []
    assert len({(rule, place.file, place.line, place.function) for rule, place in places}) == len(places)


def test_places_were_named_at_all(profiles: dict[str, Profile]) -> None:
    named = {name for name, found in profiles.items() if any(finding.where for finding in found.findings)}
    assert len(named) >= len(SCRIPTS) - 1


@pytest.mark.parametrize(
    ("file", "owner"),
    [
        (str(HERE / "deepcopy_ema.py"), "user"),
        (str(PACKAGE / "agent" / "runner.py"), "advisor"),
        (str(STANDARD_LIBRARY / "copy.py"), "python"),
        (str(Path(sysconfig.get_paths()["purelib"]) / "torch" / "serialization.py"), "torch"),
    ],
)
def test_owners_are_told_apart(file: str, owner: str) -> None:
    assert whose(file) == owner


def whose(file: str) -> str:
    """The owner of a file, found in another way than the agent finds it."""
    path = Path(file).resolve()
    if path.is_relative_to(PACKAGE):
        return "advisor"
    if path.is_relative_to(STANDARD_LIBRARY):
        return "torch" if "torch" in path.parts else "installed" if "site-packages" in path.parts else "python"
    return "torch" if "torch" in path.parts and "site-packages" in path.parts else "user"
