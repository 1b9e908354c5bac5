"""Run a command until it ends, fails or gets a signal, and return its exit status."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from ...daemon.signal_dispositions import EXIT_STATUS_BASE
from ...server.exception_groups import leaves
from ..errors import print_error
from .failures import KNOWN, explain

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end a command. Before it exits, it ends its sessions and its child processes."""

Main = Callable[[], Awaitable[None]]


async def run_main(main: Main) -> int:
    """Await a command, print an error message if it fails, and return the exit status.

    A signal that was already ignored at the start of the program stays ignored. For example, some
    shells start background jobs with SIGINT ignored. Further signals do not interrupt the end of
    the sessions and processes, which takes at most 10 seconds.
    """
    number = 0
    failures: list[BaseException] = []
    wanted = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    scope = trio.CancelScope()

    async def receive_signals(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal number
        with trio.open_signal_receiver(*wanted) as signals:
            task_status.started()
            async for each in signals:
                number = number or each
                scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            if wanted:
                await nursery.start(receive_signals)
            with scope:
                await main()
            nursery.cancel_scope.cancel()
    except* KNOWN as group:
        failures += leaves(group)
    if number:
        return EXIT_STATUS_BASE + number
    if failures:
        status, text = explain(failures[0])
        if text:
            print_error(text)
        return status
    return 0
