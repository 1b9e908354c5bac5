"""Limits for one client, and its address, also behind proxies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from relay import PairEnded, RequestRefused
from relay.daemon.unix_listener import open_unix
from tests.support.raw_client import Client, encode_close, upgrade_request
from tests.support.requests import with_lines
from tests.support.running_relay import exchange, running

TOO_MANY = (429, "too many connections from this client")
BAD_CODE = "missing or invalid pair code"
TOO_OFTEN = (429, "too many attempts from this client")


async def on_tcp(host: str = "127.0.0.1") -> list[trio.SocketListener]:
    """Return listeners on a free port."""
    return await trio.open_tcp_listeners(0, host=host)


async def join(client: Client, code: str, *lines: str) -> Client:
    """Join a client whose head has these additional lines."""
    await client.send(with_lines(upgrade_request(f"/?pair={code}"), *lines))
    assert (await client.response()).status == 101
    return client


def forwarded(*entries: str) -> str:
    """Return the header line that a proxy adds."""
    return f"X-Forwarded-For: {', '.join(entries)}"


class TestMaxPerClient:
    """Concurrent connections of one client."""

    async def test_by_address(self, time_limit: None) -> None:
        """Each address has its own number of sides, and a side that leaves makes room."""
        async with running(listeners=await on_tcp(), max_connections_per_client=2) as relay:
            one = await join(await relay.connect_from("127.0.0.2"), "one")
            await join(await relay.connect_from("127.0.0.2"), "two")
            response = await relay.refused(*TOO_MANY, client=await relay.connect_from("127.0.0.2"))
            assert response.headers["retry-after"] == "5"
            await exchange(one, await join(await relay.connect_from("127.0.0.3"), "one"))
            await relay.refused(
                *TOO_MANY, "/?pair=two", client=await relay.connect_from("127.0.0.2")
            )
            await relay.disconnect(one)
            await join(await relay.connect_from("127.0.0.2"), "one")
            await relay.refused(*TOO_MANY, client=await relay.connect_from("127.0.0.2"))

    async def test_refused_clients_are_not_counted(self, time_limit: None) -> None:
        """A connection that was refused for another reason does not count."""
        async with running(listeners=await on_tcp(), max_connections_per_client=1) as relay:
            await join(await relay.connect_from("127.0.0.2"), "code")
            await join(await relay.connect_from("127.0.0.3"), "code")
            lingering = await relay.connect_from("127.0.0.4")
            assert (await lingering.upgrade("/?pair=code")).status == 409
            await join(await relay.connect_from("127.0.0.4"), "other")

    async def test_no_limit_by_default(self) -> None:
        """By default one client may have any number of connections."""
        async with running() as relay:
            for number in range(30):
                await relay.join(f"{number}")
            assert relay.table_sizes.clients == 0


class TestConnectsPerMinute:
    """Connection attempts of one client."""

    async def test_by_the_minute(self, autojump_clock: trio.testing.MockClock) -> None:
        """A client has a burst of attempts, then a number per minute; Retry-After is exact."""
        async with running(max_connects_per_minute=3) as relay:
            for _ in range(3):
                client = await relay.join("code")
                await client.send(encode_close(1000))
                await client.close_frame()
                await relay.disconnect(client)
            response = await relay.refused(*TOO_OFTEN)
            assert response.headers["retry-after"] == "20"
            await trio.sleep(19)
            await relay.refused(*TOO_OFTEN)
            await trio.sleep(1)
            await relay.join("code")
            await relay.refused(*TOO_OFTEN)

    async def test_by_address(self, time_limit: None) -> None:
        """Each address has its own count, and health checks do not count."""
        async with running(listeners=await on_tcp(), max_connects_per_minute=1) as relay:
            for address in ("127.0.0.2", "127.0.0.3"):
                for _ in range(3):
                    async with await relay.connect_from(address) as client:
                        assert (await client.get("/health")).status == 200
                await join(await relay.connect_from(address), address)
                await relay.refused(*TOO_OFTEN, client=await relay.connect_from(address))

    @pytest.mark.parametrize("setting", ["max_connects_per_minute", "max_connections_per_client"])
    async def test_table_is_pruned(
        self, setting: str, autojump_clock: trio.testing.MockClock
    ) -> None:
        """The sweeper removes a client from the table although no other client arrives."""
        settings: dict[str, Any] = {setting: 5, "sweep_interval": 30.0}
        async with running(**settings) as relay:
            client = await relay.join("code")
            assert relay.table_sizes.clients == 1
            await relay.disconnect(client)
            await trio.sleep(31)
            assert relay.table_sizes.clients == 0


class TestBeforeValidation:
    """Limits by address, which are checked before the request is validated."""

    @pytest.mark.parametrize("target", ["/", "/?" + "&" * 200])
    async def test_client_over_its_limit_is_not_validated(
        self, target: str, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A client above its limit gets 429 for any request, and its request is not validated."""
        async with running(max_connects_per_minute=1) as relay:
            client = await relay.connect()
            assert (await client.upgrade("/")).status == 400
            await relay.disconnect(client)
            monkeypatch.setattr(relay.inside, "respond", None)
            await relay.refused(*TOO_OFTEN, target)

    async def test_full_relay_does_not_validate(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A full relay does not validate upgrades; it answers other requests as before."""
        async with running(max_connections=1) as relay:
            await relay.join("code")
            assert (await relay.get("/health"))[0] == 200
            monkeypatch.setattr(relay.inside, "respond", None)
            await relay.refused(503, "relay is full", "/")

    async def test_refusal_has_the_address_of_the_client(self, time_limit: None) -> None:
        """The event of a bad upgrade has the address of the client, not of its proxy."""
        listeners = await on_tcp()
        async with running(listeners=listeners, trusted_proxies=("127.0.0.1",)) as relay:
            client = await relay.connect_from("127.0.0.1")
            await relay.refused(400, BAD_CODE, "/", [forwarded("192.0.2.1")], client=client)
            assert [event.client for event in relay.events_of(RequestRefused)] == ["192.0.2.1"]

    async def test_bad_upgrade_holds_no_slot(self) -> None:
        """A client with a bad upgrade holds no slot, however long it stays connected."""
        async with running(max_connections_per_client=1) as relay:
            lingering = await relay.connect()
            assert (await lingering.upgrade("/")).status == 400
            await relay.join("code")


class TestTrustedProxies:
    """Proxies whose X-Forwarded-For the relay trusts."""

    async def test_behind_a_proxy(self, time_limit: None) -> None:
        """Clients behind a trusted proxy count separately, an IPv6 client by its /64."""
        settings: dict[str, Any] = {
            "max_connections_per_client": 1,
            "trusted_proxies": ("127.0.0.2",),
        }
        async with running(listeners=await on_tcp(), **settings) as relay:
            clients = ["192.0.2.1", "192.0.2.2", "2001:db8:0:1::1", "2001:db8:0:2::1"]
            for number, client in enumerate(clients):
                await join(await relay.connect_from("127.0.0.2"), f"{number}", forwarded(client))
            for client in (
                "192.0.2.1",
                "192.0.2.2:4711",
                "2001:db8:0:1:ffff::9",
                '"[2001:db8:0:2::]"',
            ):
                proxy = await relay.connect_from("127.0.0.2")
                await relay.refused(*TOO_MANY, lines=[forwarded(client)], client=proxy)

    async def test_several_lines(self, time_limit: None) -> None:
        """Several lines are one list; the right-most entry that is no trusted proxy counts."""
        settings: dict[str, Any] = {
            "max_connections_per_client": 1,
            "trusted_proxies": ("127.0.0.2", "10.0.0.0/8"),
        }
        lines = [forwarded("192.0.2.1"), "X-Other: 1", forwarded("192.0.2.2", "10.1.2.3")]
        async with running(listeners=await on_tcp(), **settings) as relay:
            await join(await relay.connect_from("127.0.0.2"), "code", *lines)
            proxy = await relay.connect_from("127.0.0.2")
            await relay.refused(*TOO_MANY, lines=[forwarded("192.0.2.2")], client=proxy)
            await join(await relay.connect_from("127.0.0.2"), "other", forwarded("192.0.2.1"))
            invented = [forwarded("198.51.100.1", "192.0.2.2"), forwarded("10.9.9.9")]
            proxy = await relay.connect_from("127.0.0.2")
            await relay.refused(*TOO_MANY, lines=invented, client=proxy)

    @pytest.mark.parametrize("trusted", [(), ("127.0.0.2",), ("unix",)])
    async def test_forged(self, trusted: tuple[str, ...], time_limit: None) -> None:
        """A client that is no trusted proxy counts by its own address, whatever header it sends."""
        settings: dict[str, Any] = {"max_connections_per_client": 1, "trusted_proxies": trusted}
        async with running(listeners=await on_tcp(), **settings) as relay:
            await join(await relay.connect_from("127.0.0.3"), "code", forwarded("192.0.2.1"))
            forger = await relay.connect_from("127.0.0.3")
            await relay.refused(*TOO_MANY, lines=[forwarded("192.0.2.2")], client=forger)
            # Nor can it use up what another one has.
            await join(await relay.connect_from("127.0.0.4"), "other", forwarded("127.0.0.3"))
            await relay.disconnect_all()
            ended = {event.clients[0] for event in relay.events_of(PairEnded)}
            assert ended == {"127.0.0.3", "127.0.0.4"}

    async def test_unix(self, tmp_path: Path, time_limit: None) -> None:
        """With `unix`, the relay trusts clients on a Unix socket; without, they are one client."""
        path = str(tmp_path / "relay.sock")
        settings: dict[str, Any] = {"max_connections_per_client": 1, "trusted_proxies": ("unix",)}
        async with running(listeners=[open_unix(path, 0o600)], **settings) as relay:
            for client in ("192.0.2.1", "192.0.2.2"):
                proxy = await relay.adopt(await trio.open_unix_socket(path))
                await join(proxy, client, forwarded("198.51.100.1", client))
                proxy = await relay.adopt(await trio.open_unix_socket(path))
                await relay.refused(*TOO_MANY, lines=[forwarded(client)], client=proxy)
        async with running(
            listeners=[open_unix(path, 0o600)], max_connections_per_client=1
        ) as relay:
            peer = await relay.adopt(await trio.open_unix_socket(path))
            await join(peer, "code", forwarded("192.0.2.1"))
            peer = await relay.adopt(await trio.open_unix_socket(path))
            await relay.refused(*TOO_MANY, lines=[forwarded("192.0.2.2")], client=peer)

    async def test_ipv6(self, time_limit: None) -> None:
        """IPv6 peers count too, and an IPv4 address in IPv6 is an IPv4 address."""
        settings: dict[str, Any] = {"max_connections_per_client": 1, "trusted_proxies": ("::1",)}
        async with running(listeners=await on_tcp("::1"), **settings) as relay:
            await join(await relay.connect_from("::1"), "code")
            await relay.refused(*TOO_MANY, client=await relay.connect_from("::1"))
            await join(await relay.connect_from("::1"), "other", forwarded("::ffff:192.0.2.1"))
            proxy = await relay.connect_from("::1")
            await relay.refused(*TOO_MANY, lines=[forwarded("192.0.2.1")], client=proxy)

    async def test_address_in_events(self, time_limit: None) -> None:
        """Events of sides and refusals have the address of the client behind the proxy."""
        settings: dict[str, Any] = {
            "max_connections_per_client": 1,
            "trusted_proxies": ("127.0.0.2",),
        }
        async with running(listeners=await on_tcp(), **settings) as relay:
            await join(await relay.connect_from("127.0.0.2"), "code", forwarded("192.0.2.1"))
            await join(await relay.connect_from("127.0.0.2"), "code", forwarded("2001:db8::1"))
            proxy = await relay.connect_from("127.0.0.2")
            await relay.refused(*TOO_MANY, lines=[forwarded("192.0.2.1")], client=proxy)
            assert relay.events_of(RequestRefused)[-1].client == "192.0.2.1"
            await relay.disconnect_all()
            (ended,) = relay.events_of(PairEnded)
            assert ended.clients == ("192.0.2.1", "2001:db8::1")
