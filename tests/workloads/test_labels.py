"""The labels and the scripts belong together: a benchmark can run every script and apply every fix."""

import ast
import importlib
import sys
import tomllib
from pathlib import Path

import pytest

from advisor import rules

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # the tools stand beside the scripts, which are no package
labelled = importlib.import_module("labelled")
TOOLS = {"labelled", "measure_fix", "test_labels", "test_places"}
OWN = labelled.labels_of(labelled.OWN)
REPORTS = labelled.labels_of(labelled.REPORTS)
PUBLIC = labelled.labels_of(labelled.PUBLIC)
LABELS = {**OWN, **REPORTS}
WILD = tomllib.loads((HERE / "wild" / "labels.toml").read_text())
FAILURES = {"oom", "crash", "hang", "nan", "no_steps", "refused", "exit", "disk_full"}
PLANTED = [name for name, label in LABELS.items() if not label.get("healthy")]
HEALTHY = [name for name, label in LABELS.items() if label.get("healthy")]


def test_every_script_is_labelled_and_every_label_has_a_script() -> None:
    for folder, labels in ((labelled.OWN, OWN), (labelled.REPORTS, REPORTS), (labelled.PUBLIC, PUBLIC)):
        assert set(folder.glob("*.py")) - {folder / f"{name}.py" for name in TOOLS} == {label["path"] for label in labels.values()}


def test_there_are_enough_of_both_kinds() -> None:
    assert (len(PLANTED) >= 60, len(HEALTHY) >= 18, len(PUBLIC) >= 20) == (True, True, True)


@pytest.mark.parametrize("name", [*LABELS, *PUBLIC])
def test_a_script_imports_nothing_but_what_its_label_names(name: str) -> None:
    label = LABELS.get(name) or PUBLIC[name]
    tree = ast.parse(label["path"].read_text())
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    parts = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    packages = {module.split(".")[0] for module in plain | parts} - sys.stdlib_module_names - {"torch", "numpy"}
    assert packages <= set(label["needs"])


@pytest.mark.parametrize("name", [*LABELS, *PUBLIC])
def test_a_label_names_rules_that_exist(name: str) -> None:
    label = LABELS.get(name) or PUBLIC[name]
    named = {label.get("rule"), *label.get("also", []), *label.get("never", [])} - {None}
    assert named <= {rule.id for rule in rules.all_rules()}


@pytest.mark.parametrize("name", REPORTS)
def test_a_case_from_reports_names_them(name: str) -> None:
    label = REPORTS[name]
    assert label.get("healthy") or label["reports"] or "Made" in label["why"]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_script_says_what_an_expert_would(name: str) -> None:
    label = PUBLIC[name]
    assert label["expert"]
    assert label["rebuilt_from"]
    assert not set(label["never"]) & {label["rule"], *label.get("also", [])}


@pytest.mark.parametrize("name", PLANTED)
def test_the_text_that_a_fix_replaces_is_in_the_script(name: str) -> None:
    text = LABELS[name]["path"].read_text()
    assert [old for old, _ in LABELS[name]["fix"].get("replace", []) if old not in text] == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_fixed_script_differs_and_compiles(name: str) -> None:
    label, text = LABELS[name], LABELS[name]["path"].read_text()
    fixed = text
    for old, new in label["fix"].get("replace", []):
        fixed = fixed.replace(old, new)
    compile(fixed, name, "exec")
    assert fixed != text or label["fix"]["args"] != label["args"]


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_script_names_what_was_tried(name: str) -> None:
    text = LABELS[name]["path"].read_text()
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


def test_a_name_is_labelled_in_one_folder_only(tmp_path: Path) -> None:
    (tmp_path / "labels.toml").write_text("[one_thread]\n")
    with pytest.raises(ValueError, match="one_thread is labelled in another folder"):
        labelled.labels_of(labelled.OWN, tmp_path)


def test_packages_that_are_not_installed_are_named() -> None:
    assert labelled.missing_packages({"needs": ["torch", "no_such_package"]}) == ["no_such_package"]
