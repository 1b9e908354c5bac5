"""Plan of a run: settings, clients, their operations, and the end of the relay. Pure.

A plan follows from its seed alone. Each client has a random generator of its own, so that a plan
with fewer clients or operations leaves the other clients as they were.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import shake_128
from random import Random
from typing import Any, Final, NamedTuple

from .frames import VIOLATIONS

MAX_MESSAGE: Final = 4 * 2**20
"""Setting ``max_message_size`` of all plans, in bytes."""

TIMES: Final = {
    "pair_ttl": 8.0,
    "sweep_interval": 1.0,
    "handshake_timeout": 3.0,
    "close_timeout": 3.0,
    "ping_interval": 2.0,
    "ping_timeout": 1.5,
    "stall_timeout": 6.0,
    "takeover_timeout": 1.0,
}
"""Timeouts of all plans in seconds, shorter than the defaults so that each expires in some runs."""

SILENT: Final = 0.9
"""Seconds without reading from which a client may count as unresponsive."""

LATE: Final = 40.0
"""Time in seconds at which a relay stops if its plan has no earlier stop."""

LEAVE: Final = ("close", "close", "close", "half-close", "hang up", "reset", "vanish", "violate")
"""Operations that end a client's part; the frequent ones repeat."""


class Op(NamedTuple):
    """Operation of a client."""

    kind: str
    size: int = 0
    """Bytes of a message, or the number of pings."""
    pieces: int = 1
    """Fragments of a message."""
    seconds: float = 0.0
    detail: str = ""


class Line(NamedTuple):
    """Properties of one direction of a memory stream."""

    capacity: int = 65536
    """Bytes that the line holds until the sender waits."""
    cut: int = 0
    """Maximum size of a read or a write; 0 is no maximum."""
    delay: float = 0.0
    """Maximum of the random delays in seconds."""


@dataclass(frozen=True)
class ClientPlan:
    """One client: its code, its streams and its operations."""

    index: int
    code: str
    start: float
    up: Line
    down: Line
    read_pause: float
    """Pause in seconds after each read."""
    ops: tuple[Op, ...]


@dataclass(frozen=True)
class Plan:
    """Everything that a run depends on."""

    seed: int
    clients: tuple[ClientPlan, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    stop: str = "stop"
    """Way in which the relay ends: ``stop``, ``close listeners`` or ``cancel``."""
    stop_at: float = LATE
    slack: float = 0.0
    """Seconds by which an end may be late in real time."""


def payload(client: int, number: int, size: int) -> bytes:
    """Return the payload of a client's message, which no other message of this size has."""
    return shake_128(f"{client}/{number}".encode()).digest(size)


def make_plan(seed: int) -> Plan:
    """Return the plan of a seed."""
    rng = Random(f"plan {seed}")
    codes = [f"code-{number}" for number in range(rng.choice((1, 1, 1, 2, 3)))]
    clients = tuple(
        make_client(Random(f"client {seed} {index}"), index, codes)
        for index in range(rng.choice((2, 2, 3, 4, 5, 7)))
    )
    return Plan(
        seed,
        clients,
        TIMES | make_limits(rng),
        rng.choice(("stop", "stop", "close listeners", "cancel")),
        make_stop_time(rng, clients),
    )


def make_stop_time(rng: Random, clients: tuple[ClientPlan, ...]) -> float:
    """Return the time of the stop: late, at any time, or while a client joins."""
    joins = rng.choice(clients).start + rng.uniform(0, 0.3)
    return rng.choice((LATE, LATE, LATE, rng.uniform(0, 12), joins))


def make_limits(rng: Random) -> dict[str, Any]:
    """Return settings that limit the clients of some runs."""
    choices: dict[str, Any] = {
        "max_waiting": rng.randint(1, 2),
        "max_connections": rng.randint(2, 4),
        "max_connects_per_minute": rng.randint(2, 5),
        "max_connections_per_client": rng.randint(2, 4),
        "max_pair_bytes": rng.choice((1, 1000, 100_000, 2**20)),
        "max_pair_seconds": rng.uniform(0.5, 6),
        "max_bytes_per_second": rng.choice((2**17, 2**20)),
        "drain_delay": rng.uniform(0.1, 2),
        "takeover_timeout": 0.0,
        "ping_interval": 0.0,
    }
    limits = {name: value for name, value in choices.items() if rng.random() < 0.06}
    return {"max_message_size": MAX_MESSAGE} | limits


def make_client(rng: Random, index: int, codes: list[str]) -> ClientPlan:
    """Return a client with random properties and operations."""
    slow = rng.random() < 0.2
    down = make_line(rng)
    if slow:  # 4 KiB per pause, so that the rest of the line and the relay's data pass in time
        down = Line(4096, 0, 0.0)
    ops = [make_op(rng) for _ in range(rng.choice((0, 1, 2, 3, 5, 9)))]
    if rng.random() < 0.75:
        ops.append(make_end(rng))
    return ClientPlan(
        index,
        rng.choice(codes),
        rng.choice((0.0, rng.random() * 0.01, rng.uniform(0, 2), rng.uniform(0, 12))),
        make_line(rng),
        down,
        0.02 if slow else 0.0,
        tuple(ops),
    )


def make_line(rng: Random) -> Line:
    """Return a line that is mostly fast."""
    return Line(
        rng.choice((1, 500, 4096, 65536, 65536, 2**18)),
        rng.choice((0, 0, 1, 7, 300, 5000)),
        rng.choice((0.0, 0.0, 0.001, 0.05)),
    )


def make_op(rng: Random) -> Op:
    """Return an operation after which the client goes on."""
    kind = rng.choices(("send", "pause", "ping", "text", "stall"), (60, 20, 8, 6, 3))[0]
    match kind:
        case "send":
            limit = rng.choices(
                (0, 16, 300, 5000, 70_000, 300_000, 3 * 2**20), (2, 9, 9, 6, 5, 3, 1)
            )
            return Op(kind, rng.randint(0, limit[0]), rng.choice((1, 1, 1, 2, 3, 20)))
        case "text":
            return Op(kind, rng.randint(0, 2000))
        case "ping":
            return Op(kind, rng.choice((1, 1, 3, 20)))
        case _:
            return Op(kind, seconds=rng.choice((0.0, rng.random(), rng.uniform(0, 4), 7.0)))


def make_end(rng: Random) -> Op:
    """Return an operation that ends the client's part."""
    kind = rng.choice(LEAVE)
    if kind == "violate":
        return Op(kind, detail=rng.choice(sorted(VIOLATIONS)))
    inside = "inside" if kind == "close" and rng.random() < 0.3 else ""
    return Op(kind, rng.choice((1000, 1001, 3000, 4999)), detail=inside)
