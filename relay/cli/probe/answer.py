"""Classify a response other than a valid 101, and determine whether the relay sent it.

Pure. An error response of the relay has one of several fixed lines as its body. A response with
such a line, or with the header Arc-Relay-Pair, is from the relay. Any other response is from
another server, such as a proxy.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from .hints import RELAY, Failure
from .relay_hints import RELAY_HINTS

STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)[ \r]")
PAIR: Final = re.compile(rb"\r\narc-relay-pair: ([0-9a-f]{10})\r\n", re.IGNORECASE)
SERVER_HEADER: Final = re.compile(rb"\r\nserver: *(\w[\w./ -]{0,40})", re.IGNORECASE)
HEALTH: Final = b'{"ok":'
"""Beginning of the body with which the relay responds to /health."""
PLAIN_WORDS: Final = re.compile(rb"[A-Za-z ,:'-]{1,80}")
TLS_ALERT: Final = b"\x15\x03"


def refusal(answer: bytes, *, with_token: bool = False) -> Failure:
    """Return the failure that a response other than a valid 101 indicates.

    ``answer`` contains the bytes that arrived; it may be empty. ``with_token`` is True if the
    request had a token.
    """
    if not answer:
        return Failure("the connection was closed without an answer", "no response")
    if answer.startswith(TLS_ALERT):
        return Failure("the answer is a TLS alert", "tls wanted")
    found = STATUS_LINE.match(answer)
    if found is None:
        return Failure("the answer is not HTTP/1.1", "not http")
    head, _, body = answer.partition(b"\r\n\r\n")
    plain = b"\r\ncontent-type: text/plain" in head.lower()
    status, reason = int(found[1]), body.decode(errors="replace") if plain else ""
    if body.startswith(HEALTH):
        reason = "health"
    pair = pair_in(answer)
    if reason in RELAY_HINTS or pair:
        cause = f"{RELAY}{reason}"
        causes = (f"{cause}, with a token", cause, RELAY) if with_token else (cause, RELAY)
        line = describe(status, "the relay", reason) + (f", pair {pair}" if pair else "")
        return Failure(line, *causes, answered_by="relay")
    server = SERVER_HEADER.search(head)
    sender = f"{server[1].decode()}, not from the relay" if server else "another server"
    # Quote only plain words, because a body may hold anything, such as the code.
    quoted = reason.strip() if PLAIN_WORDS.fullmatch(reason.strip().encode()) else ""
    line = describe(status, sender, quoted)
    return Failure(line, f"status {status}", f"status {status // 100}xx", answered_by="other")


def pair_in(answer: bytes) -> str:
    """Return the hash of the pair code in the head of a response; "" if there is none."""
    found = PAIR.search(answer.partition(b"\r\n\r\n")[0] + b"\r\n")
    return found[1].decode() if found else ""


def describe(status: int, sender: str, reason: str) -> str:
    """Return one line that describes a response."""
    quoted = f" ({reason})" if reason else ""
    if status == HTTPStatus.SWITCHING_PROTOCOLS:
        return "HTTP 101, but not for this upgrade"
    try:
        phrase = f" {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = ""
    return f"HTTP {status}{phrase} in place of 101, from {sender}{quoted}"
