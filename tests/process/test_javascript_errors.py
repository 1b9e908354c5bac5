"""Failures of sessions between clients/arc-relay.mjs and relay.client, in Node."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from relay.client import Link, PeerAborted, Session, TargetError, WrongKey, connect, serve
from tests.support.certificates import client_context
from tests.support.javascript_endpoints import TIME_LIMIT, NodeRuntime
from tests.support.javascript_fixtures import (
    RestartedRelay,
    certificate,
    node,
    task,
    tls_relay,
)
from tests.support.ports import reserved_port

__all__ = ["certificate", "node", "tls_relay"]

TOKEN = "secret"  # noqa: S105 - of a relay under test


def with_wrong_key(link: Link) -> str:
    """Return a link with the same code and another key."""
    key = Link.new(link.url).text.partition("#")[2]
    return link.text.partition("#")[0] + "#" + key


async def test_refused_by_target(tls_relay: RestartedRelay, node: NodeRuntime) -> None:
    """A Python guest gets the TargetError of a JavaScript host."""
    with trio.fail_after(TIME_LIMIT):
        async with node.run(task(tls_relay, "host", "fail")) as endpoint:
            with pytest.raises(PeerAborted, match=r"^connection refused$") as raised:
                async with connect(tls_relay.link, ssl_context=client_context()) as session:
                    await session.receive_some()
            assert (await endpoint.result())["error"] == "TargetError"
    assert raised.value.reason_code == 1


async def test_target_refuses(tls_relay: RestartedRelay, node: NodeRuntime) -> None:
    """A JavaScript guest gets the TargetError of a Python host."""

    async def fail(session: Session) -> None:
        raise TargetError("connection refused")

    with trio.fail_after(TIME_LIMIT):
        async with (
            node.run(task(tls_relay, "guest", "echo")) as endpoint,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(partial(serve, tls_relay.link, fail, ssl_context=client_context()))
            result = await endpoint.result()
            nursery.cancel_scope.cancel()
    assert result == {"error": "PeerAborted", "message": "connection refused", "reason": 1}


async def test_abort(tls_relay: RestartedRelay, node: NodeRuntime) -> None:
    """A Python guest gets the text with which a JavaScript host aborts the session."""
    with trio.fail_after(TIME_LIMIT):
        async with node.run(task(tls_relay, "host", "abort")) as endpoint:
            with pytest.raises(PeerAborted, match=r"^enough$"):
                async with connect(tls_relay.link, ssl_context=client_context()) as session:
                    await session.receive_some()
            assert (await endpoint.result())["error"] == "EndpointError"


async def test_guest_with_wrong_key(tls_relay: RestartedRelay, node: NodeRuntime) -> None:
    """A JavaScript guest with another key than the host's fails at once."""
    link = with_wrong_key(tls_relay.link)
    with trio.fail_after(TIME_LIMIT):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                partial(serve, tls_relay.link, Session.aclose, ssl_context=client_context())
            )
            async with node.run(task(tls_relay, "guest", "echo", link=link)) as endpoint:
                assert (await endpoint.result())["error"] == "WrongKey"
            nursery.cancel_scope.cancel()
    assert [event["type"] for event in endpoint.events] == ["Waiting", "Result"]


async def test_host_with_wrong_key(tls_relay: RestartedRelay, node: NodeRuntime) -> None:
    """A Python guest with another key than a JavaScript host fails. The next one does not."""
    link = with_wrong_key(tls_relay.link)
    with trio.fail_after(TIME_LIMIT):
        async with node.run(task(tls_relay, "host", "count")) as endpoint:
            with pytest.raises(WrongKey):
                async with connect(link, ssl_context=client_context()):
                    pass
            async with connect(tls_relay.link, ssl_context=client_context()) as session:
                await session.send_eof()
                assert await session.receive_some() == b"0"
            assert await endpoint.result() == {}


async def test_host_without_token(tls_relay: RestartedRelay, node: NodeRuntime) -> None:
    """A JavaScript host without the token of the relay is refused, and one with it is not."""
    with trio.fail_after(TIME_LIMIT):
        tls_relay.set_token(TOKEN)
        await tls_relay.restart()
        async with node.run(task(tls_relay, "host", "count")) as endpoint:
            result = await endpoint.result()
            assert (result["error"], result["status"]) == ("Refused", 401)
        async with node.run(task(tls_relay, "host", "count", token=TOKEN)) as endpoint:
            async with connect(tls_relay.link, ssl_context=client_context()) as session:
                await session.send_eof()
                assert await session.receive_some() == b"0"
            assert await endpoint.result() == {}


async def test_no_relay(node: NodeRuntime) -> None:
    """A JavaScript endpoint without a relay gives up after its timeout."""
    with trio.fail_after(TIME_LIMIT), reserved_port() as port:
        link = Link.new(f"ws://127.0.0.1:{port}/").text
        hopeless = {"link": link, "role": "guest", "program": "echo", "connectTimeout": 1}
        async with node.run(hopeless) as endpoint:
            result = await endpoint.result()
    assert result["error"] == "NoRelay"
    assert "ECONNREFUSED" in result["message"]
    assert sum(event["type"] == "Retrying" for event in endpoint.events) >= 3
