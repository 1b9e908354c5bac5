"""Runs over real sockets, in real time: TCP, a Unix socket and TLS at one relay.

Each client sends an address of its own in X-Forwarded-For, by which the relay's side is found.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import trio
import trustme

from relay.daemon.tls import CertificateFiles
from relay.daemon.unix_listener import open_unix
from relay.pairing.side import Side

from .history import History
from .network import Connection, Network
from .plan import MAX_MESSAGE, ClientPlan, Plan, make_plan
from .run import run_on

TIME_SCALE: Final = 0.1
"""Factor for the times of a plan in real time."""

STOP_AT: Final = 1.5
"""Time in seconds at which the relay stops."""

SETTINGS: Final = {
    "close_timeout": 5.0,
    "pair_ttl": 300.0,
    "ping_interval": 20.0,
    "max_message_size": MAX_MESSAGE,
    "trusted_proxies": ("unix", "127.0.0.0/8", "10.0.0.0/8"),
}
"""Settings of the runs in real time. No timeout expires within a run, even on a busy machine."""

SLACK: Final = 15.0
"""Seconds by which a busy machine may delay an end."""

KINDS: Final = ("tcp", "unix", "tls")
"""Kinds of sockets; the index of a client decides its kind."""

HANG_UP: Final = {
    "tcp": set[str](),
    "unix": {"reset"},
    "tls": {"half-close"},
    "link": {"vanish"},  # each such client would delay the end of the run by ``close_timeout``
}
"""Ends that become a close of both directions, mostly because the socket cannot express them."""

Dial = Callable[[ClientPlan], Awaitable[trio.abc.Stream]]
"""Function that opens the stream of a client."""


class SocketNetwork(Network):
    """Network of real sockets."""

    def __init__(self, listeners: Sequence[trio.abc.Listener[Any]], dial: Dial) -> None:
        super().__init__()
        self.listeners = listeners
        self._dial = dial
        self._opened: list[trio.abc.Stream] = []
        self.vanish: Callable[[ClientPlan], None] = lambda _: None
        """Function that is called when a client vanishes."""

    async def connect(self, client: ClientPlan) -> Connection:
        stream = await self._dial(client)
        self._opened.append(stream)
        high, low = divmod(client.index, 256)
        header = f"X-Forwarded-For: 198.18.{high}.{low}\r\n"
        return Connection(stream, partial(reset, stream), partial(self.vanish, client), header)

    def index_of(self, side: Side) -> int:
        high, low = side.client.split(".")[2:]
        return int(high) * 256 + int(low)

    async def aclose(self) -> None:
        """Close the streams of the clients that vanished."""
        for stream in self._opened:
            await trio.aclose_forcefully(stream)


async def reset(stream: trio.abc.Stream) -> None:
    """Reset a TCP connection, also below TLS."""
    below: Any = getattr(stream, "transport_stream", stream)
    below.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await trio.aclose_forcefully(stream)


@asynccontextmanager
async def open_sockets() -> AsyncIterator[SocketNetwork]:
    """Open a network with three listeners. The two sides of a pair often have different kinds."""
    plain, below_tls = [(await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] for _ in range(2)]
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "relay.sock")
        files, context = make_certificate(Path(folder))
        (tls,) = files.wrap([below_tls])

        async def dial(client: ClientPlan) -> trio.abc.Stream:
            kind = KINDS[client.index % len(KINDS)]
            if kind == "unix":
                return await trio.open_unix_socket(path)
            port = (plain if kind == "tcp" else below_tls).socket.getsockname()[1]
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            if kind == "tcp":
                return stream
            return trio.SSLStream(stream, context, server_hostname="localhost")

        network = SocketNetwork([plain, open_unix(path, 0o600), tls], dial)
        try:
            yield network
        finally:
            await network.aclose()


def make_certificate(folder: Path) -> tuple[CertificateFiles, ssl.SSLContext]:
    """Return the relay's certificate, in a folder, and a client context that trusts it."""
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", key_type=trustme.KeyType.ECDSA)
    cert, key = folder / "cert.pem", folder / "key.pem"
    leaf.cert_chain_pems[0].write_to_path(cert)
    leaf.private_key_pem.write_to_path(key)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return CertificateFiles(str(cert), str(key)), context


def make_real_plan(seeds: range, kinds: Sequence[str] = KINDS) -> Plan:
    """Return a plan for real time: the clients of many seeds, with different codes, at one relay.

    A client's kind of socket is that of its index, in turn.
    """
    indexes, clients, stop = count(), list[ClientPlan](), make_plan(seeds[0]).stop
    for seed in seeds:
        for client in make_plan(seed).clients:
            index = next(indexes)
            clients.append(in_real_time(client, index, seed, HANG_UP[kinds[index % len(kinds)]]))
    return Plan(seeds[0], tuple(clients), dict(SETTINGS), stop, STOP_AT, SLACK)


def in_real_time(client: ClientPlan, index: int, seed: int, unknown: set[str]) -> ClientPlan:
    """Return a client with shorter times, which hangs up instead of the ``unknown`` operations."""
    ops = [op._replace(seconds=op.seconds * TIME_SCALE) for op in client.ops]
    return replace(
        client,
        index=index,
        code=f"{seed}-{client.code}",
        start=client.start * TIME_SCALE,
        read_pause=client.read_pause * TIME_SCALE,
        ops=tuple(op._replace(kind="hang up") if op.kind in unknown else op for op in ops),
    )


async def run_on_sockets(seeds: range) -> History:
    """Run the clients of many seeds over real sockets."""
    async with open_sockets() as network:
        return await run_on(make_real_plan(seeds), network)
