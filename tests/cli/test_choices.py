"""Options with a few fixed values offer what the library takes."""

from __future__ import annotations

from typing import get_args

import pytest
from typer.testing import CliRunner

from advisor.cli._choices import IsolationName, ObjectiveName, Preset
from advisor.cli.main import app
from advisor.runtime import isolation
from advisor.search import goals, preset
from advisor.storage.data_files import profiles_folder


def test_every_preset_isolation_and_objective_is_offered() -> None:
    assert set(Preset) == {path.stem for path in (profiles_folder() / "search").glob("*.toml")}
    assert tuple(IsolationName) == isolation.NAMES
    assert tuple(ObjectiveName) == (*get_args(goals.Name), *goals.BY_LOSS)


def test_a_choice_is_the_name_that_the_library_takes() -> None:
    assert preset.read(Preset.THOROUGH) == preset.read("thorough")
    assert goals.Goal.of(ObjectiveName.MEMORY).name == "memory"


@pytest.mark.parametrize("option", ["--preset", "--isolation", "--objective", "--allow"])
def test_another_value_is_refused_with_the_choices(option: str) -> None:
    found = CliRunner().invoke(app, ["tune", option, "warp", "train.py"])
    assert found.exit_code == 2
    assert f"Invalid value for '{option}'" in found.output
    assert "'warp' is not one of" in found.output
    assert "follows the script" not in found.output
