"""Which of a notebook's statements a function needs."""

from __future__ import annotations

import contextlib
import io

import pytest

from advisor.errors import UsageError
from advisor.target.notebook import needed

EVERYTHING = frozenset({"torch", "files", "make", "rate", "numbers", "train"})


def chosen(*cells: str, until_line: int | None = None) -> list[str]:
    """The statements, without the comments that say where they come from."""
    found = needed("train", ["", *cells], known=EVERYTHING, until_line=until_line)
    return found.body.splitlines()


def printed(*cells: str) -> str:
    """What the function prints when the text is run as a script."""
    found = needed("train", ["", *cells], known=EVERYTHING)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(f"{found.future}\n{found.text}\ntrain()", {"__name__": "__main__"})
    return out.getvalue().strip()


def test_what_is_not_needed_is_left_out() -> None:
    assert chosen("import json\nrate = 1\nother = json", "def train(): rate") == ["rate = 1", "def train(): rate"]


def test_what_is_needed_by_what_is_needed_comes_too() -> None:
    cells = ("import math", "class Base:\n    size = math.floor(2.5)", "class Net(Base):\n    pass")
    assert printed(*cells, "def train(): print(Net.size)") == "2"


def test_local_names_of_a_function_are_not_taken_from_the_notebook() -> None:
    assert chosen("size = 1", "def train():\n    size = 2\n    print(size)")[0] == "def train():"


def test_the_last_definition_counts_also_where_it_comes_after_the_function() -> None:
    assert printed("rate = 1", "def train(): print(rate)", "rate = 2") == "2"
    assert "rate = 1" not in chosen("rate = 1", "def train(): print(rate)", "rate = 2")


def test_what_was_made_with_an_earlier_value_is_made_with_it_again() -> None:
    cells = ("size = 1", "def make(): return [size]", "numbers = make()", "size = 2")
    assert printed(*cells, "def train(): print(numbers, size)") == "[1] 2"


def test_a_method_finds_what_was_defined_after_its_object() -> None:
    cells = ("class Net:\n    def run(self): return rate", "net = Net()", "rate = 3")
    assert printed(*cells, "def train(): print(net.run())") == "3"


def test_what_is_changed_bit_by_bit_is_changed_again() -> None:
    cells = ("rate = 1\nrate += 1", "numbers = {}\nnumbers['a'] = rate", "numbers.update(b=4)")
    assert printed(*cells, "def train(): print(numbers)") == "{'a': 2, 'b': 4}"


def test_blocks_that_bind_or_change_what_is_needed_stay() -> None:
    cells = ("rate, numbers = 0, []", "for i in range(3):\n    rate = i", "for i in (1, 2):\n    numbers.append(i)")
    assert printed(*cells, "def train(): print(rate, numbers)") == "2 [1, 2]"


def test_comprehensions_are_carried_out_where_they_stand() -> None:
    cells = ("size = 2", "numbers = [size * i for i in range(3)]", "size = 5")
    assert printed(*cells, "def train(): print(numbers)") == "[0, 2, 4]"


@pytest.mark.parametrize(
    "first", ["import xml.dom\nimport xml.sax\nimport xml", "from xml import *\nimport xml.dom, xml.sax"]
)
def test_imports_below_one_package_do_not_replace_each_other(first: str) -> None:
    assert printed(first, "def train(): print(xml.dom.__name__, xml.sax.__name__)") == "xml.dom xml.sax"


def test_names_from_a_star_are_found() -> None:
    assert printed("from math import *", "def train(): print(floor(2.5))") == "2"


def test_a_seed_is_set_again() -> None:
    seeded = "random.seed(0)"
    assert seeded in chosen("import random", seeded, "def train(): print(random.random())")


@pytest.mark.parametrize(
    "statement",
    [
        "print(numbers)",
        "numbers",
        "train()",
        "attempt(numbers)",
        "for number in numbers:\n    attempt(number)",
        "advisor.tune(numbers)",
        "json.dumps(numbers)",
    ],
)
def test_what_only_shows_trains_or_searches_is_not_repeated(statement: str) -> None:
    cells = ("import advisor, json", "numbers = [1]", "def attempt(of):\n    of.backward()")
    function = "def train():\n    attempt(numbers)\n    advisor"
    assert statement.splitlines()[0] not in chosen(*cells, function, statement)


def test_the_function_itself_is_called_once() -> None:
    assert printed("numbers = []", "def train():\n    numbers.append(1)\n    print(numbers)", "train()") == "[1]"


def test_the_cell_that_asks_counts_only_up_to_there() -> None:
    asking = "rate = 1\nadvisor.tune(train)\nrate = 2"
    assert "rate = 2" not in chosen("def train(): print(rate)", asking, until_line=2)
    assert "rate = 1" in chosen("def train(): print(rate)", asking, until_line=2)


def test_a_cell_that_is_no_python_was_not_carried_out() -> None:
    assert printed("rate = 1", "rate = = 2", "def train(): print(rate)") == "1"


def test_statements_on_one_line_are_taken_apart() -> None:
    assert chosen("rate = 1; other = 2", "def train(): rate")[0] == "rate = 1"


def test_text_comments_and_decorators_stay_as_they_were_typed() -> None:
    function = "@staticmethod\ndef train():  # fast\n    return 0x10"
    assert chosen(function) == function.splitlines()


def test_each_statement_says_where_it_comes_from() -> None:
    text = needed("train", ["", "import json", "# first\nrate = 1", "def train(): rate"], known=()).text
    assert "# cell 2, line 2\nrate = 1" in text
    assert "# cell 3, line 1\ndef train(): rate" in text


def test_cells_that_were_run_again_make_the_same_body() -> None:
    cells = ["", "rate = 1", "def train(): rate"]
    assert needed("train", cells, known=()).body == needed("train", [*cells, *cells[1:]], known=()).body


def test_what_the_notebook_imported_from_the_future_stands_apart() -> None:
    cells = ("rate = 1", "from __future__ import annotations", "def train(): print(train.__annotations__, rate)")
    found = needed("train", ["", *cells], known=())
    assert found.future == "from __future__ import annotations"
    assert "__future__" not in found.text


# --- magics: as IPython keeps them, and as they are typed ------------------------------------------------------------


@pytest.mark.parametrize("magic", ["get_ipython().run_line_magic('matplotlib', 'inline')", "%matplotlib inline"])
def test_a_magic_that_nothing_needs_is_dropped(magic: str) -> None:
    assert chosen(f"{magic}\nrate = 1", "def train(): rate") == ["rate = 1", "def train(): rate"]


def test_a_magic_that_makes_what_is_needed_is_told() -> None:
    with pytest.raises(UsageError, match=r"files comes from a magic in cell 1, line 2 \(files = get_ipython"):
        chosen("import os\nfiles = get_ipython().getoutput('ls')", "def train(): files")


def test_what_no_statement_defines_is_told() -> None:
    with pytest.raises(UsageError, match=r"train\(\) uses files, which no statement of an executed cell defines"):
        chosen("%run setup.py", "def train(): files")


def test_ipython_itself_is_in_no_script() -> None:
    with pytest.raises(UsageError, match="uses get_ipython"):
        chosen("def train(): get_ipython().system('ls')")


def test_a_name_that_there_is_not_is_left_to_the_function() -> None:
    assert chosen("def train(): not_there") == ["def train(): not_there"]


def test_what_a_timed_cell_defines_is_found() -> None:
    timed = "get_ipython().run_cell_magic('time', '', 'rate = 1\\nother = 2\\n')"
    assert chosen(timed, "def train(): rate")[0] == "rate = 1"


def test_a_function_that_no_cell_defines_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no executed cell defines train\(\)"):
        chosen("rate = 1")
