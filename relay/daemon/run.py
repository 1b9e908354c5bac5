"""Run a relay as a process: open its listeners, serve, and shut down."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import trio
from structlog.typing import FilteringBoundLogger

from ..events import Event, Observer
from ..server.exception_groups import leaves
from ..server.serve import serve_relay
from ..server.token_file import read_token
from ..settings import RelaySettings
from ..transport.descriptor_limit import descriptor_limit
from .effective_limits import effective_limits
from .errors import StartError, start_problem
from .listeners import Listeners, display_url, open_listeners, open_tcp, serves_ipv6
from .log_observer import LogObserver
from .logging import lost_lines
from .metrics_server import serve_metrics
from .nonblocking_handler import NonBlockingHandler
from .process_log import log_limits, log_settings, log_started, log_stopped
from .process_metrics import ProcessStatistics
from .program import PROGRAM, program_version
from .prometheus_export import MetricsObserver
from .reload import Reloader
from .sd_notify import SystemdNotifier
from .settings import DaemonSettings
from .signals import HANDLED, SignalHandler
from .summary import Summary
from .tls import CertificateFiles


class Observers:
    """Observer that passes each event to several observers."""

    def __init__(self, *members: Observer) -> None:
        self.members = list(members)

    def on_event(self, event: Event) -> None:
        for member in self.members:
            member.on_event(event)


async def run(
    daemon_settings: DaemonSettings, relay_settings: RelaySettings, log: FilteringBoundLogger
) -> None:
    """Open the listeners, and run the relay until SIGINT or SIGTERM arrives.

    Raises `StartError` if the relay cannot be started.
    """
    problem: BaseException | None = None
    address = daemon_settings.metrics_address
    given = f"{daemon_settings.option('metrics')} {daemon_settings.metrics}"
    try:
        tls = load_files(daemon_settings, relay_settings)
        async with AsyncExitStack() as stack:
            systemd = stack.enter_context(SystemdNotifier())
            metrics_listeners = await open_tcp(*address, given=given) if address else []
            close_all(stack, metrics_listeners)
            listeners = await open_listeners(daemon_settings)
            close_all(stack, listeners.listeners)
            # Up to here, SIGHUP is ignored, and SIGINT and SIGTERM end the process at once, because
            # a host name may resolve slowly. From here on, signals are queued until they are
            # handled. The files may have changed before an ignored SIGHUP, so the certificate is
            # reloaded here, and `serve_relay` reads the token file again.
            signals = stack.enter_context(trio.open_signal_receiver(*HANDLED))
            if tls:
                tls.reload()
            await serve(
                daemon_settings,
                relay_settings,
                log,
                listeners,
                tls,
                metrics_listeners,
                signals,
                systemd,
            )
    except* StartError as group:
        problem = next(leaves(group))
    if problem is not None:
        raise problem


def load_files(
    daemon_settings: DaemonSettings, relay_settings: RelaySettings
) -> CertificateFiles | None:
    """Load the certificate and its key, if any, and check the token file.

    The caller loads the files before it opens a port, so that no client can connect to a relay that
    then fails to start.

    Raises `StartError` if a file cannot be used.
    """
    path = relay_settings.token_file
    try:
        if path:
            read_token(path)
    except (OSError, ValueError) as error:
        raise StartError(start_problem(error, daemon_settings.option("token_file"))) from None
    return CertificateFiles.of(daemon_settings)


def close_all(stack: AsyncExitStack, listeners: Sequence[trio.abc.Listener[Any]]) -> None:
    """Make ``stack`` close the listeners that are still open when it exits."""
    for listener in listeners:
        stack.push_async_callback(trio.aclose_forcefully, listener)


async def serve(  # noqa: PLR0913, PLR0917 - everything that `run` opened
    daemon_settings: DaemonSettings,
    relay_settings: RelaySettings,
    log: FilteringBoundLogger,
    opened: Listeners,
    tls: CertificateFiles | None,
    metrics_listeners: Sequence[trio.SocketListener],
    signals: AsyncIterator[int],
    systemd: SystemdNotifier,
) -> None:
    """Run the relay on open listeners until a signal stops it and its last connection is closed."""
    listeners = tls.wrap(opened.listeners) if tls else opened.listeners
    urls = [display_url(listener) for listener in listeners]
    token_option = daemon_settings.option("token_file")
    limits_clients = bool(
        relay_settings.max_connections_per_client or relay_settings.max_connects_per_minute
    )
    lines = LogObserver(log, daemon_settings.log_addresses, limits_clients=limits_clients)
    observers = Observers(lines)
    relay = partial(serve_relay, listeners=listeners, settings=relay_settings, observer=observers)
    async with trio.open_nursery() as nursery:
        try:
            handle = await nursery.start(relay)
        except (OSError, ValueError) as error:
            raise StartError(f"cannot start: {start_problem(error, token_option)}") from None
        version = program_version()
        reloader = Reloader(handle, tls, log, relay_settings.token_file, token_option)
        limits = effective_limits(relay_settings, handle.max_connections)
        if metrics_listeners:
            process = partial(process_statistics, limits, reloader)
            metrics = MetricsObserver(handle.statistics, process, version=version)
            observers.members.append(metrics)
            nursery.start_soon(serve_metrics, metrics_listeners, metrics.render, handle.hash_code)
        # This line is for interactive users. It must neither block nor raise an exception if
        # standard output is full, broken or closed.
        NonBlockingHandler(sys.stdout).write(
            f"{PROGRAM} listening on {', '.join(urls)} (health at /health)"
        )
        metrics_urls = [f"{display_url(each, 'http')}/metrics" for each in metrics_listeners]
        log_started(
            log,
            urls,
            version=version,
            pid=os.getpid(),
            ipv6=serves_ipv6(opened.listeners),
            metrics=metrics_urls,
        )
        log_limits(log, limits, descriptors=descriptor_limit())
        reloader.log_files()
        log_settings(log, daemon_settings, relay_settings)
        summary = Summary(handle, log, daemon_settings, relay_settings)
        handler = SignalHandler(handle, reloader, systemd, log, summary)
        await systemd.ready(handler.status)
        nursery.start_soon(systemd.feed_watchdog)
        nursery.start_soon(handler.report_status)
        await handler.wait_for_stop_signal(signals)
        nursery.start_soon(handler.end_at_once, signals, opened.listeners)
        await systemd.stopping(handler.status)
        await handle.stop(close_listeners=opened.inherited)
        log_stopped(log, handle.statistics(), summary.uptime)
        nursery.cancel_scope.cancel()


def process_statistics(limits: Mapping[str, float], reloader: Reloader) -> ProcessStatistics:
    """Take a snapshot of the process for the metrics."""
    return ProcessStatistics(
        limits=limits,
        reload_failures=reloader.failures,
        reload_failed=frozenset(reloader.failed),
        certificate_expiry=reloader.certificate_expiry,
        log_lines_lost=lost_lines(),
    )
