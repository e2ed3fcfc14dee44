"""The `advisor` command, also as `python -m advisor`."""

import signal


def main() -> None:
    """Ctrl-C while Python still loads ends quietly; `cli.main.main` then takes over."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli.main import main as run

    run()


if __name__ == "__main__":
    main()
