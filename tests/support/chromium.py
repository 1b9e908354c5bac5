"""Headless Chromium, driven by the DevTools protocol over its pipe."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import trio

PROGRAMS: Final = ("chromium", "google-chrome")
OPTIONS: Final = (
    "--headless",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-component-update",
    "--disable-renderer-backgrounding",
    "--disable-sync",
    "--remote-debugging-pipe",
)
REDIRECT: Final = 'exec "$@" 3<&{commands} 4>&{answers}'
"""Shell script that runs Chromium with its pipe at descriptors 3 and 4."""

TIME_LIMIT: Final = 30.0


class Chromium:
    """Running browser."""

    def __init__(self, commands: trio.abc.SendStream, answers: trio.abc.ReceiveStream) -> None:
        self._commands = commands
        self._answers = answers
        self._numbers = itertools.count(1)
        self._waiting: dict[int, trio.MemorySendChannel[dict[str, Any]]] = {}
        self.pages: dict[str, Page] = {}
        """Open pages, by session."""

    async def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Run a command of the protocol, for the browser or a session, and return its result."""
        number = next(self._numbers)
        send, receive = trio.open_memory_channel[dict[str, Any]](1)
        self._waiting[number] = send
        command = {"id": number, "method": method, "params": parameters}
        command |= {"sessionId": session} if session else {}
        await self._commands.send_all(json.dumps(command).encode() + b"\0")
        with trio.fail_after(TIME_LIMIT):
            answer = await receive.receive()
        assert "error" not in answer, (method, answer["error"])
        result: dict[str, Any] = answer["result"]
        return result

    async def read_answers(self) -> None:
        """Pass each answer to its caller, and each failure to its page, until the pipe ends."""
        unread = b""
        async for data in self._answers:
            *messages, unread = (unread + bytes(data)).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._waiting.pop(message["id"]).send_nowait(message)
                elif "sessionId" in message:
                    self.pages[message["sessionId"]].note(message["method"], message["params"])

    async def open(self, url: str, width: int = 1000, height: int = 900) -> Page:
        """Open a page in a tab of its own."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        page = self.pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            await page.call(f"{domain}.enable")
        await page.resize(width, height)
        answer = await page.call("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        await page.wait_for("document.readyState === 'complete'")
        return page


class Page:
    """Open page."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self._session = session
        self.failures: list[Any] = []
        """Uncaught exceptions, and the errors of the console."""

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Run a command of the protocol for this page."""
        return await self._browser.call(method, self._session, **parameters)

    def note(self, event: str, parameters: dict[str, Any]) -> None:
        """Keep an event if it reports a failure."""
        is_error = parameters.get("entry", {}).get("level") == "error"
        if event == "Runtime.exceptionThrown" or (event == "Log.entryAdded" and is_error):
            self.failures.append(parameters)

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, or of its promise."""
        found = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def wait_for(self, expression: str, seconds: float = TIME_LIMIT) -> None:
        """Wait until an expression is true."""
        with trio.fail_after(seconds):
            while not await self.evaluate(f"Boolean({expression})"):
                await trio.sleep(0.05)

    async def click(self, selector: str) -> None:
        """Click on an element."""
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    async def text(self, selector: str) -> str:
        """Return the visible text of an element."""
        text = await self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")
        return str(text)

    async def advance_clock(self, seconds: float) -> None:
        """Set the clock that measures intervals in the page forward."""
        shift = f"const now = performance.now() + {seconds * 1000} - Date.now();"
        await self.evaluate(f"{{ {shift} performance.now = () => now + Date.now() }}")

    async def resize(self, width: int, height: int) -> None:
        """Give the page the size of a screen, that of a phone if it is narrow."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.call("Emulation.setDeviceMetricsOverride", **size)

    async def screenshot(self) -> bytes:
        """Return the whole page as a PNG."""
        picture = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(picture["data"])


@asynccontextmanager
async def run_chromium(directory: Path, *options: str) -> AsyncIterator[Chromium]:
    """Run Chromium with a new profile in a directory; skip the test if it is not installed."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("chromium is not installed")
    command_reader, command_writer = os.pipe()
    answer_reader, answer_writer = os.pipe()
    profile = (f"--user-data-dir={directory}",)
    script = REDIRECT.format(commands=command_reader, answers=answer_writer)
    async with (
        trio.lowlevel.FdStream(command_writer) as commands,
        trio.lowlevel.FdStream(answer_reader) as answers,
        trio.open_nursery() as nursery,
    ):
        process = await trio.lowlevel.open_process(
            ["bash", "-c", script, "bash", program, *OPTIONS, *profile, *options, "about:blank"],
            pass_fds=(command_reader, answer_writer),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(command_reader)
        os.close(answer_writer)
        browser = Chromium(commands, answers)
        nursery.start_soon(browser.read_answers)
        try:
            yield browser
        finally:
            with trio.CancelScope(shield=True):
                with trio.move_on_after(5):
                    await commands.aclose()  # Chromium ends with its pipe
                    await process.wait()
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            nursery.cancel_scope.cancel()
