"""Entry point of the command ``arc-relay``, and of ``python -m relay``.

The import of the command line takes about 0.4 s. Signals must have the right effect during this
time, and the standard streams must be safe to write to. So the entry point first sets the signal
dispositions, then prepares the standard streams, and only then imports the command line.
"""

from __future__ import annotations

import sys

from .daemon.signal_dispositions import prepare_signals


def main() -> None:
    """Prepare the process, then run the command line and exit."""
    serving = sys.argv[1:2] == ["start"]
    prepare_signals(serving=serving)
    from .daemon.standard_streams import prepare_streams  # noqa: PLC0415 - see the module's docstring

    prepare_streams(serving=serving)
    from .cli.main import main as run_command_line  # noqa: PLC0415 - likewise

    run_command_line()


if __name__ == "__main__":
    main()
