"""Facts that the kernel knows about real sockets, and facts that it does not know."""

from __future__ import annotations

import errno
import os
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.transport.socket_info import (
    AckState,
    ack_state,
    peer_address,
    pending,
    socket_of,
    unsent_bytes,
)

SocketPair = tuple[trio.SocketStream, trio.SocketStream]

TCP_INFO_SIZE = 232
"""Size of struct tcp_info in linux/tcp.h, or more."""


@pytest.fixture
async def tcp(time_limit: None) -> AsyncIterator[SocketPair]:
    """Return both ends of a connection over the loopback interface; the first was accepted."""
    async with await open_listener("127.0.0.1") as listener:
        theirs = await trio.testing.open_stream_to_socket_listener(listener)
        ours = await listener.accept()
        async with ours, theirs:
            yield ours, theirs


@pytest.fixture
async def unix(time_limit: None) -> AsyncIterator[SocketPair]:
    """Return both ends of a connection over a Unix socket."""
    ours, theirs = (trio.SocketStream(end) for end in trio.socket.socketpair())
    async with ours, theirs:
        yield ours, theirs


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> SocketPair:
    """Return a connection of the kind of the test."""
    found: SocketPair = request.getfixturevalue(request.param)
    return found


async def open_listener(host: str) -> trio.SocketListener:
    """Listen on a free port."""
    (listener,) = await trio.open_tcp_listeners(0, host=host)
    return listener


def fill(stream: trio.SocketStream) -> int:
    """Send until the kernel accepts no more, and return the number of bytes."""
    size = 0
    with suppress(BlockingIOError):
        while True:
            size += os.write(stream.socket.fileno(), bytes(100_000))
    return size


async def drain(stream: trio.SocketStream, size: int) -> None:
    """Receive so many bytes."""
    while size:
        size -= len(await stream.receive_some(size))


class TestQueued:
    """Bytes that the client's kernel has not acknowledged."""

    @pytest.mark.parametrize("pair", ["tcp", "unix"], indirect=True)
    async def test_unread(self, pair: SocketPair) -> None:
        """Bytes are unsent while the client does not read, and none are once it has read all."""
        ours, theirs = pair
        assert unsent_bytes(ours.socket) == 0
        size = fill(ours)
        assert unsent_bytes(ours.socket) > 0
        await drain(theirs, size)
        with trio.fail_after(5):
            while unsent_bytes(ours.socket):
                await trio.sleep(0.001)

    @pytest.mark.parametrize("pair", ["tcp", "unix"], indirect=True)
    async def test_closed(self, pair: SocketPair) -> None:
        """A closed socket has no unsent bytes."""
        fill(pair[0])
        pair[0].socket.close()
        assert unsent_bytes(pair[0].socket) == 0

    async def test_unknown(self, tcp: SocketPair, monkeypatch: pytest.MonkeyPatch) -> None:
        """A socket on a platform without this ioctl has no unsent bytes."""

        def ioctl(*args: object) -> bytes:
            raise OSError(errno.ENOTTY, "no such request")

        monkeypatch.setattr("fcntl.ioctl", ioctl)
        assert unsent_bytes(tcp[0].socket) == 0


@pytest.mark.parametrize("pair", ["tcp", "unix"], indirect=True)
async def test_pending(pair: SocketPair) -> None:
    """Received bytes that were not read are counted; a closed socket has none."""
    ours, theirs = pair
    assert pending(ours.socket) == 0
    await theirs.send_all(bytes(1000))
    with trio.fail_after(5):
        while pending(ours.socket) < 1000:
            await trio.sleep(0.001)
    await drain(ours, 1000)
    assert pending(ours.socket) == 0
    ours.socket.close()
    assert pending(ours.socket) == 0


class TestUptake:
    """Acknowledgements by the client's kernel."""

    async def test_taken(self, tcp: SocketPair) -> None:
        """Bytes that the client's kernel acknowledged are counted, and none is outstanding."""
        ours, theirs = tcp
        before = ack_state(ours.socket)
        assert before.seconds_since_ack == before.unacked_probes == 0
        await ours.send_all(bytes(1000))
        await drain(theirs, 1000)
        with trio.fail_after(5):
            while ack_state(ours.socket).acked_bytes < before.acked_bytes + 1000:
                await trio.sleep(0.001)
        assert ack_state(ours.socket) == AckState(before.acked_bytes + 1000)

    async def test_not_read(self, tcp: SocketPair) -> None:
        """A client that does not read stops acknowledging, and goes on when it reads."""
        ours, theirs = tcp
        size = fill(ours)
        before = ack_state(ours.socket).acked_bytes
        assert before < size
        await drain(theirs, size)
        with trio.fail_after(5):
            while ack_state(ours.socket).acked_bytes < size:
                await trio.sleep(0.001)

    async def test_unix(self, unix: SocketPair) -> None:
        """Progress of a reader on a Unix socket is visible in steps smaller than its buffer."""
        ours, theirs = unix
        size = fill(ours)
        taken = [ack_state(ours.socket).acked_bytes]
        for _ in range(4):
            await drain(theirs, size // 4)
            taken.append(ack_state(ours.socket).acked_bytes)
        assert taken == sorted(set(taken))
        assert ack_state(ours.socket)[1:] == (0.0, 0)

    async def test_closed(self, tcp: SocketPair) -> None:
        """A closed socket has no state."""
        fill(tcp[0])
        tcp[0].socket.close()
        assert ack_state(tcp[0].socket) == AckState()

    async def test_another_system(self, tcp: SocketPair, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a platform other than Linux, the unsent bytes show the progress of the client."""
        fill(tcp[0])
        monkeypatch.delattr(trio.socket, "TCP_INFO")
        assert ack_state(tcp[0].socket) == AckState(-unsent_bytes(tcp[0].socket))

    @pytest.mark.parametrize(
        ("retransmits", "probes", "expected"),
        [
            (0, 0, AckState(123_456_789_012)),
            (2, 0, AckState(123_456_789_012, 1.5, 2)),
            (0, 3, AckState(123_456_789_012, 1.5, 3)),
        ],
    )
    async def test_unanswered(self, retransmits: int, probes: int, expected: AckState) -> None:
        """The time without an acknowledgement counts only while data or a probe is outstanding."""
        info = bytearray(TCP_INFO_SIZE)
        info[2], info[3] = retransmits, probes
        struct.pack_into("=I", info, 56, 1500)  # tcpi_last_ack_recv, in milliseconds
        struct.pack_into("=Q", info, 120, 123_456_789_012)  # tcpi_bytes_acked
        assert ack_state(Known(bytes(info))) == expected

    async def test_old_kernel(self) -> None:
        """An older kernel, which reports less, gives the same result."""
        assert ack_state(Known(bytes(104))) == AckState()


class Known(trio.socket.SocketType):
    """Socket whose kernel state is given."""

    def __init__(self, info: bytes) -> None:
        self.info = info

    def getsockopt(self, level: int, name: int, size: int = 0) -> bytes:  # type: ignore[override]
        assert (level, name) == (trio.socket.IPPROTO_TCP, trio.socket.TCP_INFO)
        return self.info[:size]

    def fileno(self) -> int:
        return -1


class TestPeer:
    """Address of a client."""

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    async def test_tcp(self, host: str) -> None:
        """The address has no port, also under TLS."""
        async with await open_listener(host) as listener:
            theirs = await trio.testing.open_stream_to_socket_listener(listener)
            ours = await listener.accept()
            async with ours, theirs:
                assert peer_address(ours) == (ours.socket.family, host)
                tls = trio.SSLStream(ours, ssl.create_default_context(), server_side=False)
                assert peer_address(tls) == peer_address(ours)
                assert socket_of(tls) is ours.socket

    async def test_unix(self, unix: SocketPair) -> None:
        """A Unix socket has the word unix, with or without a path."""
        assert peer_address(unix[0]) == (trio.socket.AF_UNIX, "")

    async def test_named_unix(self, tmp_path: Path) -> None:
        """A client that is bound to a path has no address either."""
        sock = trio.socket.socket(trio.socket.AF_UNIX)
        with sock:
            await sock.bind(str(tmp_path / "relay"))
            sock.listen()
            theirs = await trio.open_unix_socket(str(tmp_path / "relay"))
            accepted, _ = await sock.accept()
            async with theirs, trio.SocketStream(accepted) as ours:
                assert peer_address(ours) == (trio.socket.AF_UNIX, "")

    async def test_memory(self) -> None:
        """A memory stream has no address, also under TLS."""
        ours, _ = trio.testing.memory_stream_pair()
        assert peer_address(ours) == (trio.socket.AF_UNSPEC, "")
        assert socket_of(ours) is None
        tls = trio.SSLStream(ours, ssl.create_default_context(), server_side=False)
        assert peer_address(tls) == (trio.socket.AF_UNSPEC, "")

    async def test_disconnected(self, tcp: SocketPair) -> None:
        """A client that has disconnected has no address."""
        ours, theirs = tcp
        linger = struct.pack("ii", 1, 0)
        theirs.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, linger)
        await theirs.aclose()
        with suppress(trio.BrokenResourceError):
            await ours.receive_some()
        assert peer_address(ours) == (trio.socket.AF_INET, "")
