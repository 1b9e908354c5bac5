"""Rules for the next attempt to connect ("Lost connections" in docs/endpoints.md).

Pure. Times are in seconds. An outage begins with the loss of a connection or with the very first
attempt. It ends with the next connection that lasts for `outage.STABLE`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

FIRST_MINUTE: Final = 60.0
"""Duration, in seconds, of the first phase of an outage. Most outages end within it."""

SHORT_DELAY: Final = 1.0
"""Maximum random delay in the first minute, and after a collision with another guest."""

LONG_DELAY: Final = 15.0
"""Maximum random delay after the first minute."""

BASE_DELAY: Final = 0.1
"""Base of the exponential backoff: the random delay after n failures is at most this times 2^n."""

SHORT_TIMEOUT: Final = 2.5
"""Timeout of a TCP connection in the first minute. It allows one retransmission of SYN on a slow
path."""

LONG_TIMEOUT: Final = 10.0
"""Timeout of a TCP connection after the first minute."""

MAX_RETRY_AFTER: Final = 300.0
"""Upper limit for the delay that a response asks for. A relay asks for at most a minute."""

TEMPORARY: Final = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}
"""Statuses below 500 after which the same request may succeed later."""


def retry_delay(failures: int, outage: float, fraction: float, retry_after: float = 0.0) -> float:
    """Return the delay before the next attempt.

    Args:
        failures: Number of failed attempts in this outage. If it is 0, the delay is 0.
        outage: Time since the beginning of the outage.
        fraction: Random number, at least 0 and less than 1.
        retry_after: Result of `parse_retry_after`. The random delay is added to this minimum, so
            that the clients of a relay do not return at the same moment.
    """
    if not failures:
        return 0.0
    limit = SHORT_DELAY if outage < FIRST_MINUTE else LONG_DELAY
    # The exponent is bounded, because a large exponent raises OverflowError.
    return retry_after + fraction * min(limit, BASE_DELAY * 2.0 ** min(failures, 10))


def collision_delay(fraction: float) -> float:
    """Return the delay after a collision with another guest (status 409, or AnotherInitiator)."""
    return fraction * SHORT_DELAY


def tcp_timeout(outage: float) -> float:
    """Return the timeout of a TCP connection."""
    return SHORT_TIMEOUT if outage < FIRST_MINUTE else LONG_TIMEOUT


def parse_retry_after(value: str | None, status: int) -> float:
    """Return the minimum delay that a response asks for; 0 if it asks for none.

    Args:
        value: Value of the Retry-After header; None if there is none. A date is ignored.
        status: Status of the response. With 409, the value is ignored, because a code is free again
            after a few round trips.
    """
    if status == HTTPStatus.CONFLICT or value is None:
        return 0.0
    text = value.strip()
    if not text.isascii() or not text.isdigit():
        return 0.0
    return min(float(text), MAX_RETRY_AFTER)


def refusal_text(status: int, reason: str, *, is_host: bool) -> str:
    """Return the cause of a temporary refusal, in one line. `is_final` describes ``is_host``."""
    text = f"the relay answered {status} {reason}".rstrip()
    if status == HTTPStatus.UNAUTHORIZED and not is_host:
        return f"the host is not connected ({text})"
    return text


def is_final(status: int, *, is_host: bool, was_accepted: bool) -> bool:
    """Return True if a retry would get the same error response, so that the endpoint gives up.

    Args:
        status: Status of the response.
        is_host: True for a host. For a host, 401 is final: its token is missing or wrong. For a
            guest, 401 is temporary: the host is not waiting with the code now.
        was_accepted: True if the relay has accepted an earlier connection of this endpoint. In this
            case, only 401 can be final: a proxy may send other statuses while the relay starts.
    """
    if status == HTTPStatus.UNAUTHORIZED:
        return is_host
    return (
        not was_accepted and status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in TEMPORARY
    )
