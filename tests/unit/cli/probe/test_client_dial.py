"""Failures of TCP and TLS on the way to a relay."""

from __future__ import annotations

import errno
import ssl
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme

from relay.cli.probe.client import Awaited, dial
from relay.cli.probe.hints import HINTS, Failure, hint_for
from relay.client.dial import ConnectTarget, client_context, describe_tcp_error, describe_tls_error

AUTHORITY = trustme.CA()


@pytest.fixture
def trusting(tmp_path: Path) -> ssl.SSLContext:
    """Return a context that trusts the test's authority."""
    file = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(file)
    return client_context(ca=str(file))


async def read(stream: trio.abc.Stream) -> None:
    """Send "well" and read to the end."""
    await stream.send_all(b"well")
    while await stream.receive_some():
        pass


async def serve_tls(nursery: trio.Nursery, certificate: trustme.LeafCert) -> int:
    """Start a TLS server with this certificate; return its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)

    async def speak(stream: trio.SocketStream) -> None:
        try:
            await read(trio.SSLStream(stream, context, server_side=True, https_compatible=True))
        except trio.BrokenResourceError:
            await stream.aclose()

    listeners = await nursery.start(partial(trio.serve_tcp, speak, 0, host="127.0.0.1"))
    return int(listeners[0].socket.getsockname()[1])


async def serve_plain(nursery: trio.Nursery, answer: bytes | None) -> int:
    """Start a server that sends this answer and disconnects, or stays silent for None."""

    async def speak(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        if answer is None:
            await trio.sleep_forever()
        await stream.send_all(answer or b"")

    listeners = await nursery.start(partial(trio.serve_tcp, speak, 0, host="127.0.0.1"))
    return int(listeners[0].socket.getsockname()[1])


def at(port: int, context: ssl.SSLContext | None, host: str = "localhost") -> ConnectTarget:
    """Return a target on this machine."""
    return ConnectTarget((host,), port, tls=context, name=host)


async def failure_of(target: ConnectTarget) -> Failure:
    """Return the failure to connect to a target."""
    with pytest.raises(Failure) as caught:
        await dial(target, Awaited())
    return caught.value


async def test_tls(nursery: trio.Nursery, trusting: ssl.SSLContext) -> None:
    """A valid certificate gives a stream."""
    port = await serve_tls(nursery, AUTHORITY.issue_cert("localhost"))
    async with await dial(at(port, trusting), Awaited()) as stream:
        assert await stream.receive_some() == b"well"
    nursery.cancel_scope.cancel()


async def test_insecure(nursery: trio.Nursery) -> None:
    """Without verification, any certificate is accepted."""
    port = await serve_tls(nursery, trustme.CA().issue_cert("elsewhere.example"))
    async with await dial(at(port, client_context(verify=False)), Awaited()) as stream:
        assert await stream.receive_some() == b"well"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_wrong_name(nursery: trio.Nursery, trusting: ssl.SSLContext, host: str) -> None:
    """A certificate for another name is recognized."""
    port = await serve_tls(nursery, AUTHORITY.issue_cert("elsewhere.example"))
    failure = await failure_of(at(port, trusting, host))
    assert failure.causes == ("tls name",)
    assert host in failure.text
    nursery.cancel_scope.cancel()


async def test_unknown_authority(nursery: trio.Nursery, trusting: ssl.SSLContext) -> None:
    """A certificate of an unknown authority is recognized."""
    port = await serve_tls(nursery, trustme.CA().issue_cert("localhost"))
    assert (await failure_of(at(port, trusting))).causes == ("tls authority",)
    nursery.cancel_scope.cancel()


async def test_expired(nursery: trio.Nursery, trusting: ssl.SSLContext) -> None:
    """An expired certificate is recognized."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    port = await serve_tls(nursery, AUTHORITY.issue_cert("localhost", not_after=yesterday))
    assert (await failure_of(at(port, trusting))).causes == ("tls expired",)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not tls"),
        (b"\x15\x03\x01\x00\x02\x02\x70", "tls"),  # an alert: unrecognized_name
        (b"", "tls"),
    ],
)
async def test_no_tls(
    nursery: trio.Nursery, trusting: ssl.SSLContext, answer: bytes, cause: str
) -> None:
    """A server without TLS is distinguished from one that refuses the handshake."""
    failure = await failure_of(at(await serve_plain(nursery, answer), trusting))
    assert failure.causes == (cause,)
    nursery.cancel_scope.cancel()


async def test_no_handshake(nursery: trio.Nursery, trusting: ssl.SSLContext) -> None:
    """A stalled handshake can be cancelled, and is known to be the pending operation."""
    awaited = Awaited()
    target = at(await serve_plain(nursery, None), trusting)
    with trio.move_on_after(0.05) as scope:
        await dial(target, awaited)
    assert scope.cancelled_caught
    assert awaited.what == "TLS handshake"
    nursery.cancel_scope.cancel()


async def test_refused() -> None:
    """A port without a listener is distinguished from a name that does not resolve."""
    with trio.socket.socket() as reserved:
        await reserved.bind(("127.0.0.1", 0))
        failure = await failure_of(at(reserved.getsockname()[1], None, "127.0.0.1"))
    assert (failure.text, failure.causes) == ("connection refused", ("refused",))
    assert (await failure_of(at(1, None, "no-such-host.invalid"))).causes == ("dns",)


def test_unreachable() -> None:
    """Each reason of an unreachable host is named once, in the words of the kernel."""
    error = OSError("all attempts failed")
    numbers = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETUNREACH)
    error.__cause__ = ExceptionGroup("", [OSError(number, "") for number in numbers])
    text = "network is unreachable, no route to host"
    assert describe_tcp_error(error) == (text, "unreachable")
    assert describe_tcp_error(OSError("odd"))[0] == "odd"


def test_denied() -> None:
    """A Unix socket that the user may not open is distinguished from one without a listener."""
    failure = describe_tcp_error(PermissionError(errno.EACCES, "Permission denied"))
    assert failure == ("permission denied", "denied")


def test_odd_certificate() -> None:
    """A certificate that is refused for a rare reason is reported with that reason."""
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = 26, "unsuitable certificate purpose"
    text = "certificate refused: unsuitable certificate purpose"
    assert describe_tls_error(error) == (text, "tls certificate")


def test_hints() -> None:
    """The most specific cause has precedence, in its phase or in any; some causes have no hint."""
    cut = Failure("", "closed 1006", "closed")
    assert hint_for("idle", cut, 61.2) == HINTS["idle: closed 1006"].format(seconds="61 s")
    assert hint_for("small", cut, 1) == HINTS["closed 1006"]
    assert hint_for("idle", Failure("", "closed 4000", "closed"), 1).startswith("the read timeout")
    assert hint_for("connect", Failure("", "status 418", "status 4xx"), 1) == HINTS["status 4xx"]
    assert hint_for("small", Failure("", "who knows"), 1) == ""
    assert all("{" not in hint_for("", Failure("", key), 1) for key in HINTS)
