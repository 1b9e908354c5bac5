"""The command that runs a relay."""

from __future__ import annotations

import gc
import logging
import signal
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import trio
import typer

from ..server import serve_relay
from ..settings import RelaySettings
from .options import PROGRAM, options, refuse_unknown_variables, settings_from
from .settings import StartSettings

__all__ = ["start"]


def start(**said: Any) -> None:
    """Run the relay until SIGINT or SIGTERM."""
    refuse_unknown_variables()
    start_settings, relay_settings = settings_from(said)
    logging.basicConfig(format=f"{PROGRAM}: %(message)s", level=logging.WARNING)
    # Connections come and go by the thousand, and what one leaves behind is not worth looking
    # for as eagerly as the defaults do: that took a third of the cost of a new pair.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    trio.run(run, start_settings, relay_settings)


start.__signature__ = options()  # type: ignore[attr-defined]


async def run(start_settings: StartSettings, relay_settings: RelaySettings) -> None:
    """Listen, say so, and serve until a signal comes.

    Raises typer.TyperException, with what to say, if it cannot listen.
    """
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        listeners = await listen(start_settings)
        async with trio.open_nursery() as nursery:
            serve = partial(serve_relay, listeners=listeners, settings=relay_settings)
            handle = await nursery.start(serve)
            name = f"[{handle.host}]" if ":" in handle.host else handle.host
            typer.echo(f"{PROGRAM} listening on ws://{name}:{handle.port} (health at /health)")
            await anext(signals)
            # An impatient second signal, left unread, would end the program by itself.
            nursery.start_soon(ignore, signals)
            await handle.stop()
            nursery.cancel_scope.cancel()


async def listen(settings: StartSettings) -> list[trio.SocketListener]:
    """Open the listeners; raise typer.TyperException, with what to say, if it cannot."""
    host, port = settings.host, settings.port
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise typer.TyperException(
            f"cannot listen on --host {host!r} --port {port}: {why}"
        ) from None


async def ignore(signals: AsyncIterator[int]) -> None:
    """Take signals until cancelled, and do nothing."""
    async for _ in signals:
        pass
