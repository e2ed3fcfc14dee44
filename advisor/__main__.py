"""The `advisor` command, also as `python -m advisor`."""

import sys

from .safe_path import users_folders_last


def main() -> None:
    """Ctrl-C while Python still loads ends quietly; `cli.main.main` then takes over."""
    users_folders_last()
    import signal  # not before: it imports modules that a file of the user's may shadow

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli.main import main as run

    run()


if __name__ == "__main__":
    if not getattr(sys.flags, "safe_path", False):
        users_folders_last(sys.path[0])  # the current folder, by `-m`
    main()
