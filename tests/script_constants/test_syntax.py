"""Which names of a file are constants, and what setting one changes: the literal, and nothing else."""

from __future__ import annotations

import ast
import textwrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.refused import Refused
from advisor.script_constants import Constant, Unsettable, edited, parse, with_constants
from advisor.script_constants.syntax import constants_of


def found(text: str, *, is_main: bool = True) -> dict[str, Any]:
    """Name → value of a constant, or why it is none."""
    tree = parse(textwrap.dedent(text).encode())
    return {
        name: one.value if isinstance(one, Constant) else one.why
        for name, one in constants_of(tree, is_main=is_main).items()
    }


def ran(text: str, values: dict[str, Any], **names: Any) -> dict[str, Any]:
    """The globals after the file has run with these values."""
    namespace: dict[str, Any] = {"__name__": "__main__", **names}
    tree = with_constants(parse(textwrap.dedent(text).encode()), values)
    exec(compile(tree, "train.py", "exec"), namespace)
    return namespace


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("BATCH_SIZE = 64", "BATCH_SIZE", 64),
        ("batch_size: int = 64", "batch_size", 64),
        ("LR = 1e-3", "LR", 1e-3),
        ("LIMIT = -1", "LIMIT", -1),
        ("NAME = 'adam'", "NAME", "adam"),
        ("FAST = True", "FAST", True),
        ("A = 1; BATCH_SIZE = 64", "BATCH_SIZE", 64),
        ("batch_size, block = 12, 1024", "batch_size", 12),
        ("if __name__ == '__main__':\n    BATCH_SIZE = 64", "BATCH_SIZE", 64),
        ("if '__main__' == __name__:\n    BATCH_SIZE = 64", "BATCH_SIZE", 64),
        ("class Config:\n    batch_size: int = 64", "Config.batch_size", 64),
        ("CONFIG = {'batch_size': 64, 1: 2}", "CONFIG.batch_size", 64),
        ("CONFIG = dict(batch_size=64)", "CONFIG.batch_size", 64),
        ("BATCH_SIZE = 64\ndef f():\n    BATCH_SIZE = 3", "BATCH_SIZE", 64),
        ("BATCH_SIZE = 64\n[BATCH_SIZE for BATCH_SIZE in ()]", "BATCH_SIZE", 64),
        ("BATCH_SIZE = 64\nglobals()['BATCH_SIZE']", "BATCH_SIZE", 64),
        ("from x import *\nBATCH_SIZE = 64", "BATCH_SIZE", 64),
    ],
)
def test_a_literal_that_is_assigned_once_is_a_constant(text: str, name: str, value: Any) -> None:
    assert (found(text)[name], type(found(text)[name])) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "name", "why"),
    [
        ("B = 2 * 32", "B", "is not a plain literal in line 1"),
        ("B = int('64')", "B", "is not a plain literal"),
        ("B = 1 + 2j", "B", "is not a plain literal"),
        ("B = None", "B", "is not a plain literal"),
        ("B = (1, 2)", "B", "is not a plain literal"),
        ("B = 64\nB = 32", "B", "is assigned more than once, in lines 1, 2"),
        ("B = 64\nB *= 2", "B", "more than once"),
        ("B = 64\ndel B", "B", "more than once"),
        ("B = 64\nfor B in (): pass", "B", "more than once"),
        ("B = 64\nimport x as B", "B", "more than once"),
        ("B = 64\ndef B(): pass", "B", "more than once"),
        ("B = 64\nwith f() as B: pass", "B", "more than once"),
        ("B = 64\ntry: pass\nexcept E as B: pass", "B", "more than once"),
        ("B = 64\nmatch x:\n  case [*B]: pass", "B", "more than once"),
        ("B = 64\n[(B := 2) for x in ()]", "B", "more than once"),
        ("B = 64\ndef f():\n    global B\n    B = 2", "B", "in lines 1, 4"),
        ("B = 64\nclass C:\n    global B\n    B = 2", "B", "more than once"),
        ("if x:\n    B = 64", "B", "is not assigned on its own in line 2, or not always"),
        ("B = C = 64", "B", "is not assigned on its own"),
        ("B, *C = 64, 2", "B", "is not assigned on its own"),
        ("B, C = f()", "B", "is not assigned on its own"),
        ("if __name__ == '__main__':\n    pass\nelse:\n    B = 64", "B", "or not always"),
        ("B = 64\nexec(open('configurator.py').read())", "B", "the code that line 2 runs"),
        ("B = 64\nglobals()['B'] = 2", "B", "the code that line 2 runs"),
        ("B = 64\ndef f():\n    globals().update(x)", "B", "the code that line 3 runs"),
        ("B = 64\nfrom x import *", "B", "the import of all names in line 2"),
        ("class C:\n    b = 64\nC.b = 2", "C.b", "gets another value in line 3"),
        ("class C:\n    b = 64\nc = C(b=2)", "C.b", "gets another value in line 3"),
        ("class C:\n    b = 64\nc = C(2)", "C.b", "gets another value in line 3"),
        ("class C:\n    b = 64\nc = C(**x)", "C.b", "gets another value in line 3"),
        ("class C:\n    b = 64\nsetattr(C, 'b', 2)", "C.b", "gets another value in line 3"),
        ("class C:\n    b = 64\nc = dataclasses.replace(C(), b=2)", "C.b", "gets another value in line 3"),
        ("class C:\n    b = 64\nC = f(C)", "C.b", "cannot be set: C is assigned more than once"),
        ("c = {'b': 64}\nc['b'] = 2", "c.b", "gets another value in line 2"),
        ("c = {'b': 64}\nc.update(x)", "c.b", "gets another value in line 2"),
        ("c = {'b': 64}\nfor k in x: c[k] = 1", "c.b", "gets another value in line 2"),
    ],
)
def test_a_name_that_may_have_another_value_is_none_and_says_why(text: str, name: str, why: str) -> None:
    assert why in found(text)[name]


@pytest.mark.parametrize("text", ["CONFIG = {'b': 64, **others}", "CONFIG = {'b': 64, 'b': 32}", "CONFIG = dict(**b)"])
def test_an_entry_that_others_may_replace_is_not_offered(text: str) -> None:
    assert set(found(text)) == {"CONFIG"}


def test_the_main_block_of_an_imported_module_does_not_run() -> None:
    text = "LR = 1\nif __name__ == '__main__':\n    BATCH_SIZE = 64"
    assert "or not always" in found(text, is_main=False)["BATCH_SIZE"]


# --- setting ----------------------------------------------------------------------------------------------------------


def test_only_the_constant_changes_and_lines_stay() -> None:
    text = "A = 64\nB = 64\n\n\nwhere = line()\nif __name__ == '__main__':\n    C = -64\n"
    here: list[int] = []

    def line() -> None:
        import sys

        here.append(sys._getframe(1).f_lineno)

    names = ran(text, {"B": 128, "C": 7}, line=line)
    assert (names["A"], names["B"], names["C"], here) == (64, 128, 7, [5])


def test_fields_are_set_where_they_are_defined() -> None:
    text = "class Config:\n    batch: int = 64\nconfig = {'lr': 0.1}\nother = dict(lr=0.1)"
    names = ran(text, {"Config.batch": 8, "config.lr": 0.2, "other.lr": 0.3})
    assert (names["Config"].batch, names["config"], names["other"]) == (8, {"lr": 0.2}, {"lr": 0.3})


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"GONE": 1}, "it has no constant GONE"),
        ({"TWICE": 1}, "TWICE is assigned more than once, in lines 2, 3"),
        ({"COMPUTED": 1}, "COMPUTED is not a plain literal in line 4"),
    ],
)
def test_a_constant_that_is_gone_is_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        with_constants(parse(b"B = 64\nTWICE = 1\nTWICE = 2\nCOMPUTED = B * 2\n"), values)


@pytest.mark.parametrize(("old", "new"), [("64", "many"), ("64", True), ("'adam'", 3), ("True", 1)])
def test_a_value_of_another_type_is_refused(old: str, new: Any) -> None:
    (one,) = constants_of(parse(f"B = {old}".encode())).values()
    assert isinstance(one, Constant)
    with pytest.raises(Refused, match=r"B is .* in line 1 of train\.py; .* is of another type"):
        one.check(new, "train.py")


def test_a_whole_number_may_become_a_fraction() -> None:
    (one,) = constants_of(parse(b"LR = 1")).values()
    assert isinstance(one, Constant)
    one.check(0.5, "train.py")


def test_what_is_no_python_is_refused() -> None:
    with pytest.raises(Refused, match="cannot be parsed"):
        parse(b"B = = 2")


# --- editing ----------------------------------------------------------------------------------------------------------


def changed(source: bytes, values: dict[str, Any]) -> dict[int, tuple[str, str]]:
    before, after = edited(source, values)
    assert "".join(before).encode() == source
    return {number: pair for number, pair in enumerate(zip(before, after, strict=True), 1) if pair[0] != pair[1]}


@pytest.mark.parametrize(
    ("source", "line", "after"),
    [
        (b"B = 64  # rows\n", 1, "B = 128  # rows\n"),
        (b"import x\r\nB = 1_000\r\n", 2, "B = 128\r\n"),
        (b"B = 64", 1, "B = 128"),
        ("é, B = 'ü', 64\n".encode(), 1, "é, B = 'ü', 128\n"),
        (b"B = (64)\n", 1, "B = (128)\n"),
        (b"c = {'a': 1,\n     'B': 64}\n", 2, "     'B': 128}\n"),
        (b"\xef\xbb\xbfB = 64\n", 1, "\ufeffB = 128\n"),
        (b"x = '\x0c'\nB = 64\n", 2, "B = 128\n"),
    ],
    ids=["comment", "windows", "no end", "unicode", "brackets", "entry", "mark", "form feed"],
)
def test_a_line_of_the_source_changes_in_its_literal_only(source: bytes, line: int, after: str) -> None:
    name = "c.B" if b"c = {" in source else "B"
    assert {number: pair[1] for number, pair in changed(source, {name: 128}).items()} == {line: after}


def test_several_constants_in_one_line_are_all_changed() -> None:
    ((_before, after),) = changed(b"A, B = 1, 22; C = 3\n", {"A": 1000, "B": 0.5, "C": -3}).values()
    assert after == "A, B = 1000, 0.5; C = -3\n"


def test_a_file_in_another_encoding_is_not_edited() -> None:
    with pytest.raises(Refused, match="its encoding is iso-8859-1"):
        edited("# coding: latin-1\nB = 64  # é\n".encode("latin-1"), {"B": 1})


PLAIN = st.integers() | st.floats(allow_nan=False, allow_infinity=False)


@given(old=PLAIN, new=PLAIN, before=st.sampled_from(["", "x = 1\n", "x = '''\n\n'''\n"]), indent=st.booleans())
def test_the_edited_file_has_the_value_that_the_set_tree_has(old: Any, new: Any, before: str, indent: bool) -> None:
    text = f"if __name__ == '__main__':\n    B = {old!r}  # é\n" if indent else f"B = {old!r}\n"
    _lines, after = edited((before + text).encode(), {"B": new})
    (one,) = [one for one in constants_of(parse("".join(after).encode())).values() if one.name == "B"]
    assert isinstance(one, Constant)
    assert (one.value, type(one.value)) == (new, type(new))
    tree = with_constants(parse((before + text).encode()), {"B": new})
    assert f"B = {new!r}" in ast.unparse(tree)


@given(st.text(alphabet="BC=1,():\n #[]{}'\"+-*;.ife", max_size=40))
def test_no_text_makes_it_fail(text: str) -> None:
    try:
        tree = parse(text.encode())
    except Refused:
        return
    for name, one in constants_of(tree).items():
        if isinstance(one, Unsettable):
            assert one.why
        else:
            before, after = edited(text.encode(), {name: one.value})
            assert ast.dump(ast.parse("".join(before))) == ast.dump(ast.parse("".join(after)))
