"""The labels and the scripts belong together: a benchmark can run every script and apply every fix."""

import ast
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
TOOLS = {"measure_fix", "test_labels", "test_places"}
LABELS = tomllib.loads((HERE / "labels.toml").read_text())
WILD = tomllib.loads((HERE / "wild" / "labels.toml").read_text())
FAILURES = {"oom", "crash", "hang", "nan", "no_steps", "refused", "exit", "disk_full"}
PLANTED = [name for name, label in LABELS.items() if not label.get("healthy")]
HEALTHY = [name for name, label in LABELS.items() if label.get("healthy")]


def test_every_script_is_labelled_and_every_label_has_a_script() -> None:
    assert {path.stem for path in HERE.glob("*.py")} - TOOLS == set(LABELS)


def test_there_are_enough_of_both_kinds() -> None:
    assert (len(PLANTED) >= 24, len(HEALTHY) >= 8) == (True, True)


@pytest.mark.parametrize("name", LABELS)
def test_a_script_is_plain_python_without_further_packages(name: str) -> None:
    tree = ast.parse((HERE / f"{name}.py").read_text())
    imported = {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not imported & {"torchvision", "transformers", "lightning", "accelerate", "advisor", "sklearn", "pandas"}


@pytest.mark.parametrize("name", PLANTED)
def test_the_text_that_a_fix_replaces_is_in_the_script(name: str) -> None:
    text = (HERE / f"{name}.py").read_text()
    assert [old for old, _ in LABELS[name]["fix"].get("replace", []) if old not in text] == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_fixed_script_differs_and_compiles(name: str) -> None:
    label, text = LABELS[name], (HERE / f"{name}.py").read_text()
    fixed = text
    for old, new in label["fix"].get("replace", []):
        fixed = fixed.replace(old, new)
    compile(fixed, name, "exec")
    assert fixed != text or label["fix"]["args"] != label["args"]


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_script_names_what_was_tried(name: str) -> None:
    text = (HERE / f"{name}.py").read_text()
    changes = LABELS[name]["tried"]
    assert changes
    assert [old for change in changes for old, _ in change.get("replace", []) if old not in text] == []


def test_every_wild_script_is_labelled_and_every_label_has_a_script() -> None:
    at_top = {path.stem for path in (HERE / "wild").glob("*.py")} - {"count"}
    assert at_top | {"shadowing/train", "package_train"} == set(WILD)


@pytest.mark.parametrize("name", WILD)
def test_a_wild_label_says_what_must_come_out(name: str) -> None:
    label = WILD[name]
    assert "updates" in label
    assert label["why"]
    assert {label[key] for key in ("refused", "or_refused") if key in label} <= FAILURES


@pytest.mark.parametrize("name", WILD)
def test_a_wild_script_is_short(name: str) -> None:
    start = WILD[name].get("start", [f"{name}.py"])
    path = HERE / "wild" / (start[0] if start[0] != "-m" else f"{start[1]}/__main__.py")
    assert len(path.read_text().splitlines()) <= 60
