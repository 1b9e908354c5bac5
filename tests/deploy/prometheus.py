"""Prometheus with the shipped rules, and its query interface."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import trio

from tests.support.raw_client import Client

from .fleet import free_ports

__all__ = ["Prometheus", "run_prometheus", "selectors"]

SHIPPED = Path(__file__).parents[2] / "deploy" / "observability"
INTERVAL = 0.2
"""Seconds between scrapes, and between evaluations of the rules."""
LIMIT = 20.0
"""Maximum number of seconds of any step."""

LABELS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right) ?\([^)]*\)")
SELECTOR = re.compile(r"(?<![\w.])([a-zA-Z_:][\w:]*+)((?:\{[^}]*\})?+)(?!\s*\()")


def selectors(query: str) -> set[str]:
    """Return the selectors of series in a query."""
    found = SELECTOR.findall(LABELS.sub("", query))
    return {name + matchers for name, matchers in found} - {"and", "or", "unless", "offset"}


class Prometheus:
    """Running Prometheus."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def request(self, what: str, **parameters: str) -> Any:
        """Return the data of a response; an error fails the test."""
        async with Client(await trio.open_tcp_stream("127.0.0.1", self._port)) as client:
            # HTTP/1.0 has no chunks, and ends with the stream.
            target = f"/api/v1/{what}?{urlencode(parameters)}"
            await client.send(f"GET {target} HTTP/1.0\r\n\r\n".encode())
            head, _, body = (await client.rest()).partition(b"\r\n\r\n")
        assert b" 200 OK" in head, (parameters, body)
        return json.loads(body)["data"]

    async def query(self, query: str) -> list[dict[str, Any]]:
        """Return the current samples of a query."""
        result: list[dict[str, Any]] = (await self.request("query", query=query))["result"]
        return result

    async def rules(self) -> list[dict[str, Any]]:
        """Return the rules with their state."""
        return [
            rule for group in (await self.request("rules"))["groups"] for rule in group["rules"]
        ]

    async def alerts(self) -> set[tuple[str, str]]:
        """Return the names and summaries of the alerts that fire or are pending."""
        return {
            (alert["labels"]["alertname"], alert["annotations"]["summary"])
            for alert in (await self.request("alerts"))["alerts"]
        }

    async def until_alerts(self, expected: set[tuple[str, str]]) -> None:
        """Wait until exactly these alerts fire, as a busy machine may cause others."""
        await trio.sleep(5 * INTERVAL)  # to scrape, and then to see to the rules
        with trio.move_on_after(LIMIT):
            while await self.alerts() != expected:
                await trio.sleep(INTERVAL)
        assert await self.alerts() == expected

    async def until(self, query: str) -> None:
        """Wait until a query has a result."""
        with trio.fail_after(LIMIT):
            while not await self.query(query):
                await trio.sleep(INTERVAL)


@asynccontextmanager
async def run_prometheus(
    directory: Path, change: Callable[[str], str]
) -> AsyncIterator[Prometheus]:
    """Run Prometheus with the shipped files, and a changed configuration."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("NOT TESTED: prometheus is not installed")
    shutil.copy(SHIPPED / "alerts.yaml", directory)
    config = directory / "prometheus.yaml"
    text = (SHIPPED / config.name).read_text()
    config.write_text(change(text).replace("_interval: 15s", f"_interval: {INTERVAL * 1000:.0f}ms"))
    [port] = free_ports(1)
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = directory / "prometheus.log"
    with log.open("wb") as output:
        process = await trio.lowlevel.open_process(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        with trio.fail_after(LIMIT):
            while b"Server is ready" not in log.read_bytes():
                assert process.poll() is None, log.read_text()
                await trio.sleep(0.05)
        yield Prometheus(port)
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(LIMIT):
            assert await process.wait() == 0
    finally:
        if process.poll() is None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
