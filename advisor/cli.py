"""The command line: argv → api → print. The only place that prints results and the only `sys.exit`."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import __version__, cli_comparing, cli_exporting, cli_tuning, cli_verifying
from .cli_behind import ScriptCommand
from .cli_options import (
    PASS_THROUGH,
    Args,
    Isolation,
    Json,
    MemoryLimit,
    Module,
    NoProgressLimit,
    Python,
    Runs,
    Script,
    StartLimit,
    Trackers,
    in_bytes,
)
from .cli_output import live_progress, show
from .errors import AdvisorError, ExitCode, InterruptedByUserError, SettingsWarning, Terminated

if TYPE_CHECKING:
    from .types import Profile, TuneResult

app = typer.Typer(
    name="advisor",
    help="Finds what makes a PyTorch training script slow, without an edit to it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Html = Annotated[bool, typer.Option("--html", help="Also write one offline page, into the run's folder.")]
Page = Annotated[Path | None, typer.Option("-o", "--page", metavar="FILE", help="With --html: write the page here.")]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"advisor {__version__}")
        raise typer.Exit


@app.command(cls=ScriptCommand, context_settings=PASS_THROUGH)
def profile(
    script: Script,
    args: Args = None,
    module: Module = False,
    python: Python = None,
    isolation: Isolation = "auto",
    runs: Runs = None,
    json_output: Json = False,
    html: Html = False,
    page: Page = None,
    budget: Annotated[str, typer.Option("--budget", metavar="TIME", help="From the first update: 90s, 2m.")] = "26s",
    start_limit: StartLimit = None,
    no_progress_limit: NoProgressLimit = None,
    memory_limit: MemoryLimit = None,
    trackers: Trackers = False,
) -> None:
    """Run SCRIPT for a short while, unmodified, and say what holds it back."""
    from . import api

    try:
        with live_progress() as progress:
            found = api.profile(
                script,
                args or [],
                module=module,
                python=python,
                isolation=isolation,
                runs=runs,
                budget=budget,
                start_limit_s=start_limit,
                no_progress_limit_s=no_progress_limit,
                memory_limit_bytes=in_bytes(memory_limit),
                trackers_offline=not trackers,
                progress=progress,
            )
    except InterruptedByUserError as interruption:
        _show_profile(api.load_profile(interruption.run_folder), json_output, _page(html, page))
        raise
    _show_profile(found, json_output, _page(html, page))
    raise typer.Exit(_exit_code(found))


@app.command()
def hardware(
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Measure the peaks (about 15 s).")] = False,
    python: Python = None,
    json_output: Json = False,
) -> None:
    """What is here, what limits it, what is set up wrong."""
    from . import api
    from . import hardware as machines

    found = api.hardware(calibrate=calibrate, python=python)
    show(found, json_output, machines.as_json, machines.render)


@app.command()
def report(
    run: Annotated[
        str, typer.Argument(metavar="[RUN]", help="latest, an id or its beginning, or a folder.")
    ] = "latest",
    runs: Runs = None,
    json_output: Json = False,
    html: Html = False,
    page: Page = None,
) -> None:
    """Show a stored run again; of a search, give the path of its profile.json to see that instead."""
    from . import api
    from .types import TuneResult

    found = api.load_run(run, runs=runs)
    if isinstance(found, TuneResult):
        _show_tune(found, json_output, _page(html, page))
    else:
        _show_profile(found, json_output, _page(html, page))


@app.command()
def explain(
    name: Annotated[str | None, typer.Argument(metavar="[RULE|KNOB]", help="Its id; none lists them.")] = None,
) -> None:
    """What a rule looks at, its thresholds, its source; what a knob changes."""
    from . import knobs, rules

    known = {knob.id: knob for knob in knobs.all_knobs()}
    if name is None:
        listed = [(rule.id, rule.title) for rule in rules.all_rules()]
        for entry, title in (*listed, *((knob.id, knob.title) for knob in known.values())):
            typer.echo(f"{entry:24} {title}")
    elif name in known:
        typer.echo(knobs.explain(known[name]))
    else:
        typer.echo(rules.explain(rules.get(name)))


cli_comparing.register(app)
cli_exporting.register(app)
cli_tuning.register(app)
cli_verifying.register(app)


def main() -> None:
    """Entry of the `advisor` command; every end has its exit code."""
    _listen_to_signals()
    _tell_warnings()
    try:
        # `standalone_mode` would turn our errors into tracebacks and swallow the exit codes of usage errors.
        code = app(standalone_mode=False)
    except AdvisorError as error:
        typer.echo(f"advisor: {error}", err=True)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("advisor: interrupted", err=True)
        code = ExitCode.INTERRUPTED
    except Terminated:
        typer.echo("advisor: terminated", err=True)
        code = ExitCode.TERMINATED
    except BrokenPipeError:
        sys.stderr.close()
        code = ExitCode.OK
    except Exception as error:
        code = _usage_or_raise(error)
    # The work is done: a late signal must not turn its end into a traceback.
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(int(code or 0))


def _tell_warnings() -> None:
    """What our own functions warn of is one line, without the place in our code; all else is shown as ever."""
    usual = warnings.showwarning

    def show(message: Any, category: Any, *rest: Any, **named: Any) -> None:
        if issubclass(category, SettingsWarning):
            typer.echo(f"advisor: {message}", err=True)
        else:
            usual(message, category, *rest, **named)

    warnings.showwarning = show


ENOUGH_UPDATES = 5
"""Of a script that crashed, hung or ran out of memory: with fewer its profile is no answer."""
AGAIN_S = 0.05
"""Until a signal is sent again that met a moment in which nothing can be raised; such a moment takes microseconds."""
_ENDINGS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}


def _listen_to_signals() -> None:
    """The first signal ends the work in order, the second is told that this takes a moment, the third does not wait.

    A signal that our parent had us ignore (`nohup`, a job in the background) stays ignored. One that arrives in a
    destructor or a callback, where Python drops what is raised (an import has such moments), is sent to us once more.
    """
    heard = 0
    usual = sys.unraisablehook

    def end(number: int, _frame: Any) -> None:
        nonlocal heard
        heard += 1
        if heard == 1:
            raise _ENDINGS[signal.Signals(number)]
        if heard > 2:
            os._exit(128 + number)  # the script's processes and the view end with us
        os.write(2, b"advisor: ending; once more leaves at once, without keeping what was measured\n")

    def dropped(what: sys.UnraisableHookArgs) -> None:
        nonlocal heard
        number = next((number for number, ending in _ENDINGS.items() if what.exc_type is ending), None)
        if heard == 0 or number is None:
            usual(what)
            return
        heard -= 1
        again = threading.Timer(AGAIN_S, signal.pthread_kill, (threading.main_thread().ident, number))
        again.daemon = True
        again.start()

    for number in _ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)
    sys.unraisablehook = dropped


def _usage_or_raise(error: Exception) -> int:
    show = getattr(error, "show", None)
    if show is None:
        raise error
    show()
    return ExitCode.USAGE


RUN_FOLDER = Path()
"""Stands for the run's own folder, which is known only when the run is."""


def _page(html: bool, page: Path | None) -> Path | None:
    """Where a page is to be written; None for no page. A file named is wish enough."""
    return page if page is not None else (RUN_FOLDER if html else None)


def _show_profile(found: Profile, json_output: bool, html: Path | None) -> None:
    from . import report as reports

    if html is not None:
        _write_page(html, found.run_folder, reports.as_page(found))
    show(found, json_output, reports.profile_json, reports.render_profile)


def _show_tune(found: TuneResult, json_output: bool, html: Path | None) -> None:
    from . import report as reports

    if html is not None:
        _write_page(html, found.run_folder, reports.tune_page(found))
    show(found, json_output, reports.tune_json, reports.render_tune)


def _write_page(wanted: Path, run_folder: str, page: str) -> None:
    from .store import write_atomic

    target = Path(run_folder) / "report.html" if wanted is RUN_FOLDER else wanted
    write_atomic(target, page.encode())
    typer.echo(f"advisor: wrote {target}", err=True)


def _exit_code(found: Profile) -> int:
    enough = found.steps is not None and (found.steps.updates >= ENOUGH_UPDATES or found.failure is None)
    if found.failure is None or enough:
        return ExitCode.OK
    return ExitCode.NOTHING_MEASURED if found.failure.kind == "no_steps" else ExitCode.SCRIPT_FAILED
