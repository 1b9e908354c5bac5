"""Serve as the home endpoint of a pair: echo each message, and reconnect.

Usage: `python examples/echo_home.py 'wss://relay.example/?pair=CODE'`. A real endpoint also
authenticates its peer and encrypts every message: see SECURITY.md. docs/protocol.md has the rules
for reconnecting.
"""

from __future__ import annotations

import random
import sys
import time

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

FIRST_DELAY = 1.0
"""Longest delay in seconds before the first retry."""

MAX_DELAY = 60.0
"""Longest delay in seconds between two retries."""

LATER = {409, 429, 503}
"""Statuses with a `Retry-After`."""

UNAUTHORIZED = 401
"""Status for a guest whose host is not connected yet, or for a host without the token."""

REFUSED = range(400, 432)
"""Statuses after which a retry would fail again, apart from those above."""

TO_FIX = {1002, 1007, 1008, 1009}
"""Close codes after which a retry would fail again."""


def backoff(attempt: int) -> float:
    """Return a random delay, whose range doubles with each failed attempt."""
    return random.uniform(0, min(MAX_DELAY, FIRST_DELAY * 2 ** min(attempt, 10)))  # noqa: S311


def retry_delay(failure: Exception, attempt: int, *, joined: bool) -> float | None:
    """Return the seconds to wait before the next attempt; None if a retry would fail again.

    Args:
        failure: The exception that ended the connection, or that prevented it.
        attempt: The number of attempts since the last message.
        joined: True if the relay accepted this code before.
    """
    if isinstance(failure, InvalidStatus):
        response = failure.response
        if response.status_code in LATER:
            return float(response.headers.get("Retry-After", "5")) + backoff(attempt)
        if response.status_code in REFUSED and not (
            joined and response.status_code == UNAUTHORIZED
        ):
            return None
    if isinstance(failure, ConnectionClosed) and failure.rcvd and failure.rcvd.code in TO_FIX:
        return None
    return backoff(attempt)


def echo(connection: ClientConnection) -> None:
    """Return the first message to its sender."""
    connection.send(connection.recv())


def main(url: str) -> None:
    attempt, joined = 0, False
    while True:
        try:
            # The library pings the relay every 20 s, and answers the relay's pings.
            with connect(url, max_size=2**20) as connection:
                joined = True
                while True:
                    echo(connection)
                    attempt = 0
        except (ConnectionClosed, InvalidHandshake, OSError) as failure:
            delay = retry_delay(failure, attempt, joined=joined)
            if delay is None:
                sys.exit(f"echo_home: {failure}")
            print(f"echo_home: {failure}; next attempt in {delay:.1f} s", file=sys.stderr)
        attempt += 1
        time.sleep(delay)


if __name__ == "__main__":
    main(sys.argv[1])
