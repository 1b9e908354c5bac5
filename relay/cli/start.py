"""The command that runs a relay: what it consists of, from its listeners to its end."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import trio
from structlog.typing import FilteringBoundLogger

from ..daemon.descriptors import raise_descriptor_limit
from ..daemon.errors import Complaint, start_problem
from ..daemon.listeners import Opened, describe, open_listeners, open_tcp
from ..daemon.log_observer import LogObserver, say_settings, say_started, say_stopped
from ..daemon.logging import configure_logs
from ..daemon.metrics import MetricsObserver
from ..daemon.metrics_server import serve_metrics
from ..daemon.nonblocking_handler import LineWriter
from ..daemon.program import PROGRAM, program_version
from ..daemon.sd_notify import Supervisor
from ..daemon.settings import StartSettings
from ..daemon.signals import HANDLED, Conduct
from ..daemon.summary import Summary
from ..daemon.tls import TlsFiles
from ..events import Event, Observer
from ..protocol.errors import leaves
from ..server.serve import serve_relay
from ..server.token_file import read_token
from ..settings import RelaySettings
from .options import options, refuse_unknown_variables, settings_from

__all__ = ["start"]


def start(**said: Any) -> None:
    """Run the relay until SIGINT or SIGTERM."""
    refuse_unknown_variables()
    start_settings, relay_settings = settings_from(said)
    log = configure_logs(start_settings.log_format, start_settings.log_level)
    raise_descriptor_limit()
    # Connections come and go by the thousand, and what one leaves behind is not worth looking
    # for as eagerly as the defaults do: that took a third of the cost of a new pair.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    trio.run(run, start_settings, relay_settings, log)


start.__signature__ = options()  # type: ignore[attr-defined]


class Observers:
    """Shows each event to several observers."""

    def __init__(self, *members: Observer) -> None:
        self.members = list(members)

    def notice(self, event: Event) -> None:
        for member in self.members:
            member.notice(event)


async def run(
    start_settings: StartSettings, relay_settings: RelaySettings, log: FilteringBoundLogger
) -> None:
    """Listen, say so, and serve until SIGINT or SIGTERM arrives.

    Raises `Complaint` if the relay cannot be started.
    """
    complaint: BaseException | None = None
    address = start_settings.metrics_address
    try:
        tls = load_files(start_settings, relay_settings)
        async with AsyncExitStack() as stack:
            supervisor = stack.enter_context(Supervisor())
            scraped = await open_tcp(*address, option="--metrics") if address else []
            close_all(stack, scraped)
            opened = await open_listeners(start_settings)
            close_all(stack, opened.listeners)
            # A name can take long to resolve, so until here a signal ends the process, and SIGHUP
            # is ignored. From here on signals are kept until they are handled. What may have been
            # replaced meanwhile is read again, TLS here and the token by `serve_relay`.
            signals = stack.enter_context(trio.open_signal_receiver(*HANDLED))
            if tls:
                tls.reload()
            await serve(
                start_settings, relay_settings, log, opened, tls, scraped, signals, supervisor
            )
    except* Complaint as complaints:
        complaint = next(leaves(complaints))
    if complaint is not None:
        raise complaint


def load_files(start_settings: StartSettings, relay_settings: RelaySettings) -> TlsFiles | None:
    """Return the files of TLS, if any, and check that of the token.

    That is done before a port is open: a client must not connect to a relay that cannot start.

    Raises `Complaint` if a file cannot be used.
    """
    path = relay_settings.host_token_file
    try:
        if path:
            read_token(path)
    except (OSError, ValueError) as error:
        raise Complaint(start_problem(error)) from None
    return TlsFiles.of(start_settings.tls_cert, start_settings.tls_key)


def close_all(stack: AsyncExitStack, listeners: Sequence[trio.abc.Listener[Any]]) -> None:
    """Have listeners closed at the end of a stack, if nothing closed them before."""
    for listener in listeners:
        stack.push_async_callback(trio.aclose_forcefully, listener)


async def serve(  # noqa: PLR0913, PLR0917 - all that `run` opened
    start_settings: StartSettings,
    relay_settings: RelaySettings,
    log: FilteringBoundLogger,
    opened: Opened,
    tls: TlsFiles | None,
    scraped: Sequence[trio.SocketListener],
    signals: AsyncIterator[int],
    supervisor: Supervisor,
) -> None:
    """Serve on open listeners until the end of the last connection."""
    listeners = tls.wrap(opened.listeners) if tls else opened.listeners
    places = [describe(listener) for listener in listeners]
    observers = Observers(LogObserver(log, start_settings.log_addresses))
    relaying = partial(
        serve_relay, listeners=listeners, settings=relay_settings, observer=observers
    )
    async with trio.open_nursery() as nursery:
        try:
            handle = await nursery.start(relaying)
        except (OSError, ValueError) as error:
            raise Complaint(f"cannot start: {start_problem(error)}") from None
        version = program_version()
        if scraped:
            metrics = MetricsObserver(handle.statistics, version=version)
            observers.members.append(metrics)
            nursery.start_soon(serve_metrics, scraped, metrics.render)
        # A courtesy: standard output may be full, broken or closed.
        LineWriter(sys.stdout).write(
            f"{PROGRAM} listening on {', '.join(places)} (health at /health)"
        )
        urls = [f"{describe(listener, 'http')}/metrics" for listener in scraped]
        say_started(log, places, version=version, pid=os.getpid(), metrics=urls)
        say_settings(log, start_settings, relay_settings)
        summary = Summary(handle, log, start_settings, relay_settings)
        conduct = Conduct(handle, tls, supervisor, log, summary)
        await supervisor.ready(conduct.status)
        nursery.start_soon(supervisor.feed_watchdog)
        nursery.start_soon(conduct.report_status)
        await conduct.wait_for_the_end(signals)
        nursery.start_soon(conduct.end_at_once, signals, opened.listeners)
        await supervisor.stopping(conduct.status)
        await handle.stop(accepting=not opened.inherited)
        say_stopped(log)
        nursery.cancel_scope.cancel()
