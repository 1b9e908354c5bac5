"""A relay process without free descriptors keeps its pairs, and accepts again with some."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import trio

from tests.support.raw_client import upgrade_request
from tests.support.relay_fixtures import ProcessRelay
from tests.support.running_relay import exchange


def ration_descriptors(relay: ProcessRelay, left: int) -> None:
    """Leave the process this number of free descriptors; skip the test if that is impossible."""
    if not hasattr(resource, "prlimit"):
        pytest.skip("this system has no prlimit")
    pid = relay.process.pid
    used = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + left, hard))


async def test_out_of_descriptors(process_relay: ProcessRelay) -> None:
    """Without free descriptors pairs go on, and connections are accepted once there are some."""
    bystanders = await process_relay.pair("bystanders")
    ration_descriptors(process_relay, 5)
    clients = [await process_relay.connect() for _ in range(20)]
    for number, client in enumerate(clients):
        await client.send(upgrade_request(f"/?pair={number}"))
    for client in clients[:5]:
        assert (await client.response()).status == 101
    while "accept failed: EMFILE" not in process_relay.log.read_text():
        await trio.sleep(0.01)
    await exchange(*bystanders)
    for client in clients[:10]:
        await client.reset()
    for client in clients[10:15]:
        assert (await client.response()).status == 101
    for client in clients[10:]:
        await client.reset()
    await exchange(*bystanders)
    await exchange(*await process_relay.pair("new"))


async def test_out_of_descriptors_with_much_held(process_relay: ProcessRelay) -> None:
    """A side with too much early data keeps waiting when no descriptor is free."""
    bystanders = await process_relay.pair("bystanders")
    ration_descriptors(process_relay, 1)
    a = await process_relay.join("hostile")
    await a.send_message(bytes(65_000))
    await a.send_message(bytes(65_000))
    for _ in range(10):
        await exchange(*bystanders)
    ration_descriptors(process_relay, 2)
    assert await process_relay.pairs() == 2
    b = await process_relay.join("hostile")
    assert await b.message() == bytes(65_000)
    assert await b.message() == bytes(65_000)
