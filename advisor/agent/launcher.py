"""Launcher of the ranks: `INTERPRETER launcher.py PROGRAM REPORT OPTION… SCRIPT ARGUMENT…`.

It runs torchrun or `accelerate launch` as their own programs do, and writes what they know of a rank's death to REPORT,
for their words on stderr mix with those of all ranks. With an empty REPORT (a real training), it deletes the launch
file, its last word, at the end: every rank reads it, and restarted ones read it again.
"""

import os
import sys

_here = os.path.dirname(os.path.abspath(__file__))
if sys.path and os.path.abspath(sys.path[0]) == _here:
    del sys.path[0]  # the names in our folder belong to the script


def _run(program: str) -> None:
    if program == "accelerate":
        sys.argv[:1] = [program, "launch"]
        import runpy

        runpy.run_module("accelerate.commands.accelerate_cli", run_name="__main__")
        return
    sys.argv[0] = program
    from torch.distributed.run import main

    main()


def _report(error: BaseException) -> dict[str, object]:
    """Return the error, and the ranks that failed with their exit codes, the first one first."""
    failures = sorted(getattr(error, "failures", {}).items(), key=lambda item: item[1].timestamp)
    ranks = [{"rank": rank, "pid": one.pid, "exit_code": one.exitcode} for rank, one in failures]
    return {"error": f"{type(error).__name__}: {error}", "ranks": ranks}


if __name__ == "__main__":
    _program, _path = sys.argv[1:3]
    del sys.argv[1:3]
    try:
        _run(_program)
    except Exception as error:
        if _path:
            import json

            with open(_path, "w", encoding="utf-8") as file:
                json.dump(_report(error), file)
        raise
    finally:
        if not _path:
            import contextlib

            with contextlib.suppress(OSError):
                os.unlink(sys.argv[-1])
