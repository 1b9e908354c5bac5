"""Shipped files of the proxies, with the real programs, TLS, and several relays."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from relay.client.link import Link
from relay.client.link_file import create_link_file
from tests.support.raw_client import CLOSE

from .certificates import HOST, Certificate
from .clients import FORGED, GONE, Entry, Side, each, exchange
from .fleet import Fleet, free_ports
from .names import probe, relay_command
from .programs import find_program
from .proxies import PROXIES
from .proxy import Proxy
from .world import World

pytestmark = pytest.mark.deploy

RELAYS = 4
DRAIN_DELAY = 3.0
SESSION_DATA = bytes(range(256)) * 4096
SECONDS = 40.0
"""Maximum number of seconds of a session."""
AGAIN = 5.0
"""Maximum number of seconds until every code of a dead relay works again."""


@pytest.fixture(params=PROXIES, ids=lambda proxy: proxy.name)
def kind(request: pytest.FixtureRequest) -> type[Proxy]:
    """Return each kind of proxy."""
    kind: type[Proxy] = request.param
    return kind


@pytest.fixture
def program(kind: type[Proxy]) -> Path:
    """Return its program, whose installation may take long; no time limit runs yet."""
    return find_program(kind.name)


Build = Callable[..., World]


@pytest.fixture
async def build(kind: type[Proxy], program: Path, time_limit: None) -> AsyncIterator[Build]:
    """Return a function that makes a stopped world; at the end, no log of it may have a code."""
    worlds: list[World] = []
    # Not where tests usually write: the proxies' processes, too, must be able to reach it.
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)  # noqa: ASYNC240

        def make(*options: str) -> World:
            ports = free_ports(3 + RELAYS + 1)
            certificate = Certificate.issue(directory)
            proxy = kind(program, directory, certificate, ports[:3])
            entry = Entry(proxy.port, certificate.trust)
            fleet = Fleet(directory, options)
            worlds.append(World(proxy, fleet, entry, ports[3:]))
            return worlds[-1]

        try:
            yield make
        finally:
            for world in worlds:
                await world.entry.hang_up()
                world.proxy.stop()
                world.fleet.kill()
        for world in worlds:
            logs = world.proxy.logs()
            assert not [code for code in world.entry.codes if code in logs]


@pytest.fixture
async def world(build: Build) -> World:
    """Return four relays behind a proxy."""
    world = build("--drain-delay", str(DRAIN_DELAY))
    await world.fleet.add(world.ports[:RELAYS])
    await world.proxy.start(world.fleet.ports)
    return world


async def test_sides_of_a_code_reach_one_relay(world: World) -> None:
    """Both sides of any code reach one relay, with their own addresses despite forged headers."""
    a, b = world.sources(1000), world.sources(1000)
    await each(world.entry.meet, world.codes(1000), a, b)
    found = await world.fleet.whereabouts(a + b)
    assert [found[source] for source in a] == [found[source] for source in b]
    shares = [list(found.values()).count(relay) / 2000 for relay in world.fleet.relays]
    assert min(shares) > 0.5 / RELAYS
    assert not any(FORGED in relay.log.read_text() for relay in world.fleet.relays)
    world.proxy.stop()
    assert world.proxy.logs().count("GET") > 1900  # where `build` will look for codes


async def test_probe_succeeds(build: Build) -> None:
    """With one relay and the shipped file, a probe succeeds."""
    world = build()
    await world.fleet.add(world.ports[:1])
    await world.proxy.start(world.fleet.ports)
    (code,) = world.codes(1)
    world.entry.codes.add(code)
    url = f"wss://{HOST}:{world.proxy.port}/?pair={code}"
    authority = world.proxy.certificate.authority
    done = await trio.to_thread.run_sync(probe, url, authority, world.proxy.directory)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_session(build: Build) -> None:
    """A session of `share` and `pipe` works through the proxy, and the link is in no log of it."""
    world = build()
    await world.fleet.add(world.ports[:1])
    await world.proxy.start(world.fleet.ports)
    link = Link.new(f"wss://{HOST}:{world.proxy.port}/")
    world.entry.codes.add(link.code)
    directory = world.proxy.directory
    create_link_file(str(directory / "link"), link)
    trust = ("--ca", world.proxy.certificate.authority)
    received = await trio.to_thread.run_sync(session, directory, trust)
    assert received == SESSION_DATA


def session(directory: Path, trust: Sequence[str | Path]) -> bytes:
    """Return the bytes that a host with `cat` sends back to a guest."""
    file = directory / "link"
    host = relay_command(directory, "share", "--link-file", file, *trust, "--", "cat")
    try:
        guest = relay_command(
            directory, "pipe", *trust, f"@{file}", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            return guest.communicate(SESSION_DATA, timeout=SECONDS)[0]
        finally:
            guest.kill()
            guest.wait()
    finally:
        host.terminate()
        host.wait()


async def test_relay_crashes_and_returns(world: World) -> None:
    """Clients of other relays do not notice; the codes of the dead relay work elsewhere."""
    codes = world.codes(400)
    homes = await world.locate(codes)
    victim = world.fleet.relays[0]
    pairs = await world.hold(codes[:40])
    victim.kill()
    killed = trio.current_time()
    dead = [code for code, home in zip(codes, homes, strict=True) if home is victim]
    a, b = world.sources(len(dead)), world.sources(len(dead))
    await each(world.entry.insist, dead, a, b)
    assert trio.current_time() - killed < AGAIN

    for pair, home in zip(pairs, homes, strict=False):
        if home is victim:
            with pytest.raises(GONE):
                await pair[0].event()
        else:
            await exchange(*pair)
    alive = [code for code, home in zip(codes, homes, strict=True) if home is not victim]
    now = await world.locate(alive)
    stayed = [home for home in homes if home is not victim]
    moved = sum(new is not old for new, old in zip(now, stayed, strict=True))
    assert moved <= world.proxy.disturbed * len(alive)

    lone = dead[:20]
    waiting = [
        await world.entry.join(code, source)
        for code, source in zip(lone, world.sources(len(lone)), strict=True)
    ]
    await victim.start()
    await world.has_codes(victim)
    if world.proxy.remembers:
        for side, code, source in zip(waiting, lone, world.sources(len(lone)), strict=True):
            await world.find(side, code, source)
    more = world.codes(100)
    await each(world.entry.meet, more, world.sources(100), world.sources(100))


async def test_fifth_relay_takes_its_share(world: World) -> None:
    """About a fifth of the codes move to the new relay; open pairs survive the reload."""
    codes = world.codes(600)
    before = await world.locate(codes)
    pairs = await world.hold(world.codes(20))
    await world.fleet.add(world.ports[RELAYS:])
    # One that has just started tells its successor nothing: it may still learn itself.
    await trio.sleep(world.proxy.learning)
    world.proxy.reload(world.fleet.ports)
    fifth = world.fleet.relays[-1]
    await world.has_codes(fifth)
    await trio.sleep(0.5)  # for what served before to be out of the way
    after = await world.locate(codes)
    ideal = len(codes) / (RELAYS + 1)
    moved = sum(new is not old for new, old in zip(after, before, strict=True))
    assert moved < (1 if world.proxy.remembers else 1.3 * ideal)
    new = await world.locate(world.codes(300))
    assert 0.5 < new.count(fifth) / len(new) * (RELAYS + 1) < 1.5
    for pair in pairs:
        await exchange(*pair)


async def test_relay_drains(world: World) -> None:
    """No new pair fails; open pairs go on until the relay closes them."""
    codes = world.codes(24)
    homes = await world.locate(codes)
    pairs = await world.hold(codes)
    draining = world.fleet.relays[1]
    begun = trio.current_time()
    draining.drain()

    async def use_new_codes() -> None:
        """Join pairs on new codes until the drained relay has ended, and for a while longer."""
        sources = world.sources(2)
        while trio.current_time() - begun < DRAIN_DELAY + 2:
            await world.entry.meet(world.codes(1)[0], *sources)

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(use_new_codes)
        await trio.sleep(DRAIN_DELAY / 2)
        for pair in pairs:
            await exchange(*pair)
        for pair, home in zip(pairs, homes, strict=True):
            if home is draining:
                for side in pair:
                    nursery.start_soon(partial(wait_for_stop, side))
    assert await draining.ended() == 0
    for pair, home in zip(pairs, homes, strict=True):
        if home is not draining:
            await exchange(*pair)


async def wait_for_stop(side: Side) -> None:
    """Wait until a side is closed because its relay stops."""
    assert await side.closed() == (1001, "relay stopping")


async def ended(side: Side) -> None:
    """Wait until a side is disconnected, or closed because its peer was."""
    with suppress(*GONE):
        assert (await side.event()).opcode == CLOSE


@pytest.mark.parametrize("interval", [0.5, 0])
async def test_pings_keep_a_silent_websocket_open(build: Build, interval: float) -> None:
    """A proxy with an idle limit closes a silent WebSocket, but not one with pings."""
    world = build("--ping-interval", str(interval))
    world.proxy.changes = dict(world.proxy.idle)
    await world.fleet.add(world.ports[:1])
    await world.proxy.start(world.fleet.ports)
    [(a, b)] = await world.hold(world.codes(1))
    if world.proxy.idle and not interval:
        with trio.fail_after(8):
            await ended(a)
        return
    async with trio.open_nursery() as nursery:
        arrived = trio.Event()

        async def listen(side: Side, expected: bytes) -> None:
            assert (await side.event()).payload == expected
            arrived.set()

        nursery.start_soon(listen, b, b"after all")
        with trio.move_on_after(4):
            await a.event()
            pytest.fail("it ended")
        await a.send_message(b"after all")
        await arrived.wait()
