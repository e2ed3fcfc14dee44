"""The program `advisor`: its commands, and an exit code for every end. The only `sys.exit`."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import warnings
from typing import Annotated, Any, TextIO

import typer

from ..errors import AdvisorError, ExitCode, SettingsWarning, Terminated
from ..spelling import spelled
from ..unknown_name import UnknownNameError
from ..version import __version__
from . import (
    _signals,
    compare,
    demo,
    explain,
    export,
    hardware,
    lr,
    plan,
    profile,
    report,
    run,
    tune,
    verify,
    worker,
)
from ._options import PASS_THROUGH, PlainUsageCommand, as_option, with_run_options
from ._output import print_names, typed_redactor
from .misplaced_options import ScriptCommand

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
"""Errors of a standard output that takes no more: a full disk, or a descriptor that the caller has closed."""

app = typer.Typer(
    name="advisor",
    help="Find what slows a PyTorch training script, and faster settings for it. The script is not edited.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"advisor {__version__}")
        raise typer.Exit


app.command(cls=PlainUsageCommand)(demo.demo)
app.command(cls=PlainUsageCommand)(hardware.hardware)
for command in (profile.profile, lr.lr, plan.plan, tune.tune, verify.verify):
    app.command(cls=ScriptCommand, context_settings=PASS_THROUGH)(with_run_options(command))
app.command(cls=ScriptCommand, context_settings=PASS_THROUGH)(run.run)
app.command(cls=PlainUsageCommand)(with_run_options(worker.worker, without=("module",)))
app.command(cls=PlainUsageCommand)(export.export)
app.command(cls=PlainUsageCommand)(report.report)
app.command(cls=compare.CompareCommand)(compare.compare)
app.command(cls=PlainUsageCommand)(explain.explain)


def main() -> None:
    """Run the `advisor` command; every end has its exit code."""
    _signals.listen()
    _show_warnings()
    try:
        # `standalone_mode` would turn our errors into tracebacks and swallow the exit codes of usage errors.
        with spelled(as_option):
            code = app(standalone_mode=False)
        if sys.stdout is not None:  # None: closed by the caller
            sys.stdout.flush()
    except UnknownNameError as error:
        _say(_as_one_line(error.summary))
        print_names(error.listed)
        code = error.exit_code
    except AdvisorError as error:
        _say(_as_one_line(str(error)))
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        _say("interrupted")
        code = ExitCode.INTERRUPTED
    except Terminated:
        _say("terminated")
        code = ExitCode.TERMINATED
    except BrokenPipeError:
        sys.stderr.close()
        code = ExitCode.OK
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        _say(f"the output cannot be written: {error.strerror}")
        code = ExitCode.STORAGE
    except Exception as error:
        code = _usage_or_raise(error)
    _signals.ignore()
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        _empty(descriptor, stream)
    sys.exit(int(code or 0))


def _as_one_line(text: str) -> str:
    """Return an error's text for the terminal: it may quote a file or a path, which must not steer it."""
    from ..report import format

    return format.one_line(typed_redactor().text(text))


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the exit code says it, too
        typer.echo(f"advisor: {text}", err=True)


def _empty(descriptor: int, stream: TextIO | None) -> None:
    """Write what is left, or drop it: Python would fail with it at the very end, with an exit code of its own."""
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    except ValueError:  # closed
        return


def _show_warnings() -> None:
    """Print advisor's own warnings as one line, without the place in its code; others are shown as usual."""
    usual = warnings.showwarning

    def show(message: Any, category: Any, *rest: Any, **named: Any) -> None:
        if issubclass(category, SettingsWarning):
            typer.echo(f"advisor: {typed_redactor().text(str(message))}", err=True)
        else:
            usual(message, category, *rest, **named)

    warnings.showwarning = show


def _usage_or_raise(error: Exception) -> int:
    show = getattr(error, "show", None)
    if show is None:
        raise error
    show()
    return ExitCode.USAGE
