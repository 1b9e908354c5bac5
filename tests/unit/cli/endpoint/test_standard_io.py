"""Standard input and output as streams: pipes, terminals, files and sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from relay.cli.endpoint.standard_io import (
    DescriptorReader,
    DescriptorWriter,
    open_again,
    read_blocking,
    write_blocking,
)

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
    async with DescriptorReader(ends[0]) as reader:
        writer = DescriptorWriter(ends[1])
        await writer.wait_send_all_might_not_block()
        await writer.send_all(b"hello")
        assert await reader.receive_some() == b"hello"
        assert [os.get_blocking(each) for each in ends] == [True, True]
        await writer.aclose()
        assert await reader.receive_some() == b""
        os.write(ends[1], b"to the null device")


async def test_terminal() -> None:
    """A terminal is read line by line and written, and does not become non-blocking."""
    screen, keyboard = os.openpty()
    async with DescriptorReader(keyboard) as reader:
        os.write(screen, b"typed\n")
        assert await reader.receive_some() == b"typed\n"
        os.read(screen, 100)  # the echo
        writer = DescriptorWriter(keyboard)
        await writer.send_all(b"printed")
        assert os.read(screen, 100) == b"printed"
        assert os.get_blocking(keyboard)
        await writer.aclose()
    os.close(screen)
    os.close(keyboard)


async def test_large(ends: Ends) -> None:
    """More bytes than fit into the buffer of the system wait for the reader."""
    data = os.urandom(3_000_000)
    received = bytearray()

    async def send() -> None:
        writer = DescriptorWriter(ends[1])
        await writer.send_all(data)
        await writer.aclose()

    async with DescriptorReader(ends[0]) as reader, trio.open_nursery() as nursery:
        nursery.start_soon(send)
        async for part in reader:
            received += part
    assert received == data


async def test_cancelled_read(ends: Ends) -> None:
    """A read without input can be cancelled."""
    async with DescriptorReader(ends[0]) as reader:
        with trio.move_on_after(0.05) as scope:
            await reader.receive_some()
        assert scope.cancelled_caught
    os.write(ends[1], b"so that no thread remains")


async def test_files(tmp_path: Path) -> None:
    """Regular files are read and written."""
    source, sink = tmp_path / "source", tmp_path / "sink"
    source.write_bytes(b"content")
    with source.open("rb") as input_file, sink.open("wb") as output_file:
        reader = DescriptorReader(input_file.fileno())
        assert await reader.receive_some(3) == b"con"
        assert await reader.receive_some() == b"tent"
        assert await reader.receive_some() == b""
        await reader.aclose()
        writer = DescriptorWriter(output_file.fileno())
        await writer.wait_send_all_might_not_block()
        await writer.send_all(bytearray(b"written"))
        await writer.aclose()
    assert sink.read_bytes() == b"written"


async def test_failures(tmp_path: Path) -> None:
    """A pipe without a reader, a full disk and an unreadable file break the stream."""
    reader, writer = os.pipe()
    os.close(reader)
    full = os.open("/dev/full", os.O_WRONLY)
    for descriptor in (writer, full):
        with pytest.raises(trio.BrokenResourceError) as caught:
            await DescriptorWriter(descriptor).send_all(b"x")
        assert isinstance(caught.value.__cause__, OSError)
        os.close(descriptor)
    folder = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(trio.BrokenResourceError):
        await DescriptorReader(folder).receive_some()
    os.close(folder)
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
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, write_blocking, one.fileno(), bytes(10**6))
            await trio.sleep(0.05)
            received = 0
            while received < held + 10**6:
                received += len(await trio.to_thread.run_sync(two.recv, 10**6))
            nursery.start_soon(trio.to_thread.run_sync, read_blocking, one.fileno(), 1)
            await trio.sleep(0.05)
            two.send(b"x")
