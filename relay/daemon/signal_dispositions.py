"""Signal dispositions of the process, and its death by a signal.

This module imports nothing that takes long. Until `prepare_signals` is called, SIGHUP, SIGUSR1 and
SIGUSR2 kill the process, SIGINT prints a traceback, and a process that is PID 1 ignores SIGTERM.
The interpreter itself takes some tens of milliseconds to start, which no module can shorten.
"""

from __future__ import annotations

import os
import signal

ENDING = (signal.SIGINT, signal.SIGTERM)
"""Signals that stop a relay, or end any other command."""

IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTOU, signal.SIGCHLD)
"""Signals that a relay ignores, unless it has installed a handler.

A SIGHUP before that needs no action, since the files are read afterwards. SIGTTOU would suspend a
relay that runs in the background of a terminal, and with it all pairs, at its first log line. With
SIGCHLD ignored, orphans that a relay inherits as PID 1 do not remain as zombies.
"""

EXIT_STATUS_BASE = 128
"""Offset from a signal number to the exit status of a process that it killed, as in shells."""


def prepare_signals(*, serving: bool) -> None:
    """Set the dispositions for the start of a command; ``serving`` is true for ``start`` alone.

    SIGINT and SIGTERM end the process without a traceback. Any other command leaves a signal
    ignored if its parent ignored it, as shells do for background jobs. All these signals are then
    unblocked, because a parent process may have left them in the signal mask. Unblocking delivers
    pending signals, so the dispositions are set first.
    """
    for number in ENDING:
        if serving or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _frame: die_by(number))
    if serving:
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*ENDING, *IGNORED})


def die_by(number: int) -> None:
    """End the process at once by a signal, so that the exit status tells the parent the signal.

    The kernel drops a signal with the default disposition that PID 1 sends itself. The process then
    exits with 128 and the number of the signal, which is how shells report a death by a signal.
    """
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    signal.raise_signal(number)
    os._exit(EXIT_STATUS_BASE + number)
