"""Summary of a relay in the log, after SIGUSR1."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from relay import RelaySettings
from relay.daemon.settings import DaemonSettings
from relay.daemon.summary import Summary
from tests.support.process import LOOPBACK, run_program
from tests.support.recorded_events import Log, bare_logging
from tests.support.running_relay import WatchedRelay, exchange, running

ADDRESSES = ("127.0.0.2", "127.0.0.3")


@pytest.fixture(autouse=True)
def _bare_logging() -> Iterator[None]:
    with bare_logging():
        yield


async def lines(relay: WatchedRelay, log: Log, **settings: Any) -> list[dict[str, Any]]:
    """Return the lines of the summary of a relay that is 10 s old."""
    limits = RelaySettings(max_waiting=7, max_bytes_per_second=9)
    summary = Summary(relay.handle, log.log, DaemonSettings(**settings), limits)
    await trio.sleep(10)
    await summary.write()
    return log.lines()


async def test_summary(autojump_clock: MockClock) -> None:
    """One line has the statistics, and the effective limits."""
    async with running(max_connections=50) as relay:
        await exchange(await relay.join("code"), await relay.join("code"))
        await relay.join("alone")
        assert await lines(relay, Log()) == [
            {
                "level": "info",
                "event": "summary",
                "uptime": 10.0,
                "pairs": 2,
                "waiting": 1,
                "connections": 3,
                "bytes_a": 7,
                "bytes_b": 7,
                "max_connections": 50,
                "max_waiting": 7,
                "max_bytes_per_second": 9,
            }
        ]


async def test_pairs(autojump_clock: MockClock) -> None:
    """At level debug each pair has a line, without its code or an address."""
    async with running() as relay:
        await relay.join("alone")
        await trio.sleep(2)
        await exchange(await relay.join("code"), await relay.join("code"))
        _, alone, joined = await lines(relay, Log(), log_level="debug")
        hashes = [relay.inside.hash_code(code) for code in ("alone", "code")]
    assert alone == {
        "level": "debug",
        "event": "pair",
        "pair": hashes[0],
        "state": "waiting",
        "age": 12.0,
        "bytes_a": 0,
        "bytes_b": 0,
    }
    assert joined == alone | {
        "pair": hashes[1],
        "state": "joined",
        "age": 10.0,
        "bytes_a": 7,
        "bytes_b": 7,
    }


@pytest.mark.parametrize(("shown", "addresses"), [("off", ()), ("full", ADDRESSES)])
async def test_addresses(time_limit: None, shown: str, addresses: tuple[str, ...]) -> None:
    """The lines have addresses as far as other log lines do."""
    log = Log()
    async with running(listeners=await trio.open_tcp_listeners(0, host="127.0.0.1")) as relay:
        for address in ADDRESSES:
            client = await relay.connect_from(address)
            assert (await client.upgrade("/?pair=code")).status == 101
        settings = DaemonSettings(log_level="debug", log_addresses=shown)
        await Summary(relay.handle, log.log, settings, RelaySettings()).write()
        await relay.disconnect_all()
    _, pair = log.lines()
    assert [pair[name] for name in ("client_a", "client_b") if name in pair] == [*addresses]


async def test_signals(tmp_path: Path, time_limit: None) -> None:
    """SIGUSR1 writes the summary, SIGUSR2 does nothing, and the relay goes on."""
    options = (*LOOPBACK, "--max-waiting", "3")
    async with run_program(*options, log=tmp_path / "log") as program:
        program.process.send_signal(signal.SIGUSR2)
        program.process.send_signal(signal.SIGUSR1)
        line = await program.line("event=summary", "pairs=0", "max_waiting=3")
        assert "max_connections=" in line
