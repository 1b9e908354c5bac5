"""Listener on a Unix socket, and its file."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from relay.daemon.errors import StartError
from relay.daemon.unix_listener import BACKLOG, open_unix


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of the socket."""
    return tmp_path / "relay.sock"


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Set the umask of the relay."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode_of(path: Path) -> int | None:
    """Return the mode of a file; None if there is none."""
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else None


async def expect_service(path: Path, listener: trio.abc.Listener[trio.SocketStream]) -> None:
    """Connect, and get a byte from the accepted connection."""
    async with await trio.open_unix_socket(path) as client, await listener.accept() as accepted:
        await accepted.send_all(b"!")
        assert await client.receive_some(10) == b"!"


def stale(path: Path) -> None:
    """Leave the file of a socket without a listener, as a killed relay does."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


async def test_serves_and_leaves_nothing(path: Path) -> None:
    """Clients connect while the listener is open; closed once or twice, it leaves no file."""
    listener = open_unix(str(path), 0o660)
    await expect_service(path, listener)
    await listener.aclose()
    assert mode_of(path) is None
    stale(path)
    await listener.aclose()
    assert mode_of(path) is not None


async def test_closed_at_once(path: Path) -> None:
    """A listener that is closed in a cancelled scope leaves no file."""
    listener = open_unix(str(path), 0o660)
    await trio.aclose_forcefully(listener)
    assert mode_of(path) is None
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
async def test_mode(path: Path, umask: int, mode: int) -> None:
    """The socket has the given mode, and the umask is unchanged."""
    async with open_unix(str(path), mode):
        assert mode_of(path) == mode
    os.umask(before := os.umask(0))
    assert before == umask


async def test_never_more_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket has its mode before any client can connect."""
    modes = []

    class Watched(socket.socket):
        def bind(self, address: str) -> None:  # type: ignore[override]
            super().bind(address)
            modes.append(mode_of(path))

        def listen(self, backlog: int = 0) -> None:
            modes.append(mode_of(path))
            assert backlog == BACKLOG
            super().listen(backlog)

    monkeypatch.setattr(socket, "socket", Watched)
    async with open_unix(str(path), 0o600):
        assert modes == [0o600, 0o600]


async def test_stale_socket(path: Path) -> None:
    """A socket that a killed relay left is replaced."""
    stale(path)
    async with open_unix(str(path), 0o660) as listener:
        await expect_service(path, listener)


async def test_replaced_socket(path: Path) -> None:
    """A relay that stops does not remove the socket of its successor."""
    first = open_unix(str(path), 0o660)
    os.unlink(path)  # noqa: PTH108
    async with open_unix(str(path), 0o660) as second:
        await first.aclose()
        await expect_service(path, second)


async def test_file_gone(path: Path) -> None:
    """A file that another process removed is no error."""
    listener = open_unix(str(path), 0o660)
    os.unlink(path)  # noqa: PTH108
    await listener.aclose()


async def test_file_that_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be removed is no error."""
    listener = open_unix(str(path), 0o660)

    def refuse(_path: Path) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        await listener.aclose()
    assert mode_of(path) == 0o660


def refused(path: Path) -> str:
    """Return the error message for a path, without the part that all messages share."""
    with pytest.raises(StartError) as caught:
        open_unix(str(path), 0o660)
    start = f"cannot listen on --unix-socket {str(path)!r}: "
    assert str(caught.value).startswith(start)
    return str(caught.value).removeprefix(start)


@pytest.mark.parametrize("backlog", [10, 0])
def test_live_socket(path: Path, backlog: int) -> None:
    """A socket with a listener is kept, also if its backlog is full."""
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as client:
        other.bind(str(path))
        other.listen(backlog)
        client.connect(str(path))
        assert refused(path) == "a program listens there; stop it, or choose another path"
    assert path.exists()


def test_another_kind_of_file(path: Path) -> None:
    """A file that is no socket is not removed."""
    path.write_text("precious")
    expected = "a file that is not a socket is there; remove it, or choose another path"
    assert refused(path) == expected
    assert path.read_text() == "precious"


def test_link(path: Path) -> None:
    """A link to a stale socket is kept, and so is the socket."""
    target = path.with_name("target")
    stale(target)
    path.symlink_to(target)
    expected = "a file that is not a socket is there; remove it, or choose another path"
    assert refused(path) == expected
    assert target.exists()


def test_other_programs_socket(path: Path) -> None:
    """A socket of another type than stream is kept."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        assert refused(path) == "Protocol wrong type for socket"
    assert path.exists()


def test_impossible_paths(path: Path) -> None:
    """An impossible path is refused with the reason of the kernel."""
    assert refused(path / "below") == "No such file or directory"
    assert refused(path.with_name("x" * 108)) == "AF_UNIX path too long"
