"""An idle connection keeps only the code of its request.

The tests measure memory with request heads of the maximum size.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import trio
import trio.testing

from tests.support.raw_client import Client, upgrade_request
from tests.support.running_relay import WatchedRelay, running

SIDES: Final = 8
SMALL: Final = 1500
"""Bytes by which the memory of a side may differ between runs."""

TOKEN: Final = "t" * 4000
Large = Callable[[int], dict[str, str]]
LARGE: Final[dict[str, Large]] = {
    "header": lambda n: {"filler": f"{n:04}" * 3700},
    "subprotocol": lambda n: {"sec_websocket_protocol": f"{n:04}" * 3700},
    "forwarded": lambda n: {"x_forwarded_for": f"10.0.{n}.1, " * 1200},
    "bearer": lambda _: {"authorization": f"Bearer {TOKEN}"},
    "token": lambda _: {"query": f"&token={TOKEN}"},
    "ignored-token": lambda n: {"query": f"&token={n}" + "%f0%9f%98%80" * 1000},
    "parameter": lambda n: {"query": f"&x={n}" + "y" * 15000},
}


async def enter(relay: WatchedRelay, code: str, large: dict[str, str]) -> Client:
    """Join a side with these headers, or this query, and drop them."""
    client = await relay.connect()
    headers = dict(large)
    target = f"/?pair={code}" + headers.pop("query", "")
    await client.send(upgrade_request(target, **headers))
    response = await client.response()
    assert response.status == 101
    response.headers.clear()
    await trio.testing.wait_all_tasks_blocked()
    return client


def held() -> int:
    """Return the number of bytes that Python has allocated."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def held_by_sides(large: Large | None, *, joined: bool, token_file: str) -> int:
    """Return the bytes that sides with large heads, or small ones, add to the memory of a relay."""
    proxies = ("unix", "10.0.0.0/8")
    async with running(trusted_proxies=proxies, token_file=token_file) as relay:
        before = held()
        for number in range(SIDES):
            code = f"{number // 2 if joined else number}"
            await enter(relay, code, large(number) if large else {})
        return held() - before


@pytest.mark.parametrize("joined", [False, True], ids=["waiting", "joined"])
@pytest.mark.parametrize("kind", LARGE)
async def test_memory(kind: str, joined: bool, tmp_path: Path) -> None:
    """A side with a large head uses no more memory than a side with a small one."""
    path = tmp_path / "token"
    path.write_text(TOKEN)
    token_file = str(path) if kind in {"bearer", "token"} else ""
    kinds = ((None, ""), (LARGE[kind], token_file))
    for large, tokens in kinds:  # the first time, caches are filled
        await held_by_sides(large, joined=joined, token_file=tokens)
    tracemalloc.start()
    try:
        small, big = [
            await held_by_sides(large, joined=joined, token_file=tokens) for large, tokens in kinds
        ]
    finally:
        tracemalloc.stop()
    assert big - small < SIDES * SMALL
