"""Endpoints of clients/arc-relay.mjs that do a task: in Node, and in a page of a browser."""

from __future__ import annotations

import json
import math
import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio

from .browser import Browser
from .page_server import PageServer

SCRIPTS: Final = Path(__file__).with_name("javascript")
TIME_LIMIT: Final = 60.0

Task = Mapping[str, Any]
"""Task of an endpoint; endpoint.mjs describes it."""


class JavaScriptEndpoint:
    """Endpoint that does a task, and reports events and its result."""

    def __init__(self) -> None:
        self._to_receive, self._received = trio.open_memory_channel[dict[str, Any]](math.inf)
        self.events: list[dict[str, Any]] = []
        self.has_result = False

    def report(self, line: str | bytes) -> None:
        """Take an event or the result, in JSON."""
        event = json.loads(line)
        self.has_result = event["type"] == "Result"
        self._to_receive.send_nowait(event)

    async def wait_for(self, kind: str) -> dict[str, Any]:
        """Return the next event of this type; the last one is ``Result``."""
        with trio.fail_after(TIME_LIMIT):
            while True:
                event = await self._received.receive()
                self.events.append(event)
                if event["type"] == kind:
                    return event
                assert event["type"] != "Result", event

    async def result(self) -> dict[str, Any]:
        """Return the result, without its type."""
        event = await self.wait_for("Result")
        return {name: value for name, value in event.items() if name != "type"}


class Runtime(ABC):
    """Runtime of JavaScript."""

    @abstractmethod
    def run(self, task: Task) -> Any:
        """Return a context manager that does a task and yields its endpoint."""


class NodeRuntime(Runtime):
    """Node.

    Args:
        directory: Directory in which the package ws is installed.
        authority: File with the certificate of the authority to trust.
    """

    def __init__(self, directory: Path, authority: Path) -> None:
        self._directory = directory
        self._variables = {"NODE_EXTRA_CA_CERTS": str(authority)}

    @asynccontextmanager
    async def run(self, task: Task) -> AsyncIterator[JavaScriptEndpoint]:
        endpoint = JavaScriptEndpoint()
        command = ["node", str(SCRIPTS / "node_endpoint.mjs"), str(self._directory)]
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | self._variables
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            await process.stdin.send_all(json.dumps(task).encode())
            await process.stdin.aclose()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, process.stdout, endpoint)
                yield endpoint
                nursery.cancel_scope.cancel()
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            await process.stdout.aclose()

    async def _read(self, stdout: trio.abc.ReceiveStream, endpoint: JavaScriptEndpoint) -> None:
        """Report each line."""
        rest = b""
        async for data in stdout:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                endpoint.report(line)
        assert endpoint.has_result, f"Node ended without a result: {rest.decode()}"


class BrowserRuntime(Runtime):
    """Browser, with a new profile for each task.

    Args:
        browser: Browser.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    @asynccontextmanager
    async def run(self, task: Task) -> AsyncIterator[JavaScriptEndpoint]:
        endpoint = JavaScriptEndpoint()
        with PageServer(json.dumps(task), endpoint.report) as server:
            async with self._browser.open(f"{server.url}tests/support/javascript/endpoint.html"):
                yield endpoint
