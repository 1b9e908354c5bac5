"""The command that runs a relay: what it consists of, from its listeners to its end."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import trio
import typer
from structlog.typing import FilteringBoundLogger

from ..errors import leaves
from ..events import Event, Observer
from ..server import serve_relay
from ..settings import RelaySettings
from .complaint import Complaint
from .descriptors import raise_descriptor_limit
from .listening import describe, open_listeners, open_tcp
from .log_lines import LogObserver, say_settings, say_started, say_stopped
from .logs import configure_logs
from .metrics import MetricsObserver
from .notify import Supervisor
from .options import PROGRAM, options, refuse_unknown_variables, settings_from
from .scraping import serve_metrics
from .settings import StartSettings
from .signals import Conduct
from .tls import TlsFiles

__all__ = ["start"]

VERSION: Final = version(PROGRAM)


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
    """Listen, say so, and serve until a signal comes.

    Raises `Complaint` if that cannot be.
    """
    complaint: BaseException | None = None
    signals = trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    with signals as received, Supervisor() as supervisor:
        try:
            await serve(start_settings, relay_settings, log, received, supervisor)
        except* Complaint as complaints:
            complaint = next(leaves(complaints))
    if complaint is not None:
        raise complaint


async def serve(
    start_settings: StartSettings,
    relay_settings: RelaySettings,
    log: FilteringBoundLogger,
    signals: AsyncIterator[int],
    supervisor: Supervisor,
) -> None:
    """Serve, from opening the listeners to the end of the last connection."""
    tls = TlsFiles.of(start_settings.tls_cert, start_settings.tls_key)
    address = start_settings.metrics_address
    scraped = await open_tcp(*address, option="--metrics") if address else []
    opened = await open_listeners(start_settings)
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
            unfit = "use --host-token-file" if getattr(error, "filename", "-") else "start"
            raise Complaint(f"cannot {unfit}: {error}") from None
        if scraped:
            metrics = MetricsObserver(handle.statistics, version=VERSION)
            observers.members.append(metrics)
            nursery.start_soon(serve_metrics, scraped, metrics.render)
        typer.echo(f"{PROGRAM} listening on {', '.join(places)} (health at /health)")
        urls = [f"{describe(listener, 'http')}/metrics" for listener in scraped]
        say_started(log, places, version=VERSION, pid=os.getpid(), metrics=urls)
        say_settings(log, start_settings, relay_settings)
        conduct = Conduct(handle, tls, supervisor, log)
        await supervisor.ready(conduct.status)
        nursery.start_soon(supervisor.feed_watchdog)
        nursery.start_soon(conduct.report_status)
        await conduct.wait_for_the_end(signals)
        nursery.start_soon(conduct.end_at_once, signals, listeners)
        await supervisor.stopping(conduct.status)
        await handle.stop(accepting=not opened.inherited)
        say_stopped(log)
        nursery.cancel_scope.cancel()
