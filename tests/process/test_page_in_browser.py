"""The test page in Chromium: what works, what does not, and the hint."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from relay import RelaySettings, serve_relay
from tests.support.chromium import Chromium, Page, run_chromium

TOKEN = "token-of-the-test-page"  # noqa: S105 - of this test
GONE = (trio.BrokenResourceError, trio.ClosedResourceError)
STATES = "[...document.querySelectorAll('#steps span')].map((each) => each.innerText).join(' ')"
OVER = "!['', 'running'].includes(document.querySelector('#verdict').className)"
IDLE = "document.querySelector('#skip').checkVisibility()"
ENOUGH = "works " * 6 + "skipped works"
"""States of the steps if all but the idle minute were tested."""

Change = Callable[[bytes], bytes]


@pytest.fixture
async def browser(tmp_path: Path, time_limit: None) -> AsyncIterator[Chromium]:
    """Run Chromium; no page may fail or violate its policy."""
    async with run_chromium(tmp_path / "profile") as browser:
        yield browser
        assert [page.failures for page in browser.pages.values() if page.failures] == []


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    """Return a file with the token."""
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return str(path)


async def serve(nursery: trio.Nursery, **settings: object) -> int:
    """Run a relay with the page; return its port."""
    values = RelaySettings(**{"test_page": True, **settings})  # type: ignore[arg-type]
    run = partial(serve_relay, host="127.0.0.1", port=0, settings=values)
    handle = await nursery.start(run)
    port: int = handle.port
    return port


async def serve_proxy(
    nursery: trio.Nursery, port: int, change: Change, silence: float = math.inf
) -> int:
    """Run a proxy that changes request heads, and cuts silent connections; return its port."""

    async def carry(client: trio.SocketStream) -> None:
        relay = await trio.open_tcp_stream("127.0.0.1", port)
        async with client, relay, trio.open_nursery() as both:

            async def copy(source: trio.abc.Stream, sink: trio.abc.Stream, change: Change) -> None:
                with suppress(*GONE), trio.move_on_after(silence) as scope:
                    async for data in source:
                        await sink.send_all(change(bytes(data)))
                        change = bytes
                        scope.deadline = trio.current_time() + silence
                both.cancel_scope.cancel()

            both.start_soon(copy, client, relay, change)
            both.start_soon(copy, relay, client, bytes)

    listeners = await nursery.start(partial(trio.serve_tcp, carry, 0, host="127.0.0.1"))
    number: int = listeners[0].socket.getsockname()[1]
    return number


async def run_to_end(page: Page, *, skip: bool = True) -> None:
    """Wait until the test of a page is over, without the idle minute."""
    await page.wait_for(f"{IDLE} || {OVER}")
    if skip and await page.evaluate(IDLE):
        await page.click("#skip")
    await page.wait_for(OVER)


async def test_one_device(browser: Chromium, nursery: trio.Nursery) -> None:
    """One device tests the relay, with a chart, and again; then no pair is left."""
    page = await browser.open(f"http://127.0.0.1:{await serve(nursery)}/test")
    for _ in range(2):
        await page.click("#alone")
        await page.wait_for(IDLE)
        assert await page.text("#title") == "Testing: an idle minute"
        await page.wait_for("document.querySelector('progress').value > 1")
        await run_to_end(page)
        assert await page.evaluate(STATES) == ENOUGH
        assert await page.text("#title") == "Everything that was tested works"
        assert await page.evaluate("document.querySelectorAll('#chart rect').length") == 20
    await page.click("#alone")
    await page.wait_for(IDLE)
    await page.advance_clock(59)
    await run_to_end(page, skip=False)
    assert await page.text("#title") == "Everything works"
    assert await page.evaluate(STATES) == " ".join(["works"] * 8)
    health = await page.evaluate("fetch('health').then((response) => response.json())")
    assert health == {"ok": True, "pairs": 0}


async def test_two_devices(browser: Chromium, nursery: trio.Nursery, token_file: str) -> None:
    """A second device joins by the link of the QR code, without the token."""
    port = await serve(nursery, token_file=token_file, strict_codes=True)
    first = await browser.open(f"http://127.0.0.1:{port}/test")
    await first.evaluate(f"document.querySelector('input').value = '{TOKEN}'")
    await first.click("#both")
    await first.wait_for("!document.querySelector('#invitation').hidden")
    link = await first.text("#link")
    assert TOKEN not in link
    drawn = await first.evaluate("document.querySelector('#code path').getAttribute('d').length")
    assert drawn > 1000
    second = await browser.open(link)
    await run_to_end(first)
    assert await first.evaluate(STATES) == ENOUGH
    assert await first.evaluate("document.querySelector('#invitation').hidden")
    await second.wait_for(OVER)
    assert await second.text("#title") == "The test has passed"


async def test_second_device_is_late(browser: Chromium, nursery: trio.Nursery) -> None:
    """A second device that finds the pair full gets a hint."""
    port = await serve(nursery)
    first = await browser.open(f"http://127.0.0.1:{port}/test")
    await first.click("#both")
    await first.wait_for("!document.querySelector('#invitation').hidden")
    link = await first.text("#link")
    await browser.open(link)
    await first.wait_for(IDLE)
    third = await browser.open(link)
    await third.wait_for(OVER)
    assert "the pair is full" in await third.text("#cause")
    third.failures.clear()  # the console has the refusal


async def test_first_device_has_left(browser: Chromium, nursery: trio.Nursery) -> None:
    """A second device that gets no message closes its connection."""
    page = await browser.open(f"http://127.0.0.1:{await serve(nursery, max_connections=1)}/test")
    await page.evaluate("window.setTimeout = ((set) => (run, ms) => set(run, ms / 20))(setTimeout)")
    await page.evaluate("void answerTest('code')")
    await page.wait_for("document.querySelector('#title').innerText === 'Connected'")
    await page.advance_clock(16)
    await page.wait_for(OVER)
    assert (await page.text("#cause")).startswith("The first device has ended its test")
    ready = "fetch('ready').then((response) => response.ok)"
    with trio.fail_after(10):
        while not await page.evaluate(ready):
            await trio.sleep(0.05)
    page.failures.clear()  # the console has the refused requests


async def test_behind_a_prefix(browser: Chromium, nursery: trio.Nursery) -> None:
    """The page works below a path that a proxy removes, and from its own origin only."""
    relay = await serve(nursery, allowed_origins=("https://app.example",))
    port = await serve_proxy(nursery, relay, lambda head: head.replace(b" /relay/", b" /"))
    page = await browser.open(f"http://127.0.0.1:{port}/relay/test/")
    assert await page.text("#relay") == f"ws://127.0.0.1:{port}/relay/"
    await page.click("#alone")
    await run_to_end(page)
    assert await page.evaluate(STATES) == ENOUGH


@pytest.mark.parametrize(
    ("token", "states"), [(TOKEN, ENOUGH), ("wrong", "failed" + " not yet" * 7)]
)
async def test_token(
    browser: Chromium, nursery: trio.Nursery, token_file: str, token: str, states: str
) -> None:
    """The page asks for the token; a wrong one fails with a hint."""
    page = await browser.open(
        f"http://127.0.0.1:{await serve(nursery, token_file=token_file)}/test"
    )
    assert await page.evaluate("document.querySelector('#token').checkVisibility()")
    await page.evaluate(f"document.querySelector('input').value = '{token}'")
    await page.click("#alone")
    await run_to_end(page)
    assert await page.evaluate(STATES) == states
    if token != TOKEN:
        assert (await page.text("#cause")).startswith("The token is wrong")
        page.failures.clear()  # the console has the refusal


async def test_message_too_big(browser: Chromium, nursery: trio.Nursery) -> None:
    """If the relay closes the connection, the page has the close code and a hint."""
    port = await serve(nursery, max_message_size=100_000)
    page = await browser.open(f"http://127.0.0.1:{port}/test")
    await page.click("#alone")
    await run_to_end(page)
    assert await page.text("#title") == "Failed: 1 MiB sent"
    assert await page.text("#summary") == "The connection was closed with 1009 message too big."
    assert "max_message_size" in await page.text("#cause")


async def test_read_timeout(browser: Chromium, nursery: trio.Nursery) -> None:
    """If a proxy cuts the silent connection, the page has the time and a hint."""
    port = await serve_proxy(nursery, await serve(nursery), bytes, silence=4)
    page = await browser.open(f"http://127.0.0.1:{port}/test")
    await page.click("#alone")
    await run_to_end(page, skip=False)
    assert await page.evaluate(STATES) == "works " * 6 + "failed not yet"
    assert "seconds without data" in await page.text("#summary")
    assert "read timeout" in await page.text("#action")


@pytest.mark.parametrize(
    ("change", "settings", "cause"),
    [
        (b"Upgrade", {}, "A proxy does not pass on the upgrade"),
        (b"", {"max_connections": 1}, "max_connections"),
        (b"", {"max_connects_per_minute": 1}, "A limit of the relay for each client"),
    ],
)
async def test_refused(
    browser: Chromium,
    nursery: trio.Nursery,
    change: bytes,
    settings: dict[str, object],
    cause: str,
) -> None:
    """The page says why an upgrade was probably refused."""
    relay = await serve(nursery, **settings)
    port = await serve_proxy(
        nursery, relay, lambda head: head.replace(change, b"X-Lost") if change else head
    )
    page = await browser.open(f"http://127.0.0.1:{port}/test")
    await page.click("#alone")
    await run_to_end(page)
    assert cause in await page.text("#cause")
    page.failures.clear()  # the console has the refusal


async def test_relay_stops(browser: Chromium, nursery: trio.Nursery) -> None:
    """If the relay stops while a device waits, the page says so."""
    handle = await nursery.start(
        partial(serve_relay, host="127.0.0.1", port=0, settings=RelaySettings(test_page=True))
    )
    page = await browser.open(f"http://127.0.0.1:{handle.port}/test")
    await page.click("#both")
    await page.wait_for("!document.querySelector('#invitation').hidden")
    await handle.stop()
    await run_to_end(page)
    assert await page.text("#cause") == "The relay was stopped or restarted just now."
    await page.click("#alone")
    await run_to_end(page)
    assert (await page.text("#cause")).startswith("This device lost its network")
    page.failures.clear()  # the console has the refusal
