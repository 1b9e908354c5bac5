"""Listening sockets that the supervisor passed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from relay.daemon.errors import StartError
from relay.daemon.socket_activation import inherited_listeners

FIRST = 200
"""Descriptors from this number on, because this process uses those from 3 on."""

# As systemd does it: the descriptors from 3 on, and the variables, among them the number of the
# process that the program will have.
LAUNCHER = """
import fcntl, os, sys
descriptors = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in sys.argv[1].split(",")]
for place, descriptor in enumerate(descriptors, 3):
    os.dup2(descriptor, place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(descriptors)))
os.environ["LISTEN_FDNAMES"] = ":".join(f"relay{place}.socket" for place in range(3, place + 1))
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2]])
"""
PROGRAM = """
import json, os, trio
from relay.daemon.listeners import display_url, open_listeners
from relay.daemon.settings import DaemonSettings

async def main():
    listeners, _ = await open_listeners(DaemonSettings(host="no.such.host.invalid"))
    print(json.dumps([
        [display_url(listener) for listener in listeners],
        [listener.socket.fileno() for listener in listeners],
        [os.get_inheritable(listener.socket.fileno()) for listener in listeners],
        [name for name in os.environ if name.startswith("LISTEN_")],
    ]), flush=True)
    for listener in listeners:
        async with listener, await listener.accept() as stream:
            await stream.send_all(b"!")

trio.run(main)
"""


def environment(count: object, names: str = "", pid: int | None = None) -> dict[str, str]:
    """Return the variables that describe inherited sockets, and another one."""
    pid = os.getpid() if pid is None else pid
    variables = {"LISTEN_PID": str(pid), "LISTEN_FDS": str(count), "LISTEN_FDNAMES": names}
    return variables | {"HOME": "/"}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Close the sockets of a test."""
    with ExitStack() as stack:
        yield stack


def listening(stack: ExitStack, family: int, address: object) -> socket.socket:
    """Return a socket that listens."""
    sock = stack.enter_context(socket.socket(family))
    sock.bind(address)  # type: ignore[arg-type]
    sock.listen()
    return sock


def passed(stack: ExitStack, *files: socket.socket | int) -> None:
    """Put copies of descriptors at FIRST and above."""
    for place, file in enumerate(files, FIRST):
        os.dup2(file if isinstance(file, int) else file.fileno(), place)
        stack.callback(close, place)


def close(descriptor: int) -> None:
    """Close a descriptor, if it is still open."""
    os.closerange(descriptor, descriptor + 1)


async def test_a_started_program(time_limit: None, stack: ExitStack, tmp_path: Path) -> None:
    """A program listens on the sockets, not on host and port; the file of a Unix socket stays."""
    path = str(tmp_path / "relay.sock")
    sockets = [
        listening(stack, socket.AF_INET, ("127.0.0.1", 0)),
        listening(stack, socket.AF_INET6, ("::1", 0)),
        listening(stack, socket.AF_UNIX, path),
        listening(stack, socket.AF_UNIX, f"\0arc-relay-test-{os.getpid()}"),
    ]
    numbers = [sock.fileno() for sock in sockets]
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", LAUNCHER, ",".join(map(str, numbers)), PROGRAM],
        pass_fds=numbers,
        stdout=subprocess.PIPE,
    )
    stack.callback(process.kill)
    assert process.stdout is not None
    async with process.stdout:
        found = json.loads(await process.stdout.receive_some())
        assert found == [
            [
                f"ws://127.0.0.1:{sockets[0].getsockname()[1]}",
                f"ws://[::1]:{sockets[1].getsockname()[1]}",
                f"unix:{path}",
                f"unix:@arc-relay-test-{os.getpid()}",
            ],
            [3, 4, 5, 6],
            [False] * 4,
            [],
        ]
        for sock in sockets:
            client = trio.socket.socket(sock.family)
            await client.connect(sock.getsockname())
            async with trio.SocketStream(client) as stream:
                assert await stream.receive_some(10) == b"!"
        assert await process.wait() == 0
    assert await trio.Path(path).exists()


async def test_nothing_passed() -> None:
    """Without the variables, or with a count of 0, there are no sockets."""
    assert inherited_listeners({"HOME": "/"}, FIRST) == []
    assert inherited_listeners(environment(0), FIRST) == []


@pytest.mark.parametrize("pid", [1, None])
async def test_taken_once(stack: ExitStack, pid: int | None) -> None:
    """The variables are removed, whether they are for this process or for another."""
    passed(stack, listening(stack, socket.AF_INET, ("127.0.0.1", 0)))
    variables = environment(1, pid=pid)
    listeners = inherited_listeners(variables, FIRST)
    assert len(listeners) == (pid is None)
    assert variables == {"HOME": "/"}
    for listener in listeners:
        await listener.aclose()


@pytest.mark.parametrize("count", ["", "all", "1.5", "-1", "1_0", " 1", "\u0661", "9" * 30])
def test_no_count(count: str) -> None:
    """A count that is no number is named in the error."""
    with pytest.raises(StartError) as caught:
        inherited_listeners(environment(count), FIRST)
    assert str(caught.value) == f"LISTEN_FDS must be a whole number, not {count!r}"


def wrong_descriptors(stack: ExitStack, path: Path) -> dict[str, list[socket.socket | int]]:
    """Return descriptors that a relay cannot listen on; closed ones are among them."""
    silent = stack.enter_context(socket.socket())
    silent.bind(("127.0.0.1", 0))
    datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    packets = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    packets.bind(str(path))
    packets.listen()
    one, other = socket.socketpair()
    stack.enter_context(other)
    stack.callback(os.close, file := os.open(os.devnull, os.O_RDONLY))
    return {
        "not listening": [silent],
        "datagrams": [datagrams],
        "packets": [packets],
        "connected": [stack.enter_context(one)],
        "a file": [file],
        "not open": [],
    }


@pytest.mark.parametrize(
    "kind", ["not listening", "datagrams", "packets", "connected", "a file", "not open"]
)
@pytest.mark.parametrize("names", ["", "web:admin", "web"])
def test_wrong_descriptor(stack: ExitStack, tmp_path: Path, kind: str, names: str) -> None:
    """A descriptor that is no listening stream is named in the error, and all are closed."""
    good = listening(stack, socket.AF_INET, ("127.0.0.1", 0))
    passed(stack, good, *wrong_descriptors(stack, tmp_path / "packets")[kind])
    with pytest.raises(StartError) as caught:
        inherited_listeners(environment(2, names), FIRST)
    called = " ('admin')" if names == "web:admin" else ""
    assert str(caught.value) == (
        f"descriptor {FIRST + 1}{called} in LISTEN_FDS is not a listening TCP or Unix stream"
        " socket; a socket unit needs ListenStream= and Accept=no"
    )
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(FIRST)


def test_other_family(stack: ExitStack) -> None:
    """A stream of an unknown family is refused."""
    try:
        sock = listening(stack, socket.AF_VSOCK, (socket.VMADDR_CID_ANY, 0xFFFFFFFF))
    except OSError:
        pytest.skip("no sockets of another family here")
    passed(stack, sock)
    with pytest.raises(StartError, match=f"descriptor {FIRST} in LISTEN_FDS is not"):
        inherited_listeners(environment(1), FIRST)
