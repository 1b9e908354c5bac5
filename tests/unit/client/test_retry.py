"""Rules for connecting again."""

from __future__ import annotations

import pytest

from relay.client.errors import ConnectionLost, Refused
from relay.client.retry import parse_retry_after, refusal, retry_delay, tcp_timeout

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
    assert retry_delay(0, 0.0, 0.5, retry_after=5.0) == 5.0
    assert retry_delay(1, 0.0, 0.0, retry_after=5.0) == 5.0
    assert retry_delay(4, 0.0, 0.5, retry_after=5.0) == 5.5


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0),
        (" 30 ", 30.0),
        ("0", 0.0),
        ("300", 300.0),
        ("301", 300.0),
        ("9" * 5000, 300.0),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("", 0.0),
        ("\u0665", 0.0),
        ("nan", 0.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
    ],
)
def test_parse_retry_after(value: str, seconds: float) -> None:
    """The number of seconds is read, with an upper limit; a date and garbage are ignored."""
    assert parse_retry_after(value) == seconds


def test_tcp_timeout() -> None:
    """A TCP connection has more time after the first minute."""
    assert [tcp_timeout(outage) for outage in (0.0, 59.9, 60.0, 1e6)] == [2.5, 2.5, 10.0, 10.0]


def refused(
    status: int, body: bytes = b"", *, is_host: bool, was_accepted: bool = False, **headers: str
) -> Refused | ConnectionLost:
    """Return the error for a response."""
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return refusal(status, fields, body, is_host=is_host, was_accepted=was_accepted)


@pytest.mark.parametrize("status", [200, 301, 400, 403, 404, 405, 426, 431])
@pytest.mark.parametrize("is_host", [True, False])
def test_final_at_first(status: int, is_host: bool) -> None:
    """A response that would not change is final, if the relay accepted no connection before."""
    assert isinstance(refused(status, is_host=is_host), Refused)
    assert isinstance(refused(status, is_host=is_host, was_accepted=True), ConnectionLost)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("is_host", [True, False])
@pytest.mark.parametrize("was_accepted", [True, False])
def test_temporary(status: int, is_host: bool, was_accepted: bool) -> None:
    """A response that depends on the state of the relay is temporary."""
    error = refused(status, is_host=is_host, was_accepted=was_accepted)
    assert isinstance(error, ConnectionLost)
    assert error.is_collision == (status == 409)


@pytest.mark.parametrize("was_accepted", [True, False])
def test_unauthorized(was_accepted: bool) -> None:
    """401 is final for a host, whose token is wrong, and not for a guest, whose host is away."""
    error = refused(401, b"x\n", is_host=True, was_accepted=was_accepted)
    assert str(error) == "the relay refused the connection: 401 x"
    assert isinstance(error, Refused)
    error = refused(401, b"x", is_host=False, was_accepted=was_accepted)
    assert str(error) == "the host is not connected (the relay answered 401 x)"
    assert isinstance(error, ConnectionLost)


@pytest.mark.parametrize(
    ("status", "body", "seconds"),
    [(503, b"busy", 7), (429, b"", 7), (409, b"pair is full", 0), (503, b"relay is stopping", 0)],
)
def test_retry_after_of_response(status: int, body: bytes, seconds: float) -> None:
    """Retry-After counts, unless the code or the relay is back earlier."""
    error = refused(status, body, is_host=True, RETRY_AFTER="7")
    assert isinstance(error, ConnectionLost)
    assert error.retry_after == seconds
    assert str(error) == f"the relay answered {status} {body.decode()}".rstrip()


@pytest.mark.parametrize(
    ("pair", "expected"), [("0123456789", "0123456789"), ("01234", None), ("<b>3456789", None)]
)
def test_untrusted_response(pair: str, expected: str | None) -> None:
    """A text that is not fit for display is left out, and so is an invalid hash."""
    error = refused(404, b"<b>page", is_host=True, Arc_Relay_Pair=pair)
    assert isinstance(error, Refused)
    assert (error.reason, error.pair_hash) == ("", expected)
