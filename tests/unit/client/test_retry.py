"""Rules for connecting again."""

from __future__ import annotations

import pytest

from relay.client.retry import (
    collision_delay,
    is_final,
    parse_retry_after,
    refusal_text,
    retry_delay,
    tcp_timeout,
)

ALMOST_ONE = 1 - 2**-53


@pytest.mark.parametrize(
    ("failures", "outage", "longest"),
    [
        (0, 0.0, 0.0),
        (0, 1000.0, 0.0),
        (1, 0.0, 0.2),
        (2, 1.0, 0.4),
        (3, 2.0, 0.8),
        (4, 3.0, 1.0),
        (10, 59.9, 1.0),
        (2, 60.0, 0.4),
        (7, 60.0, 12.8),
        (8, 60.0, 15.0),
        (100_000, 59.9, 1.0),
        (100_000, 1e6, 15.0),
    ],
)
def test_delay(failures: int, outage: float, longest: float) -> None:
    """The delay is random, and its range doubles with each failure up to a limit."""
    assert retry_delay(failures, outage, 0.0) == 0.0
    assert retry_delay(failures, outage, 0.5) == pytest.approx(longest / 2)
    assert retry_delay(failures, outage, ALMOST_ONE) == pytest.approx(longest)


def test_retry_after() -> None:
    """Retry-After is the minimum delay, and the random delay comes on top."""
    assert retry_delay(1, 0.0, 0.0, retry_after=5.0) == 5.0
    assert retry_delay(4, 0.0, 0.5, retry_after=5.0) == 5.5


@pytest.mark.parametrize(
    ("value", "status", "seconds"),
    [
        (None, 503, 0.0),
        ("5", 503, 5.0),
        (" 30 ", 429, 30.0),
        ("0", 429, 0.0),
        ("300", 503, 300.0),
        ("301", 503, 300.0),
        ("9" * 5000, 503, 300.0),
        ("5", 409, 0.0),
        ("-5", 503, 0.0),
        ("1.5", 503, 0.0),
        ("", 503, 0.0),
        ("\u0665", 503, 0.0),
        ("nan", 503, 0.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 503, 0.0),
    ],
)
def test_parse_retry_after(value: str | None, status: int, seconds: float) -> None:
    """The number of seconds is read, with an upper limit; a date and garbage are ignored."""
    assert parse_retry_after(value, status) == seconds


def test_collision() -> None:
    """A guest that met another guest comes back within a second."""
    assert collision_delay(0.0) == 0.0
    assert collision_delay(0.5) == 0.5
    assert collision_delay(ALMOST_ONE) < 1.0


def test_tcp_timeout() -> None:
    """A TCP connection has more time after the first minute."""
    assert [tcp_timeout(outage) for outage in (0.0, 59.9, 60.0, 1e6)] == [2.5, 2.5, 10.0, 10.0]


@pytest.mark.parametrize("status", [200, 301, 400, 403, 404, 405, 426, 431])
@pytest.mark.parametrize("is_host", [True, False])
def test_final_at_first(status: int, is_host: bool) -> None:
    """A response that would not change is final, if the relay accepted no connection before."""
    assert is_final(status, is_host=is_host, was_accepted=False)
    assert not is_final(status, is_host=is_host, was_accepted=True)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("is_host", [True, False])
@pytest.mark.parametrize("was_accepted", [True, False])
def test_temporary(status: int, is_host: bool, was_accepted: bool) -> None:
    """A response that depends on the state of the relay is temporary."""
    assert not is_final(status, is_host=is_host, was_accepted=was_accepted)


@pytest.mark.parametrize("was_accepted", [True, False])
def test_unauthorized(was_accepted: bool) -> None:
    """401 is final for a host, whose token is wrong, and not for a guest, whose host is away."""
    assert is_final(401, is_host=True, was_accepted=was_accepted)
    assert not is_final(401, is_host=False, was_accepted=was_accepted)


def test_refusal_text() -> None:
    """A guest needs no token, so its 401 says that the host is missing."""
    assert refusal_text(401, "x", is_host=False) == (
        "the host is not connected (the relay answered 401 x)"
    )
    assert refusal_text(401, "x", is_host=True) == "the relay answered 401 x"
    assert refusal_text(503, "", is_host=False) == "the relay answered 503"
