"""The alerts and the dashboard as shipped, in a real Prometheus that watches a relay."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from ..clients import Client, encode, encode_close
from ..conftest import ProcessRelay
from ..test_observability import DASHBOARD, QUERIES
from .prometheus import Prometheus, run_prometheus, selectors

pytestmark = pytest.mark.deploy

MAX_CONNECTIONS = 12
MAX_WAITING = 3
ENOUGH = 25
"""Pairs of which some are a share to speak of."""
VARIABLES = {"$instance": "", "$__rate_interval": "1m", "$__range": "5m"}
"""Of the dashboard, and what they may be; the first is the relay."""


@pytest.fixture
def options() -> Sequence[str]:
    """Return the options of a relay with metrics that is soon full, and soon loses patience."""
    return [
        *("--metrics", "127.0.0.1:0"),
        *("--max-connections", str(MAX_CONNECTIONS)),
        *("--max-waiting", str(MAX_WAITING)),
        *("--pair-ttl", "3", "--sweep-interval", "0.1", "--probe-timeout", "0.2"),
    ]


@pytest.fixture
async def instance(process_relay: ProcessRelay) -> str:
    """Return what Prometheus calls the relay."""
    return f"127.0.0.1:{await process_relay.program.metrics_port()}"


@pytest.fixture
async def prometheus(instance: str, tmp_path: Path) -> AsyncIterator[Prometheus]:
    """Run a Prometheus that has seen the relay."""

    def change(config: str) -> str:
        assert config.count("127.0.0.1:9765") == 2  # one in a comment
        return config.replace("127.0.0.1:9765", instance)

    async with run_prometheus(tmp_path, change) as prometheus:
        await prometheus.until("rate(arc_relay_pairs_ended_total[1m])")
        yield prometheus


async def leave(*clients: Client) -> None:
    """Have sides say goodbye."""
    for client in clients:
        await client.send(encode_close(1000))
        await client.rest()


async def healthy(relay: ProcessRelay, count: int) -> None:
    """Have pairs come, exchange something, and go."""
    for number in range(count):
        a, b = await relay.pair(f"healthy-{number}")
        await a.send_message(b"hello")
        assert await b.message() == b"hello"
        await leave(a, b)


async def refused(relay: ProcessRelay, target: str, status: int) -> None:
    """Have a newcomer turned away."""
    client = await relay.connect()
    assert (await client.upgrade(target)).status == status


async def everything(relay: ProcessRelay, prometheus: Prometheus) -> None:
    """Have pairs end in many ways, and newcomers refused for many reasons."""
    await healthy(relay, ENOUGH)
    await refused(relay, "/", 400)
    a, b = await relay.pair("violation")
    await a.send(encode(0x1, b"text"))
    await a.send(encode(0x3))
    await b.closed()
    a, b = await relay.pair("reset")
    await a.reset()
    await b.closed()
    a, b = await relay.pair("mute")
    await relay.join("mute")
    for number in range(MAX_WAITING - 1):
        await relay.join(f"alone-{number}")
    for _ in range(2):
        await refused(relay, "/?pair=one-more", 503)
        await prometheus.look_again()
    await prometheus.until('arc_relay_pairs_ended_total{outcome="expired"} > 2')
    await relay.hang_up()
    await prometheus.until("arc_relay_connections == 0")
    for number in range(MAX_CONNECTIONS // 2):
        await relay.pair(f"many-{number}")
    for _ in range(2):
        await refused(relay, "/?pair=one-more", 503)
        await prometheus.look_again()


async def test_a_healthy_relay(
    process_relay: ProcessRelay, prometheus: Prometheus, instance: str
) -> None:
    """The rules are in use, and no alert fires or is about to, whether pairs come and go or nobody.

    The dashboard offers the relay to choose.
    """
    await prometheus.look_again()
    assert await prometheus.alerts() == set()
    await healthy(process_relay, ENOUGH)
    await prometheus.until('arc_relay:pairs_ended:share30m{outcome="closed"} == 1')
    await prometheus.look_again()
    assert await prometheus.alerts() == set()
    assert {rule["health"] for rule in await prometheus.rules()} == {"ok"}
    [choice] = [it for it in DASHBOARD["templating"]["list"] if it["name"] == "instance"]
    assert choice["query"]["query"] == "label_values(arc_relay_build_info, instance)"
    values = await prometheus.ask("label/instance/values", **{"match[]": "arc_relay_build_info"})
    assert values == [instance]


async def test_a_relay_that_saw_everything(
    process_relay: ProcessRelay, prometheus: Prometheus, instance: str
) -> None:
    """Every panel shows something, and every selector finds series.

    Alerts are about to fire because it was full, for each reason, and then because it is gone.
    """
    await everything(process_relay, prometheus)
    assert await prometheus.alerts() == {
        ("ArcRelayFull", f"{instance} turns newcomers away: relay is full"),
        ("ArcRelayFull", f"{instance} turns newcomers away: too many waiting sides"),
    }

    queries = QUERIES
    for variable, value in VARIABLES.items():
        queries = [query.replace(variable, value or instance) for query in queries]
    for query in queries:
        assert await prometheus.query(query), query
    rules = [rule["query"] for rule in await prometheus.rules()]
    found = set[str]().union(*map(selectors, queries + rules))
    assert len(found) > 40
    for selector in found:
        assert await prometheus.ask("series", **{"match[]": selector}), selector

    await process_relay.hang_up()
    process_relay.process.terminate()
    assert await process_relay.program.wait() == 0
    await prometheus.until('up{job="arc-relay"} == 0')
    await prometheus.look_again()
    assert ("ArcRelayDown", f"{instance} does not answer") in await prometheus.alerts()
