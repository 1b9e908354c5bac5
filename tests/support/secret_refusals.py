"""Clients that are refused in every way, with words that may show nowhere."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from .raw_client import upgrade_request
from .secret_scenarios import CONNECTS_PER_MINUTE, MAX_PER_CLIENT, WORD, Visitor, Visitors

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
"""Targets, headers and what they are answered with."""

PARTICULAR: list[tuple[str, dict[str, str | None], int]] = [
    (f"/?pair={WORD}", {"origin": f"https://{WORD}.example"}, 403),
    (f"/?pair={WORD}%20", {}, 400),
]
"""Those that depend on the options below."""

PARTICULAR_OPTIONS = ("--strict-codes", "--allowed-origins", "https://app.example")


async def be_refused(visitors: Visitors) -> None:
    """Ask for what cannot be."""
    for request, status in REQUESTS.items():
        response = await visitors.say(request % (WORD.encode(), WORD.encode()))
        assert response.status == status, request
    await ask_wrongly(visitors, UPGRADES)


async def be_refused_in_particular(visitors: Visitors) -> None:
    """Ask for what could be with other options."""
    await ask_wrongly(visitors, PARTICULAR)


async def ask_wrongly(
    visitors: Visitors, requests: Iterable[tuple[str, dict[str, str | None], int]]
) -> None:
    """Ask for what is refused, with other headers that are nobody's business."""
    private: dict[str, str | None] = {
        "cookie": f"{WORD}-cookie",
        f"x_{WORD}": WORD,
    }
    for target, headers, status in requests:
        private["x_forwarded_for"] = visitors.address()
        request = upgrade_request(target, **private | headers)
        assert (await visitors.say(request)).status == status, target


async def be_many(visitors: Visitors) -> None:
    """Be a client that has too many connections, and one that tries too often."""
    address = visitors.address()
    for number in range(MAX_PER_CLIENT):
        await visitors.join(f"many-{number // 2}", address=address)
    _, status = await visitors.ask("many-0", address=address)
    assert status == 429
    address = visitors.address()
    for _ in range(CONNECTS_PER_MINUTE):
        _, status = await visitors.ask("new", address=address, authorization=WORD)
        assert status == 401
    _, status = await visitors.ask("new", address=address, authorization=WORD)
    assert status == 429


async def fill(visitors: Visitors) -> list[Visitor]:
    """Be so many that first no code more may wait, and then nobody at all may come."""
    waiting = await ask_until_full(visitors, (f"lone-{number}" for number in itertools.count()))
    codes = (f"lone-{number}" for number in range(len(waiting)))
    more = (f"more-{number // 2}" for number in itertools.count())
    return waiting + await ask_until_full(visitors, itertools.chain(codes, more))


async def ask_until_full(visitors: Visitors, codes: Iterable[str]) -> list[Visitor]:
    """Ask for one place after the other until there is none; return who got one."""
    sides = []
    for code in codes:
        side, status = await visitors.ask(code)
        if status != 101:
            assert status == 503
            break
        sides.append(side)
    return sides
