"""Set the signal dispositions of the process, and end the process by a signal.

Until `prepare_signals` is called, SIGHUP, SIGUSR1 and SIGUSR2 kill the process, SIGINT prints a
traceback, and a process that is PID 1 ignores SIGTERM. To keep this time short, this module imports
nothing that takes long to import. The time is then little more than the start of the interpreter,
which takes some tens of milliseconds.
"""

from __future__ import annotations

import os
import signal

ENDING = (signal.SIGINT, signal.SIGTERM)
"""Signals that stop a relay, or end any other command."""

IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTOU, signal.SIGCHLD)
"""Signals that a relay ignores from its start. Later, it installs handlers for some of them.

A SIGHUP that arrives before its handler exists needs no action, because the relay reads its files
afterwards. SIGTTOU, if not ignored, could suspend a background job that writes a log line. While
SIGCHLD is ignored, the kernel reaps the child processes that a relay inherits as PID 1.
"""

EXIT_STATUS_BASE = 128
"""Number that shells add to a signal number to report that the signal killed a process."""


def prepare_signals(*, serving: bool) -> None:
    """Set the dispositions for the start of a command; ``serving`` is True only for ``start``.

    SIGINT and SIGTERM end the process without a traceback. A command other than ``start`` leaves a
    signal ignored if the parent process ignored it, as shells do for background jobs. Finally, the
    signals are unblocked, because a parent process may have left them in the signal mask. This
    comes last because it delivers pending signals.
    """
    for number in ENDING:
        if serving or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _frame: die_by(number))
    if serving:
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*ENDING, *IGNORED})


def die_by(number: int) -> None:
    """End the process at once by a signal, so that the parent process sees the signal's number.

    If the process is PID 1, the kernel ignores the signal. The process then exits with the status
    that a shell would report: 128 plus the number of the signal.
    """
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    signal.raise_signal(number)
    os._exit(EXIT_STATUS_BASE + number)
