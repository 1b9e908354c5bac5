"""Rules for connecting again after a lost connection ("Lost connections" in docs/endpoints.md).

Pure. Times are in seconds. An outage begins with the loss of a connection, or with the first
attempt, and ends with the next connection that lasts.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

FIRST_MINUTE: Final = 60.0
"""Duration of the first part of an outage, in which most outages end."""

SHORT_DELAY: Final = 1.0
"""Longest random delay in the first minute, and after a collision with another guest."""

LONG_DELAY: Final = 15.0
"""Longest random delay after the first minute."""

BASE_DELAY: Final = 0.1
"""The random delay after n failed attempts is at most this times 2^n."""

SHORT_TIMEOUT: Final = 2.5
"""Time for a TCP connection in the first minute: one retransmission of SYN, and a slow path."""

LONG_TIMEOUT: Final = 10.0
"""Time for a TCP connection after the first minute."""

MAX_RETRY_AFTER: Final = 300.0
"""Longest minimum delay. A relay asks for at most a minute."""

TEMPORARY: Final = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}
"""Statuses below 500 that can change without a change of the request."""


def retry_delay(failures: int, outage: float, fraction: float, retry_after: float = 0.0) -> float:
    """Return the delay before the next attempt.

    Args:
        failures: Number of failed attempts in this outage. The first attempt follows at once.
        outage: Time since the beginning of the outage.
        fraction: Random number, at least 0 and less than 1.
        retry_after: Result of `parse_retry_after`, a minimum that comes before the random delay,
            so that the clients of a relay do not return at the same moment.
    """
    if not failures:
        return 0.0
    limit = SHORT_DELAY if outage < FIRST_MINUTE else LONG_DELAY
    # The exponent is bounded, because a power of a large one is no float.
    return retry_after + fraction * min(limit, BASE_DELAY * 2.0 ** min(failures, 10))


def collision_delay(fraction: float) -> float:
    """Return the delay of a guest that met another guest (409, or another initiator)."""
    return fraction * SHORT_DELAY


def tcp_timeout(outage: float) -> float:
    """Return the time that an attempt has for its TCP connection."""
    return SHORT_TIMEOUT if outage < FIRST_MINUTE else LONG_TIMEOUT


def parse_retry_after(value: str | None, status: int) -> float:
    """Return the minimum delay that a response asks for; 0 if it asks for none.

    Args:
        value: Value of the header Retry-After. A date counts as none.
        status: Status of the response. The value of 409 is ignored, because a code is free again
            after a few round trips.
    """
    if status == HTTPStatus.CONFLICT or value is None:
        return 0.0
    text = value.strip()
    if not text.isascii() or not text.isdigit():
        return 0.0
    return min(float(text), MAX_RETRY_AFTER)


def refusal_text(status: int, reason: str, *, is_host: bool) -> str:
    """Return the cause of a temporary refusal in one line; see `is_final` for the arguments."""
    text = f"the relay answered {status} {reason}".rstrip()
    if status == HTTPStatus.UNAUTHORIZED and not is_host:
        return f"the host is not connected ({text})"
    return text


def is_final(status: int, *, is_host: bool, was_accepted: bool) -> bool:
    """Return True if a response would not change, so that the endpoint does not repeat the request.

    Args:
        status: Status of the response.
        is_host: True for a host, whose token is missing or wrong if the status is 401. For a guest,
            401 says that the host does not wait with the code now.
        was_accepted: True if the relay accepted a connection of this endpoint before. Then every
            other status is temporary, because a proxy in front may send it while the relay starts.
    """
    if status == HTTPStatus.UNAUTHORIZED:
        return is_host
    return (
        not was_accepted and status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in TEMPORARY
    )
