"""The words of the glossary in CONTRIBUTING.md: one meaning each, and docstrings that begin as the field's do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from snapshot import FOLDER
from typer.core import TyperGroup
from typer.main import get_command

import advisor
from advisor.cli.main import app

PACKAGE = Path(advisor.__file__).parent
PRINTED = ("rules", "knobs")
"""Packages whose module docstrings are what `advisor explain` prints."""
NO_BEGINNING = {"What", "Of", "Whether", "So", "Those", "How", "Where", "Why", "Which", "When", "Who"}
PRIVATE = (
    r"\bas (?:it is )?written\b",
    r"\banew\b",
    r"\bstood still\b",
    r"\bg(?:o|oes|one) on with\b",
    r"\bholds? (?:it )?back\b",
    r"\bdearest\b",
    r"\bbit (?:by|for) bit\b",
    r"\bin turns\b",
    r"\btake turns\b",
    r"\bsetting by setting\b",
    r"\b(?:is|loss) no number\b",
    r"\bcannot be told\b",
    r"\bsays nothing of\b",
    r"\b(?:long|short|first) looks?\b",
    r"\bkin\b",
    r"\banother course\b",
    r"\bwhat is gained\b",
)
"""Expressions of which a reader must learn the meaning; the glossary has others for them."""
NOT_SHOWN = {"as written", "as written again", " anew"}
"""Names of windows and of a value, in stored runs; no text."""
SHOWN_FILES = ("README.md", "CHANGELOG.md")
GIVEN_UP = (
    "Hunt",
    "Bench",
    "bench",
    "Wishes",
    "wishes",
    "AS_IT_WAS",
    "InLife",
    "LifeRecord",
    "life_of",
    "most_lives",
    "AS_WRITTEN",
    "TIERS",
    "tier_of",
    "Race",
    "Contender",
    "contender",
    "Carried",
    "bystander",
)
"""Names that the glossary has replaced."""


def _documented() -> Iterator[tuple[str, ast.AST, str]]:
    """File, node and docstring of everything documented in the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                text = ast.get_docstring(node)
                if text:
                    yield str(path.relative_to(PACKAGE)), node, text


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    wrong = [
        f"{file}:{getattr(node, 'lineno', 1)}: {text.splitlines()[0]}"
        for file, node, text in _documented()
        if text.split()[0].strip(",.") in NO_BEGINNING
        and not (isinstance(node, ast.Module) and file.startswith(PRINTED))
    ]
    assert wrong == []


def test_names_that_were_given_up_do_not_come_back() -> None:
    words = re.compile(rf"\b({'|'.join(GIVEN_UP)})\b")
    found = [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if words.search(line)
    ]
    assert found == []


def _texts() -> Iterator[tuple[str, str]]:
    """Place and text of what a user reads: literals of the package, templates, snapshots, and the pages."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documented = {id(statement.value) for statement in ast.walk(tree) if isinstance(statement, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node.value
    files = [*PACKAGE.rglob("*.jinja"), *FOLDER.rglob("*.txt"), *(PACKAGE.parent / name for name in SHOWN_FILES)]
    files += (PACKAGE.parent / "docs").glob("*.md")
    for path in sorted(files):
        yield path.name, path.read_text(encoding="utf-8")


def test_private_words_are_kept_from_what_a_user_reads() -> None:
    words = re.compile("|".join(PRIVATE), re.IGNORECASE)
    found = [f"{place}: {hit[0]}" for place, text in _texts() if text not in NOT_SHOWN for hit in words.finditer(text)]
    assert found == []


def test_only_the_command_line_spells_options() -> None:
    """Elsewhere a message names the parameter, unless it is a whole command to be copied."""
    program = get_command(app)
    assert isinstance(program, TyperGroup)
    options = {
        option
        for command in program.commands.values()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    }
    spelled = re.compile(rf"(?<![\w-])(?:{'|'.join(sorted(options))})(?![\w-])")
    commands = re.compile(rf"(?:(?:advisor )?(?:{'|'.join(program.commands)})|jupyter) [^;,.]*")
    found = [
        f"{place}: {text}"
        for place, text in _texts()
        if ".py:" in place
        and not place.startswith("cli/")
        and " " in text.strip()
        and spelled.search(commands.sub("", text))
    ]
    assert found == []


def test_every_word_of_the_glossary_has_one_line() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    words = re.findall(r"(?m)^\| ([a-z][^|]*?) \|", text.partition("## Glossary")[2])
    assert len(words) > 15
    assert len(words) == len(set(words))
