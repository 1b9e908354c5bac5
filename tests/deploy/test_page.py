"""The test page in Chromium, through nginx and Caddy as shipped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.chromium import Chromium, run_chromium

from .certificates import HOST
from .programs import find_program
from .proxies import Caddy, Nginx
from .proxy import Proxy
from .test_proxies import RELAYS, Build, build
from .world import World

__all__ = ["build"]

pytestmark = pytest.mark.deploy

IDLE = "document.querySelector('#skip').checkVisibility()"
OVER = "!['', 'running'].includes(document.querySelector('#verdict').className)"


@pytest.fixture(params=[Nginx, Caddy], ids=lambda proxy: proxy.name)
def kind(request: pytest.FixtureRequest) -> type[Proxy]:
    """Return each kind of proxy of this module."""
    kind: type[Proxy] = request.param
    return kind


@pytest.fixture
def program(kind: type[Proxy]) -> Path:
    """Return its program."""
    return find_program(kind.name)


@pytest.fixture
async def world(build: Build) -> World:
    """Return relays with the page behind a proxy."""
    world = build("--test-page", "--allowed-origins", "https://app.example")
    await world.fleet.add(world.ports[:RELAYS])
    await world.proxy.start(world.fleet.ports)
    return world


@pytest.fixture
async def browser(tmp_path: Path, time_limit: None) -> AsyncIterator[Chromium]:
    """Run Chromium, for which the host name is this machine."""
    options = (f"--host-resolver-rules=MAP {HOST} 127.0.0.1", "--ignore-certificate-errors")
    async with run_chromium(tmp_path / "profile", *options) as browser:
        yield browser
        assert [page.failures for page in browser.pages.values() if page.failures] == []


async def test_two_devices(world: World, browser: Chromium) -> None:
    """Two devices test the way through the proxy, and reach the same relay."""
    first = await browser.open(f"https://{HOST}:{world.proxy.port}/test")
    await first.click("#both")
    await first.wait_for("!document.querySelector('#invitation').hidden")
    link = await first.text("#link")
    world.entry.codes.add(link.partition("#pair=")[2])
    second = await browser.open(link)
    await first.wait_for(IDLE)
    await first.click("#skip")
    await first.wait_for(OVER)
    assert await first.text("#title") == "Everything that was tested works"
    await second.wait_for(OVER)
    assert await second.text("#title") == "The test has passed"


async def test_one_device(world: World, browser: Chromium) -> None:
    """One device tests the way through the proxy, an idle minute included."""
    page = await browser.open(f"https://{HOST}:{world.proxy.port}/test")
    await page.click("#alone")
    await page.wait_for(IDLE)
    await page.advance_clock(57)
    await page.wait_for(OVER)
    assert await page.text("#title") == "Everything works"
