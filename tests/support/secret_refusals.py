"""Clients that are refused in every way, with a secret word that no output may have."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from .raw_client import upgrade_request
from .secret_scenarios import CONNECTS_PER_MINUTE, MAX_PER_CLIENT, WORD, AnsweringClient, Clients

REQUESTS = {
    b"GET /%b HTTP/1.1\r\nHost: %b\r\n\r\n": 404,
    b"POST /health?%b HTTP/1.1\r\nHost: %b\r\n\r\n": 405,
    b"GET /health?pair=%b HTTP/1.1\r\nHost: %b\r\n\r\n": 200,
    b"GET /ready?%b HTTP/1.1\r\nCookie: %b\r\n\r\n": 400,
    b"%b\r\n%b\r\n": 400,
    b"GET /?pair=%b HTTP/1.1\r\nX: %b" + bytes(100) + b"\r\n\r\n": 400,
    b"GET /?pair=%b HTTP/1.1\r\nX: %b" + b"x" * 17000: 431,
    b"GET /?pair=%b HTTP/1.1\r\nX: %b\r\n": 408,
    b"PROXY %b %b\r\n": 400,
    b"GET http://%b/ HTTP/1.1\r\nHost: %b\r\n\r\n": 404,
    b"GET /%b HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: %b\r\n\r\n": 426,
}

UPGRADES: list[tuple[str, dict[str, str | None], int]] = [
    (f"/{WORD}", {}, 400),
    (f"/?pair={WORD * 100}", {}, 400),
    (f"/?pair={WORD}%ff", {}, 400),
    (f"/?pair={WORD}", {"sec_websocket_version": WORD}, 426),
    (f"/?pair={WORD}", {"sec_websocket_key": WORD}, 400),
    (f"/?pair={WORD}", {"sec_websocket_protocol": f"{WORD} {WORD}"}, 400),
    (f"/?pair={WORD}", {"origin": f"{WORD}\xff"}, 400),
    (f"/?pair={WORD}", {"cookie": f"{WORD}\xff"}, 401),
    (f"/?pair={WORD}", {"content_length": "5"}, 400),
    (f"/?pair={WORD}", {"connection": WORD}, 400),
    (f"/?pair={WORD}&token={WORD}", {}, 401),
]
"""Targets, headers and status codes of the responses."""

BY_OPTIONS: list[tuple[str, dict[str, str | None], int]] = [
    (f"/?pair={WORD}", {"origin": f"https://{WORD}.example"}, 403),
    (f"/?pair={WORD}%20", {}, 400),
]
"""Requests that are refused with the options below."""

REFUSAL_OPTIONS = ("--strict-codes", "--allowed-origins", "https://app.example")


async def be_refused(clients: Clients) -> None:
    """Send every request that is refused with any options."""
    for request, status in REQUESTS.items():
        response = await clients.request(request % (WORD.encode(), WORD.encode()))
        assert response.status == status, request
    await send_refused(clients, UPGRADES)


async def be_refused_by_options(clients: Clients) -> None:
    """Send the requests that are refused with the options below."""
    await send_refused(clients, BY_OPTIONS)


async def send_refused(
    clients: Clients, requests: Iterable[tuple[str, dict[str, str | None], int]]
) -> None:
    """Send requests that are refused, with secret words in further headers."""
    private: dict[str, str | None] = {
        "cookie": f"{WORD}-cookie",
        f"x_{WORD}": WORD,
    }
    for target, headers, status in requests:
        private["x_forwarded_for"] = clients.address()
        request = upgrade_request(target, **private | headers)
        assert (await clients.request(request)).status == status, target


async def exceed_client_limits(clients: Clients) -> None:
    """Exceed the limits of one client: on connections, and on attempts."""
    address = clients.address()
    for number in range(MAX_PER_CLIENT):
        await clients.join(f"many-{number // 2}", address=address)
    _, status = await clients.upgrade("many-0", address=address)
    assert status == 429
    address = clients.address()
    for _ in range(CONNECTS_PER_MINUTE):
        _, status = await clients.upgrade("new", address=address, authorization=WORD)
        assert status == 401
    _, status = await clients.upgrade("new", address=address, authorization=WORD)
    assert status == 429


async def fill(clients: Clients) -> list[AnsweringClient]:
    """Fill the relay: first the waiting codes, and then all slots."""
    waiting = await join_until_full(clients, (f"lone-{number}" for number in itertools.count()))
    codes = (f"lone-{number}" for number in range(len(waiting)))
    more = (f"more-{number // 2}" for number in itertools.count())
    return waiting + await join_until_full(clients, itertools.chain(codes, more))


async def join_until_full(clients: Clients, codes: Iterable[str]) -> list[AnsweringClient]:
    """Join sides until there is no slot; return the joined ones."""
    sides = []
    for code in codes:
        side, status = await clients.upgrade(code)
        if status != 101:
            assert status == 503
            break
        sides.append(side)
    return sides
