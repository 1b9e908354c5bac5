"""The clients of the simulation over real sockets, and over a link that fails."""

from __future__ import annotations

import os
import shutil

import pytest

from proof.simulation.checker import check
from proof.simulation.link import Link, run_on_link
from proof.simulation.plan import ClientPlan, Line, Op, Plan
from proof.simulation.sockets import SETTINGS, SLACK, make_real_plan, run_on_sockets

SEEDS = range(40)

needs_link = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="a link takes root and the program ip"
)


async def test_sockets() -> None:
    """The relay keeps its promises over TCP, a Unix socket and TLS."""
    history = await run_on_sockets(SEEDS)
    assert check(history) == []
    assert any(pair.joined_at for pair in history.pairs)


@needs_link
async def test_lossy_link() -> None:
    """The relay keeps its promises if packets are late, lost and reordered."""
    link = Link(delay=0.02, loss=0.02, reorder=0.1)
    history = await run_on_link(make_real_plan(SEEDS[:10], ("link",)), link)
    assert check(history) == []
    assert link.lost
    assert link.reordered


def make_client(index: int, start: float, *ops: Op) -> ClientPlan:
    """Return a client with a fast line."""
    return ClientPlan(index, "phone", start, Line(), Line(), 0.0, ops)


@needs_link
async def test_changed_address() -> None:
    """A client that returns from another address gets its code, and meets its peer again."""
    clients = (
        make_client(0, 0.0, Op("send", 200_000)),
        make_client(1, 0.2, Op("send", 300), Op("pause", seconds=0.3), Op("vanish")),
        make_client(2, 0.8, Op("send", 100_000), Op("close", 1000)),  # waits, as it is too long
        make_client(3, 2.8, Op("send", 9)),
    )
    settings = SETTINGS | {"takeover_timeout": 1.5, "close_timeout": 2.0}
    history = await run_on_link(Plan(0, clients, settings, slack=SLACK), Link(delay=0.02))
    assert check(history) == []
    assert [sorted(pair.sides) for pair in history.pairs] == [[0, 1], [2, 3]]
    assert [pair.outcome for pair in history.pairs] == ["evicted", "closed"]
    assert history.clients[0].close == (1011, "peer disconnected")
    assert len(history.clients[3].received) == 1
