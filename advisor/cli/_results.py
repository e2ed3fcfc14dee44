"""Profiles and searches, shown and written as a page, with their exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ExitCode, UsageError
from ._output import show

if TYPE_CHECKING:
    from ..types import Failure, LearningResult, Profile, RangeTest, TuneResult

Html = Annotated[
    bool, typer.Option("--html", help="Write the report as one HTML page, in the run's folder; print only its verdict.")
]
Page = Annotated[Path | None, typer.Option("-o", "--page", metavar="FILE", help="Write the HTML page here.")]
ENOUGH_UPDATES = 5
"""Fewest updates of a script that crashed, hung or ran out of memory for its profile to be an answer."""
RUN_FOLDER = Path()
"""Placeholder for the run's own folder, which is known only once the run is."""


def page_path(html: bool, page: Path | None, name: str) -> Path | None:
    """Return the path to write a page to; None for no page. Naming a file is enough to request one.

    Raises UsageError for a `name` (of the run or script) that was meant as the page's.
    """
    if html and name.endswith(".html") and not Path(name).exists():
        raise UsageError(f"--html takes no file: write the page to {name} with --page {name}")
    return page if page is not None else (RUN_FOLDER if html else None)


def show_profile(found: Profile, json_output: bool, html: Path | None) -> None:
    """Show a profile as text or JSON; as a page, with its verdict and place alone as text."""
    from ..report.profile.json import profile_json
    from ..report.profile.terminal import render_profile, render_verdict

    if html is not None:
        from ..report.profile.html import as_page

        _write_page(html, found.run_folder, as_page(found))
    show(found, json_output, profile_json, render_profile if html is None else render_verdict)


def show_search(found: TuneResult, json_output: bool, html: Path | None) -> None:
    """Show a search in the same ways."""
    from ..report.search.json import tune_json
    from ..report.search.terminal import render_tune, render_tune_verdict

    if html is not None:
        from ..report.search.html import tune_page

        _write_page(html, found.run_folder, tune_page(found))
    show(found, json_output, tune_json, render_tune if html is None else render_tune_verdict)


def show_learning(found: LearningResult, json_output: bool, html: Path | None) -> None:
    """Show a search by losses in the same ways."""
    from ..report.search.learning import learning_json, render_learning, render_learning_verdict

    if html is not None:
        from ..report.search.learning_html import learning_page

        _write_page(html, found.run_folder, learning_page(found))
    show(found, json_output, learning_json, render_learning if html is None else render_learning_verdict)


def show_range_test(found: RangeTest, json_output: bool, html: Path | None) -> None:
    """Show a range test in the same ways."""
    from ..report.range_test import range_test_json, render_range_test, render_range_test_verdict

    if html is not None:
        from ..report.search.range_test_html import range_test_page

        _write_page(html, found.run_folder, range_test_page(found))
    show(found, json_output, range_test_json, render_range_test if html is None else render_range_test_verdict)


def _write_page(wanted: Path, run_folder: str, page: str) -> None:
    from ..storage.safe_files import write_for_user

    target = Path(run_folder) / "report.html" if wanted is RUN_FOLDER else wanted
    write_for_user(target, page.encode())
    typer.echo(f"advisor: wrote {target}", err=True)


def exit_code_of_profile(found: Profile) -> int:
    """Return the exit code for a profile: OK if enough was measured, whatever happened later."""
    counted = found.steps.updates if found.steps is not None else 0
    trained = found.failure is None or found.failure.kind != "no_steps"
    enough = counted >= (1 if found.failure is None else ENOUGH_UPDATES) and trained
    return _exit_code(None if enough else found.failure)


def exit_code_of_search(found: TuneResult) -> int:
    """Return the exit code for a search."""
    return _exit_code(found.failure)


def exit_code_of_learning(found: LearningResult) -> int:
    """Return the exit code for a search by losses: a script that no loss judges has nothing to measure."""
    if found.failure is not None and found.failure.kind == "refused":
        return ExitCode.NOTHING_MEASURED
    return _exit_code(found.failure)


def _exit_code(failure: Failure | None) -> int:
    if failure is None:
        return ExitCode.OK
    return ExitCode.NOTHING_MEASURED if failure.kind == "no_steps" else ExitCode.SCRIPT_FAILED
