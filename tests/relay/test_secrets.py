"""The representation of no object contains data of clients."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from relay import Event, RelayHandle, RelaySettings, RelayStatistics, serve_relay
from relay.cli.http_client import parse_target
from relay.client.url import parse_url
from relay.daemon.log_observer import LogObserver
from relay.daemon.process_metrics import ProcessStatistics
from relay.daemon.prometheus_export import MetricsObserver
from tests.support.raw_client import BINARY, encode, encode_close, upgrade_request
from tests.support.recorded_events import Log, bare_logging
from tests.support.secret_scenarios import BEHIND, DIRECT, INVENTED, TOKEN, WORD, Clients, payload

SECRETS = re.compile("|".join(map(re.escape, (WORD, DIRECT, BEHIND, INVENTED))))

# Some of the classes of which there must have been objects, or the test says nothing.
EXPECTED = {
    "ClientLimits",
    "Side",
    "AdmissionControl",
    "Reframer",
    "LogObserver",
    "MetricsObserver",
    "Pair",
    "PairEnded",
    "PairJoined",
    "RequestRefused",
    "RelayState",
    "RelayHandle",
    "Rendezvous",
    "SocketTransport",
    "AliveCheck",
    "TrustedProxies",
    "Handshake",
    "Url",
}


@pytest.fixture
def log() -> Iterator[Log]:
    """Return a log in memory of all records, at level debug."""
    with bare_logging():
        yield Log()


class Observers:
    """The observers of the command line, and all events."""

    def __init__(self, log: Log) -> None:
        self.handle: RelayHandle
        self.events: list[Event] = []
        self.metrics = MetricsObserver(self.statistics, ProcessStatistics, version="1")
        self._lines = LogObserver(log.log)

    def statistics(self) -> RelayStatistics:
        """Return the statistics of the relay."""
        return self.handle.statistics()

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        self.metrics.on_event(event)
        self._lines.on_event(event)


def representations() -> dict[str, str]:
    """Return the representations of the relay's objects, by class."""
    found: dict[str, str] = {}
    for each in gc.get_objects():
        kind = type(each)
        if str(kind.__module__).partition(".")[0] == "relay":
            found[kind.__name__] = found.get(kind.__name__, "") + f"{each!r} {each}\n"
    return found


class LastingClients:
    """Clients in every lasting state."""

    def __init__(self, clients: Clients, nursery: trio.Nursery) -> None:
        self._clients = clients
        self._nursery = nursery

    async def connect_all(self) -> None:
        """Connect all clients."""
        clients = self._clients
        left, peer = await clients.pair("left")
        await left.send(encode_close(1000, f"{WORD}-reason"))
        await peer.closed()
        _, status = await clients.upgrade("new", authorization=f"Bearer {WORD}")
        assert status == 401
        lone = await clients.join("lone", direct=True)
        await lone.send(encode(BINARY, payload()) + encode(BINARY, payload())[:20])
        source, _ = await clients.pair("stuck")
        self._nursery.start_soon(source.send, encode(BINARY, payload(2**24)))
        closing, _ = await clients.pair("closing")
        await closing.send(encode_close(1000, f"{WORD}-reason"))
        violating, _ = await clients.pair("violated")
        await violating.send(encode(BINARY, payload(), mask=False))
        unfinished = await clients.connect()
        await unfinished.send(upgrade_request(f"/?pair={WORD}", x_forwarded_for=INVENTED)[:-3])
        refused = await clients.connect()
        await refused.send(upgrade_request(f"/{WORD}"))
        await clients.pair("dead")
        self._nursery.start_soon(clients.upgrade, "dead")

    @staticmethod
    def are_connected(events: list[Event], now: dict[str, str]) -> bool:
        """Return True if the relay has all clients in its tables."""
        return len(events) >= 10 and "AliveCheck" in now


async def test_representations(
    tmp_path: Path, nursery: trio.Nursery, time_limit: None, log: Log
) -> None:
    """No object of the relay shows data or addresses of clients, in any state of a side."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    settings = RelaySettings(
        ping_interval=0,
        stall_timeout=0,
        takeover_timeout=30,
        close_timeout=30,
        trusted_proxies=("127.0.0.1",),
        token_file=str(token),
        max_connections_per_client=100,
        max_connects_per_minute=100,
    )
    observers = Observers(log)
    serve = partial(serve_relay, host="127.0.0.1", port=0, settings=settings, observer=observers)
    observers.handle = await nursery.start(serve)
    urls = [parse_url(f"wss://relay.example/?pair={WORD}"), parse_target(f"ws://h/?token={WORD}")]
    async with Clients(observers.handle.port) as clients, trio.open_nursery() as tasks:
        lasting = LastingClients(clients, tasks)
        await lasting.connect_all()
        shown = representations()
        while not lasting.are_connected(observers.events, shown):
            await trio.sleep(0.01)
            shown = representations()
        assert shown.keys() >= EXPECTED
        shown["statistics"] = repr(observers.handle.statistics())
        tasks.cancel_scope.cancel()
    shown["log"] = log.text()
    shown["metrics"] = observers.metrics.render().decode()
    assert {name: text for name, text in shown.items() if SECRETS.search(text)} == {}
    assert len(urls) == 2
