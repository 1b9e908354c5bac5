"""Standard input and output as streams: pipes, terminals, files and sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.cli.endpoint.standard_io import (
    StandardIO,
    StandardStreamFailed,
    open_again,
    read_blocking,
    write_blocking,
)

PIECE = 65536

Ends = tuple[int, int]


@pytest.fixture(params=["pipe", "socket"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    """Return two connected descriptors: one to read from, and one to write to."""
    if request.param == "pipe":
        reader, writer = os.pipe()
    else:
        reader, writer = (each.detach() for each in socket.socketpair())
    yield reader, writer
    for descriptor in (reader, writer):
        os.close(descriptor)


async def test_transfer(ends: Ends) -> None:
    """Bytes arrive, and no descriptor becomes non-blocking."""
    stream = StandardIO(*ends)
    await stream.send_all(b"hello")
    assert await stream.receive_some(PIECE) == b"hello"
    assert [os.get_blocking(each) for each in ends] == [True, True]
    await stream.send_eof()
    assert await stream.receive_some(PIECE) == b""
    os.write(ends[1], b"to the null device")


async def test_terminal() -> None:
    """A terminal is read line by line and written, and does not become non-blocking."""
    screen, keyboard = os.openpty()
    stream = StandardIO(keyboard, keyboard)
    os.write(screen, b"typed\n")
    assert await stream.receive_some(PIECE) == b"typed\n"
    os.read(screen, 100)  # the echo
    await stream.send_all(b"printed")
    assert os.read(screen, 100) == b"printed"
    assert os.get_blocking(keyboard)
    os.close(screen)
    os.close(keyboard)


async def test_end_of_terminal(tmp_path: Path) -> None:
    """Input from a terminal ends with the output: a read in progress, and each later one."""
    screen, keyboard = os.openpty()
    output = os.open(tmp_path / "output", os.O_WRONLY | os.O_CREAT)
    stream = StandardIO(keyboard, output)
    ended = []

    async def read() -> None:
        ended.append(await stream.receive_some(PIECE))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        await stream.send_eof()
    os.write(screen, b"typed later\n")
    assert [*ended, await stream.receive_some(PIECE)] == [b"", b""]
    for descriptor in (screen, keyboard, output):
        os.close(descriptor)


async def test_large(ends: Ends) -> None:
    """More bytes than fit into the buffer of the system wait for the reader."""
    data = os.urandom(3_000_000)
    received = bytearray()
    stream = StandardIO(*ends)

    async def send() -> None:
        await stream.send_all(data)
        await stream.send_eof()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while part := await stream.receive_some(PIECE):
            received += part
    assert received == data


async def test_cancelled_read(ends: Ends) -> None:
    """A read without input can be cancelled."""
    with trio.move_on_after(0.05) as scope:
        await StandardIO(*ends).receive_some(PIECE)
    assert scope.cancelled_caught
    os.write(ends[1], b"so that no thread remains")


async def test_files(tmp_path: Path) -> None:
    """Regular files are read and written."""
    source, sink = tmp_path / "source", tmp_path / "sink"
    source.write_bytes(b"content")
    with source.open("rb") as input_file, sink.open("wb") as output_file:
        stream = StandardIO(input_file.fileno(), output_file.fileno())
        assert await stream.receive_some(3) == b"con"
        assert await stream.receive_some(PIECE) == b"tent"
        assert await stream.receive_some(PIECE) == b""
        await stream.send_all(bytearray(b"written"))
        await stream.send_eof()
    assert sink.read_bytes() == b"written"


async def test_failures(tmp_path: Path) -> None:
    """A full disk and an unreadable file are reported, but not a pipe whose reader has ended."""
    folder = os.open(tmp_path, os.O_RDONLY)
    full = os.open("/dev/full", os.O_WRONLY)
    stream = StandardIO(folder, full)
    with pytest.raises(StandardStreamFailed, match="read from standard input: Is a directory"):
        await stream.receive_some(PIECE)
    with pytest.raises(StandardStreamFailed, match="write to standard output: No space left"):
        await stream.send_all(b"x")
    reader, writer = os.pipe()
    stream = StandardIO(folder, writer)
    os.close(reader)
    without_reader = StandardIO(folder, writer)
    for each in (stream, without_reader):
        with pytest.raises(StandardStreamFailed, match=r"^$"):
            await each.send_all(b"x")
    for descriptor in (folder, full, writer):
        os.close(descriptor)
    assert open_again(folder, os.O_RDONLY) is None  # closed


async def test_non_blocking_parent() -> None:
    """A descriptor that another process made non-blocking is waited for."""
    one, two = socket.socketpair()
    with one, two:
        one.setblocking(False)
        held = 0
        with suppress(BlockingIOError):
            while True:
                held += one.send(bytes(10**5))
        zeros = memoryview(bytes(10**6))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, write_blocking, one.fileno(), zeros)
            await trio.sleep(0.05)
            received = 0
            while received < held + 10**6:
                received += len(await trio.to_thread.run_sync(two.recv, 10**6))
            nursery.start_soon(trio.to_thread.run_sync, read_blocking, one.fileno(), 1)
            await trio.sleep(0.05)
            two.send(b"x")
