"""Memory of a relay with TLS depends on its open pairs, not on its earlier ones."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from tests.support.certificates import Certificate, client_context
from tests.support.raw_client import Client, encode_close
from tests.support.relay_fixtures import ProcessRelay

MIB = 2**20
PAIRS = 30
MESSAGE = bytes(16384)


@pytest.fixture
def options(tmp_path: Path) -> Sequence[str]:
    """Return the options of a relay with TLS."""
    return Certificate(tmp_path).options


@pytest.fixture
def client_tls() -> ssl.SSLContext:
    """Return the TLS context of the clients."""
    return client_context()


async def open_and_close(relay: ProcessRelay) -> None:
    """Open pairs at once, use them, and end each in one of three ways."""
    pairs = [await relay.pair(f"{number}") for number in range(PAIRS)]
    for number, (a, b) in enumerate(pairs):
        await a.send_message(MESSAGE)
        assert await b.message() == MESSAGE
        if number % 3 == 0:
            await a.send(encode_close(1000))
            await a.close_frame()
        elif number % 3 == 1:
            assert isinstance(a.stream, trio.SSLStream)
            await Client(a.stream.transport_stream).reset()
        await trio.aclose_forcefully(a.stream)
        await trio.aclose_forcefully(b.stream)
    with trio.fail_after(10):
        while await relay.pairs():
            await trio.sleep(0.01)


async def test_many_pairs(process_relay: ProcessRelay) -> None:
    """Later pairs take no more memory than the first of them."""
    for _ in range(2):
        await open_and_close(process_relay)
    before = process_relay.memory()
    for _ in range(4):
        await open_and_close(process_relay)
    assert process_relay.memory() - before < 3 * MIB
