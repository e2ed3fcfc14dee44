"""The command `report`."""

from __future__ import annotations

from typing import Annotated

import typer

from ._options import Json, Runs
from ._results import Html, Page, page_path, show_learning, show_profile, show_range_test, show_search


def report(
    run: Annotated[
        str, typer.Argument(metavar="[RUN]", help="An id, the start of one, a folder, or latest.")
    ] = "latest",
    runs: Runs = None,
    json_output: Json = False,
    html: Html = False,
    page: Page = None,
) -> None:
    """Show a stored run. For the profile of a search, give the path of its profile.json."""
    from .. import api
    from ..types import LearningResult, RangeTest, TuneResult

    wanted = page_path(html, page, run)
    found = api.load_run(run, runs=runs)
    if isinstance(found, TuneResult):
        show_search(found, json_output, wanted)
    elif isinstance(found, LearningResult):
        show_learning(found, json_output, wanted)
    elif isinstance(found, RangeTest):
        show_range_test(found, json_output, wanted)
    else:
        show_profile(found, json_output, wanted)
