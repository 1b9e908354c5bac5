"""`arc-relay start`: assemble and run a relay, from its listeners to its shutdown."""

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
from ..daemon.errors import StartError, start_problem
from ..daemon.listeners import Listeners, display_url, open_listeners, open_tcp
from ..daemon.log_observer import LogObserver, log_settings, log_started, log_stopped
from ..daemon.logging import configure_logging
from ..daemon.metrics import MetricsObserver
from ..daemon.metrics_server import serve_metrics
from ..daemon.nonblocking_handler import NonBlockingHandler
from ..daemon.program import PROGRAM, program_version
from ..daemon.sd_notify import SystemdNotifier
from ..daemon.settings import DaemonSettings
from ..daemon.signals import HANDLED, SignalHandler
from ..daemon.summary import Summary
from ..daemon.tls import CertificateFiles
from ..events import Event, Observer
from ..protocol.errors import leaves
from ..server.serve import serve_relay
from ..server.token_file import read_token
from ..settings import RelaySettings
from .options import options, refuse_unknown_variables, settings_from

__all__ = ["start"]


def start(**given_options: Any) -> None:
    """Run the relay until SIGINT or SIGTERM."""
    refuse_unknown_variables()
    start_settings, relay_settings = settings_from(given_options)
    log = configure_logging(start_settings.log_format, start_settings.log_level)
    raise_descriptor_limit()
    # Collect garbage less often. With the default thresholds, collections took a third of the
    # cost of a new pair, and a closed connection leaves few reference cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    trio.run(run, start_settings, relay_settings, log)


start.__signature__ = options()  # type: ignore[attr-defined]


class Observers:
    """Observer that passes each event to several observers."""

    def __init__(self, *members: Observer) -> None:
        self.members = list(members)

    def on_event(self, event: Event) -> None:
        for member in self.members:
            member.on_event(event)


async def run(
    start_settings: DaemonSettings, relay_settings: RelaySettings, log: FilteringBoundLogger
) -> None:
    """Open the listeners, and run the relay until SIGINT or SIGTERM arrives.

    Raises `StartError` if the relay cannot be started.
    """
    complaint: BaseException | None = None
    address = start_settings.metrics_address
    try:
        tls = load_files(start_settings, relay_settings)
        async with AsyncExitStack() as stack:
            systemd = stack.enter_context(SystemdNotifier())
            scraped = await open_tcp(*address, option="--metrics") if address else []
            close_all(stack, scraped)
            listeners = await open_listeners(start_settings)
            close_all(stack, listeners.listeners)
            # Until here, SIGINT and SIGTERM end the process, and SIGHUP is ignored: a name may
            # resolve slowly. From here on, signals are queued until they are handled. The files may
            # have changed meanwhile: reload the certificate here; `serve_relay` reads the token.
            signals = stack.enter_context(trio.open_signal_receiver(*HANDLED))
            if tls:
                tls.reload()
            await serve(
                start_settings, relay_settings, log, listeners, tls, scraped, signals, systemd
            )
    except* StartError as complaints:
        complaint = next(leaves(complaints))
    if complaint is not None:
        raise complaint


def load_files(
    start_settings: DaemonSettings, relay_settings: RelaySettings
) -> CertificateFiles | None:
    """Load the certificate and its key, if any, and check the token file.

    This happens before a port is open: no client must connect to a relay that cannot start.

    Raises `StartError` if a file cannot be used.
    """
    path = relay_settings.token_file
    try:
        if path:
            read_token(path)
    except (OSError, ValueError) as error:
        raise StartError(start_problem(error)) from None
    return CertificateFiles.of(start_settings.tls_cert, start_settings.tls_key)


def close_all(stack: AsyncExitStack, listeners: Sequence[trio.abc.Listener[Any]]) -> None:
    """Close listeners at the end of a stack, unless they are closed already."""
    for listener in listeners:
        stack.push_async_callback(trio.aclose_forcefully, listener)


async def serve(  # noqa: PLR0913, PLR0917 - everything that `run` opened
    start_settings: DaemonSettings,
    relay_settings: RelaySettings,
    log: FilteringBoundLogger,
    opened: Listeners,
    tls: CertificateFiles | None,
    scraped: Sequence[trio.SocketListener],
    signals: AsyncIterator[int],
    systemd: SystemdNotifier,
) -> None:
    """Run the relay on open listeners until the last connection is closed."""
    listeners = tls.wrap(opened.listeners) if tls else opened.listeners
    places = [display_url(listener) for listener in listeners]
    observers = Observers(LogObserver(log, start_settings.log_addresses))
    relaying = partial(
        serve_relay, listeners=listeners, settings=relay_settings, observer=observers
    )
    async with trio.open_nursery() as nursery:
        try:
            handle = await nursery.start(relaying)
        except (OSError, ValueError) as error:
            raise StartError(f"cannot start: {start_problem(error)}") from None
        version = program_version()
        if scraped:
            metrics = MetricsObserver(handle.statistics, version=version)
            observers.members.append(metrics)
            nursery.start_soon(serve_metrics, scraped, metrics.render)
        # For interactive users. Standard output may be full, broken or closed.
        NonBlockingHandler(sys.stdout).write(
            f"{PROGRAM} listening on {', '.join(places)} (health at /health)"
        )
        urls = [f"{display_url(listener, 'http')}/metrics" for listener in scraped]
        log_started(log, places, version=version, pid=os.getpid(), metrics=urls)
        log_settings(log, start_settings, relay_settings)
        summary = Summary(handle, log, start_settings, relay_settings)
        conduct = SignalHandler(handle, tls, systemd, log, summary)
        await systemd.ready(conduct.status)
        nursery.start_soon(systemd.feed_watchdog)
        nursery.start_soon(conduct.report_status)
        await conduct.wait_for_stop_signal(signals)
        nursery.start_soon(conduct.end_at_once, signals, opened.listeners)
        await systemd.stopping(conduct.status)
        await handle.stop(close_listeners=opened.inherited)
        log_stopped(log)
        nursery.cancel_scope.cancel()
