"""Rules for the next attempt to connect ("Lost connections" in docs/endpoints.md).

Pure. Times are in seconds. An outage begins with the loss of a connection or with the very first
attempt. It ends with the next connection that lasts for `outage.STABLE`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from .errors import ConnectionLost, Refused

FIRST_MINUTE: Final = 60.0  # first phase of an outage; most outages end within it
SHORT_DELAY: Final = 1.0  # maximum random delay in the first minute, and after a collision
LONG_DELAY: Final = 15.0  # maximum random delay after the first minute
BASE_DELAY: Final = 0.1  # the random delay after n failures is at most this times 2^n
SHORT_TIMEOUT: Final = 2.5  # of TCP in the first minute; allows one retransmission of SYN
LONG_TIMEOUT: Final = 10.0  # of TCP after the first minute
MAX_RETRY_AFTER: Final = 300.0  # a relay asks for at most a minute
TEMPORARY: Final = {408, 409, 425, 429}  # statuses below 500 that may change

# Pattern of texts that are safe to display. A response may come from a server that is not a relay,
# and may then contain any text, even the code.
PLAIN_WORDS: Final = re.compile(r"[A-Za-z0-9 ,.:;()'/-]{1,120}")


def plain_words(text: str) -> str:
    """Return an untrusted text if it matches `PLAIN_WORDS`, and "" otherwise."""
    return text if PLAIN_WORDS.fullmatch(text) else ""


def retry_delay(failures: int, outage: float, fraction: float, retry_after: float = 0.0) -> float:
    """Return the delay before the next attempt.

    Args:
        failures: Number of failed attempts in this outage. If it is 0, the random delay is 0.
        outage: Time since the beginning of the outage.
        fraction: Random number, at least 0 and less than 1.
        retry_after: Minimum delay. The random delay is added to it, so that the clients of a relay
            do not return at the same moment.
    """
    if not failures:
        return retry_after
    limit = SHORT_DELAY if outage < FIRST_MINUTE else LONG_DELAY
    # The exponent is bounded, because a large exponent raises OverflowError.
    return retry_after + fraction * min(limit, BASE_DELAY * 2.0 ** min(failures, 10))


def tcp_timeout(outage: float) -> float:
    """Return the timeout of a TCP connection."""
    return SHORT_TIMEOUT if outage < FIRST_MINUTE else LONG_TIMEOUT


def parse_retry_after(value: str) -> float:
    """Return the minimum delay that a Retry-After header asks for; 0 if it is not in seconds."""
    text = value.strip()
    return min(float(text), MAX_RETRY_AFTER) if text.isascii() and text.isdigit() else 0.0


def refusal(
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes,
    *,
    is_host: bool,
    was_accepted: bool,
) -> Refused | ConnectionLost:
    """Return the error for an upgrade that got a response with an error status.

    Args:
        status: Status of the response.
        headers: Headers of the response.
        body: Body of the response.
        is_host: True for a host. For a host, 401 is final: its token is missing or wrong. For a
            guest, 401 is temporary: the host is not waiting with the code now.
        was_accepted: True if the relay has accepted an earlier connection of this endpoint. In this
            case, only 401 can be final: a proxy may send other statuses while the relay starts.

    Returns:
        Refused if a retry would get the same response, and ConnectionLost otherwise.
    """
    fields = {name.lower(): value.decode(errors="replace") for name, value in headers}
    reason = plain_words(body.decode(errors="replace").strip())
    is_unauthorized = status == HTTPStatus.UNAUTHORIZED
    is_temporary = was_accepted or status in TEMPORARY or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    if is_host if is_unauthorized else not is_temporary:
        pair = fields.get(b"arc-relay-pair", "")
        return Refused(status, reason, pair if re.fullmatch(r"[0-9a-f]{10}", pair) else None)
    text = f"the relay answered {status} {reason}".rstrip()
    if is_unauthorized:
        text = f"the host is not connected ({text})"
    is_collision = status == HTTPStatus.CONFLICT
    # A code is free again after a few round trips. A relay that restarts is usually back earlier
    # than its Retry-After says.
    is_soon = is_collision or reason == "relay is stopping"
    retry_after = 0.0 if is_soon else parse_retry_after(fields.get(b"retry-after", ""))
    return ConnectionLost(text, is_collision=is_collision, retry_after=retry_after)
