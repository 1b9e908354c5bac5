"""What the head of a request asks for: a place in a pair, a look at the relay, or nothing good.

Pure. A head is judged by itself; what the state of the relay allows is for the caller to say. No
header of a stranger gets further than this module, but for those that an `Upgrade` holds.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final
from urllib.parse import unquote_to_bytes

from .answers import (
    ANOTHER_ORIGIN,
    BAD_CODE,
    GET_ONLY,
    NOT_FOUND,
    NOT_PLAIN,
    WRONG_VERSION,
    Answer,
    bad_request,
)
from .head import Request
from .origin import normal_origin

__all__ = ["MAX_CODE", "Resource", "Upgrade", "answer_to", "judge", "token_matches"]

MAX_CODE: Final = 256
"""Characters that a pair code may have."""

KEY_SIZE: Final = 16  # bytes, RFC 6455 section 4.1
KEY_SUFFIX: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
BEARER: Final = re.compile(rb"bearer +(.+)", re.IGNORECASE)  # RFC 6750 section 2.1
PLAIN_CODE: Final = re.compile(r"[A-Za-z0-9._~-]+")
SEPARATORS: Final = re.compile(rb"[&;]")


@dataclass(frozen=True, slots=True, repr=False)
class Upgrade:
    """A good upgrade request; its representation shows nothing of it."""

    code: str
    response: bytes
    """The 101 for it. It accepts the first subprotocol that the client offers, if any: browsers
    fail without one."""
    origin: str | None = None
    """The web page that a browser connects from, as it says; other clients need not say any."""
    token: str | None = None
    """What the client shows to be allowed to open a new code."""
    forwarded: str = ""
    """All of X-Forwarded-For, which anybody may have written."""


class Resource(Enum):
    """What can be asked for by plain HTTP: the paths of it, for any path may end in a slash."""

    HEALTH = b"/health", b"/health/"
    READY = b"/ready", b"/ready/"


RESOURCES: Final = {path: resource for resource in Resource for path in resource.value}


def judge(
    request: Request,
    *,
    strict_codes: bool = False,
    allowed_origins: AbstractSet[str] = frozenset(),
) -> Upgrade | Resource | Answer:
    """Decide on a request by its head alone (RFC 6455 section 4.2.1, RFC 9110).

    With ``strict_codes`` a code must be plain and be given once. ``allowed_origins`` are such as
    `normal_origin` returns; if there is none, any will do.
    """
    headers: dict[bytes, bytes] = {}
    for name, value in request.headers:
        headers[name] = headers[name] + b", " + value if name in headers else value
    if b"websocket" in tokens(headers.get(b"upgrade", b"")):
        upgrade = judge_upgrade(request, headers)
        if isinstance(upgrade, Answer):
            return upgrade
        if strict_codes and not is_plain(upgrade.code, request.target):
            return NOT_PLAIN
        # An origin given twice is a list of two, which nobody allows.
        if allowed_origins and upgrade.origin is not None:
            return upgrade if normal_origin(upgrade.origin) in allowed_origins else ANOTHER_ORIGIN
        return upgrade
    resource = RESOURCES.get(request.target.partition(b"?")[0])
    if resource is None:
        return answer_to(request, NOT_FOUND)
    return resource if request.method == b"GET" else answer_to(request, GET_ONLY)


def judge_upgrade(request: Request, headers: dict[bytes, bytes]) -> Upgrade | Answer:
    """Decide on a request to upgrade to WebSocket; its path may be anything."""
    if request.method != b"GET":
        return answer_to(request, GET_ONLY)
    if request.http_version != b"1.1":
        return bad_request("an upgrade needs HTTP/1.1")
    if b"upgrade" not in tokens(headers.get(b"connection", b"")):
        return bad_request("an upgrade needs the header Connection: Upgrade")
    if not all(value.isascii() for value in headers.values()):
        return bad_request("header is not ASCII")
    if headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers:
        return bad_request("an upgrade has no body")
    if headers.get(b"sec-websocket-version") != b"13":
        return WRONG_VERSION
    key = headers.get(b"sec-websocket-key", b"")
    if not is_key(key):
        return bad_request("Sec-WebSocket-Key is not 16 bytes of base64")
    offered = headers.get(b"sec-websocket-protocol")
    subprotocol = None if offered is None else offered.split(b",")[0].strip()
    if subprotocol is not None and not TOKEN.fullmatch(subprotocol):
        return bad_request("Sec-WebSocket-Protocol is not a list of tokens")
    code = pair_code(request.target)
    if code is None:
        return BAD_CODE
    origin = headers.get(b"origin")
    return Upgrade(
        code,
        switching_protocols(key, subprotocol),
        None if origin is None else origin.decode("ascii"),
        bearer_token(headers.get(b"authorization", b""), request.target),
        headers.get(b"x-forwarded-for", b"").decode("ascii"),
    )


def answer_to(request: Request, answer: Answer) -> Answer:
    """Return the answer as this request may have it: to HEAD, without its body."""
    return replace(answer, bodiless=request.method == b"HEAD")


def tokens(value: bytes) -> list[bytes]:
    """Return the items of a comma-separated header in lower case."""
    return [item.strip().lower() for item in value.split(b",")]


def is_key(key: bytes) -> bool:
    """Return whether key is `KEY_SIZE` bytes in base64."""
    try:
        return len(base64.b64decode(key, validate=True)) == KEY_SIZE
    except binascii.Error:
        return False


def parameter(target: bytes, wanted: bytes) -> bytes | None:
    """Return the value of the first parameter with a name in a request target, still encoded."""
    query = target.partition(b"?")[2].partition(b"#")[0]
    for item in query.split(b"&"):
        name, _, value = item.partition(b"=")
        if unquote_to_bytes(name) == wanted:
            return value
    return None


def decoded(value: bytes | None) -> str | None:
    """Return the text that percent-encoding stands for; None if it is not UTF-8, or not there."""
    try:
        return None if value is None else unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        return None


def pair_code(target: bytes) -> str | None:
    """Return the first ``pair`` parameter of a request target, if it is a good code."""
    value = parameter(target, b"pair")
    code = decoded(value and value.replace(b"+", b" "))
    return code if code is not None and 0 < len(code) <= MAX_CODE else None


def is_plain(code: str, target: bytes) -> bool:
    """Return whether whatever looks for the pair code in a request target finds this one.

    A balancer in front of several relays may decode nothing, take the last of two, end a
    parameter at a semicolon, or not care for the case of its name.
    """
    named = [
        item
        for item in SEPARATORS.split(target.partition(b"?")[2])
        if unquote_to_bytes(item.partition(b"=")[0]).lower() == b"pair"
    ]
    plain = PLAIN_CODE.fullmatch(code) is not None
    return plain and named == [b"pair=" + code.encode()] and b"#" not in target


def bearer_token(authorization: bytes, target: bytes) -> str | None:
    """Return the token in a header Authorization, or else that in the ``token`` parameter.

    In a token ``+`` is itself: there may be one in it, but no space (RFC 6750 section 2.1). What
    authorizes by another scheme may be meant for a proxy, and hides no parameter.
    """
    bearer = BEARER.fullmatch(authorization)
    return bearer[1].decode("ascii") if bearer else decoded(parameter(target, b"token"))


def token_matches(given: str | None, expected: bytes) -> bool:
    """Return whether a client gave the token; nothing matches an empty one.

    How long it takes tells nothing about the expected token but its length.
    """
    return hmac.compare_digest(given.encode(), expected) if given else False


def switching_protocols(key: bytes, subprotocol: bytes | None) -> bytes:
    """Return the response to a good upgrade request (RFC 6455 section 4.2.2)."""
    accept = base64.b64encode(hashlib.sha1(key + KEY_SUFFIX, usedforsecurity=False).digest())
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept,
    ]
    if subprotocol is not None:
        lines.append(b"Sec-WebSocket-Protocol: " + subprotocol)
    return b"\r\n".join((*lines, b"", b""))
