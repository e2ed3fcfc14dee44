"""The words of the glossary in CONTRIBUTING.md: one meaning each, and docstrings that begin as the field's do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import advisor

PACKAGE = Path(advisor.__file__).parent
PRINTED = ("rules", "knobs")
"""Packages whose module docstrings are what `advisor explain` prints."""
NO_BEGINNING = {"What", "Of", "Whether", "So", "Those", "How", "Where", "Why", "Which", "When", "Who"}
GIVEN_UP = ("Hunt", "Bench", "bench", "Wishes", "wishes", "AS_IT_WAS", "InLife", "LifeRecord")
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


def test_every_word_of_the_glossary_has_one_line() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    words = re.findall(r"(?m)^\| ([a-z][^|]*?) \|", text.partition("## Glossary")[2])
    assert len(words) > 15
    assert len(words) == len(set(words))
