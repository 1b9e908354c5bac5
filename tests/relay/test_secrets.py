"""What clients say is in the representation of no object."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from relay import Event, RelayHandle, RelaySettings, RelayStatistics, serve_relay
from relay.cli.url import parse_target, parse_url
from relay.daemon.log_observer import LogObserver
from relay.daemon.metrics import MetricsObserver
from relay.daemon.process_metrics import ProcessStatistics
from tests.support.raw_client import BINARY, encode, encode_close, upgrade_request
from tests.support.recorded_events import Log, bare_logging
from tests.support.secret_scenarios import BEHIND, DIRECT, INVENTED, TOKEN, WORD, Visitors, payload

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
    """Return a log in memory, for all that is logged, at level debug."""
    with bare_logging():
        yield Log()


class Observers:
    """The observers of the command line, and all events that there were."""

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
    """Return how the objects of the relay's classes show themselves, by class."""
    found: dict[str, str] = {}
    for each in gc.get_objects():
        kind = type(each)
        if str(kind.__module__).partition(".")[0] == "relay":
            found[kind.__name__] = found.get(kind.__name__, "") + f"{each!r} {each}\n"
    return found


class Crowd:
    """Clients in every state that lasts."""

    def __init__(self, visitors: Visitors, nursery: trio.Nursery) -> None:
        self._visitors = visitors
        self._nursery = nursery

    async def come(self) -> None:
        """Have all of them come."""
        visitors = self._visitors
        left, peer = await visitors.pair("left")
        await left.send(encode_close(1000, f"{WORD}-reason"))
        await peer.closed()
        _, status = await visitors.ask("new", authorization=f"Bearer {WORD}")
        assert status == 401
        lone = await visitors.join("lone", direct=True)
        await lone.send(encode(BINARY, payload()) + encode(BINARY, payload())[:20])
        source, _ = await visitors.pair("stuck")
        self._nursery.start_soon(source.send, encode(BINARY, payload(2**24)))
        closing, _ = await visitors.pair("closing")
        await closing.send(encode_close(1000, f"{WORD}-reason"))
        offender, _ = await visitors.pair("offended")
        await offender.send(encode(BINARY, payload(), mask=False))
        at_door = await visitors.connect()
        await at_door.send(upgrade_request(f"/?pair={WORD}", x_forwarded_for=INVENTED)[:-3])
        refused = await visitors.connect()
        await refused.send(upgrade_request(f"/{WORD}"))
        await visitors.pair("ghosts")
        self._nursery.start_soon(visitors.ask, "ghosts")

    @staticmethod
    def is_there(events: list[Event], now: dict[str, str]) -> bool:
        """Return whether the relay knows of all of them."""
        return len(events) >= 10 and "AliveCheck" in now


async def test_representations(
    tmp_path: Path, nursery: trio.Nursery, time_limit: None, log: Log
) -> None:
    """No object of the relay shows what clients said or where they are, in any state of a side."""
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
    async with Visitors(observers.handle.port) as visitors, trio.open_nursery() as clients:
        crowd = Crowd(visitors, clients)
        await crowd.come()
        shown = representations()
        while not crowd.is_there(observers.events, shown):
            await trio.sleep(0.01)
            shown = representations()
        assert shown.keys() >= EXPECTED
        shown["statistics"] = repr(observers.handle.statistics())
        clients.cancel_scope.cancel()
    shown["log"] = log.text()
    shown["metrics"] = observers.metrics.render().decode()
    assert {name: text for name, text in shown.items() if SECRETS.search(text)} == {}
    assert len(urls) == 2
