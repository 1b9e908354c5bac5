"""Shipped alerts and dashboard in a real Prometheus with a relay."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import trio

from relay.protocol.response import RELAY_IS_FULL, TOO_MANY_WAITING
from tests.repository.test_alert_rules import DASHBOARD, QUERIES, TARGETS
from tests.support.certificates import Certificate, client_context
from tests.support.raw_client import Client, encode, encode_close
from tests.support.relay_fixtures import ProcessRelay

from .prometheus import Prometheus, run_prometheus, selectors

pytestmark = pytest.mark.deploy

MAX_CONNECTIONS = 12
MAX_WAITING = 3
ENOUGH = 25
"""Number of pairs that gives a significant share."""
FULL = RELAY_IS_FULL.body
WAITING = TOO_MANY_WAITING.body


@pytest.fixture
def files(tmp_path: Path) -> Certificate:
    """Return a certificate."""
    return Certificate(tmp_path)


@pytest.fixture
def client_tls() -> ssl.SSLContext:
    """Return the TLS context of the clients."""
    return client_context()


@pytest.fixture
def options(files: Certificate) -> Sequence[str]:
    """Return the options of a relay with TLS and metrics, with low limits and short timeouts."""
    return [
        *("--metrics", "127.0.0.1:0"),
        *files.options,
        *("--max-connections", str(MAX_CONNECTIONS)),
        *("--max-waiting", str(MAX_WAITING)),
        *("--pair-ttl", "4", "--sweep-interval", "0.1", "--takeover-timeout", "0.2"),
    ]


@pytest.fixture
async def instance(process_relay: ProcessRelay) -> str:
    """Return the instance label of the relay."""
    return f"127.0.0.1:{await process_relay.program.metrics_port()}"


@pytest.fixture
async def prometheus(instance: str, tmp_path: Path) -> AsyncIterator[Prometheus]:
    """Run a Prometheus that has scraped the relay."""

    def change(config: str) -> str:
        assert config.count("127.0.0.1:9765") == 2  # one in a comment
        return config.replace("127.0.0.1:9765", instance)

    async with run_prometheus(tmp_path, change) as prometheus:
        await prometheus.until("rate(arc_relay_pairs_ended_total[1m])")
        yield prometheus


async def close_all(*clients: Client) -> None:
    """Do the closing handshakes of sides."""
    for client in clients:
        await client.send(encode_close(1000))
        await client.rest()


async def healthy(relay: ProcessRelay, count: int) -> None:
    """Join pairs, exchange messages, and close_all."""
    for number in range(count):
        a, b = await relay.pair(f"healthy-{number}")
        await a.send_message(b"hello")
        assert await b.message() == b"hello"
        await close_all(a, b)


async def refused(relay: ProcessRelay, target: str, status: int) -> None:
    """Connect a client that is refused."""
    client = await relay.connect()
    assert (await client.upgrade(target)).status == status


async def overfill(relay: ProcessRelay, prometheus: Prometheus, reason: str) -> None:
    """Connect two clients that are refused for a reason; the first starts the counter."""
    await refused(relay, "/?pair=one-more", 503)
    await prometheus.until(f'arc_relay_requests_refused_total{{reason="{reason}"}} == 1')
    await refused(relay, "/?pair=one-more", 503)


async def everything(relay: ProcessRelay, prometheus: Prometheus) -> None:
    """End pairs in many ways, and connect clients that are refused for many reasons."""
    await healthy(relay, ENOUGH)
    await refused(relay, "/", 400)
    a, b = await relay.pair("violation")
    await a.send(encode(0x1, b"text"))
    await a.send(encode(0x3))
    await b.closed()
    a, b = await relay.pair("reset")
    await a.reset()
    await b.closed()
    a, b = await relay.pair("silent")
    await trio.sleep(0.2)  # a side whose response is not acknowledged yet passes the check
    await relay.join("silent")
    for number in range(MAX_WAITING - 1):
        await relay.join(f"alone-{number}")
    await overfill(relay, prometheus, WAITING)
    await prometheus.until('arc_relay_waiting_ended_total{outcome="expired"} > 2')
    await relay.hang_up()
    await prometheus.until("arc_relay_connections == 0")
    for number in range(MAX_CONNECTIONS // 2):
        await relay.pair(f"many-{number}")
    await overfill(relay, prometheus, FULL)


async def test_a_healthy_relay(
    process_relay: ProcessRelay, prometheus: Prometheus, instance: str
) -> None:
    """The rules are loaded, and no alert fires or is pending, with or without traffic.

    The dashboard offers the relay for selection.
    """
    await prometheus.until_alerts(set())
    await healthy(process_relay, ENOUGH)
    await prometheus.until('arc_relay:pairs_ended:share30m{outcome="closed"} == 1')
    await prometheus.until_alerts(set())
    assert {rule["health"] for rule in await prometheus.rules()} == {"ok"}
    [choice] = [it for it in DASHBOARD["templating"]["list"] if it["name"] == "instance"]
    assert choice["query"]["query"] == "label_values(arc_relay_build_info, instance)"
    values = await prometheus.request(
        "label/instance/values", **{"match[]": "arc_relay_build_info"}
    )
    assert values == [instance]


def filled_in(query: str, instance: str) -> str:
    """Return a query of the dashboard as Grafana sends it."""
    for variable, value in (
        ("$instance", instance),
        ("$__rate_interval", "1m"),
        ("$__range", "5m"),
    ):
        query = query.replace(variable, value)
    return query


async def test_a_relay_that_saw_everything(
    process_relay: ProcessRelay, prometheus: Prometheus, instance: str
) -> None:
    """Every panel has data and the fields of its legend, and every selector finds series.

    Alerts are pending after refusals for each limit, and after the relay has ended.
    """
    await everything(process_relay, prometheus)
    full = {
        ("ArcRelayFull", f"{instance} refuses new clients: {reason}") for reason in (FULL, WAITING)
    }
    high = ("ArcRelayConnectionsHigh", f"{instance} uses 100% of max_connections")
    await prometheus.until_alerts({*full, high})

    for target in TARGETS:
        samples = await prometheus.query(filled_in(target["expr"], instance))
        assert samples, target
        labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        assert all(labels <= sample["metric"].keys() for sample in samples), target

    rules = [rule["query"] for rule in await prometheus.rules()]
    queries = [filled_in(query, instance) for query in QUERIES]
    found = set[str]().union(*map(selectors, rules + queries))
    assert len(found) > 40
    for selector in found:
        assert await prometheus.request("series", **{"match[]": selector}), selector

    await process_relay.hang_up()
    process_relay.process.terminate()
    assert await process_relay.program.wait() == 0
    await prometheus.until('up{job="arc-relay"} == 0')
    await prometheus.until_alerts({*full, ("ArcRelayDown", f"{instance} does not answer")})
