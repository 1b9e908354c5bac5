"""A relay works with standard streams that are closed, full or broken."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from relay.daemon.standard_streams import (
    OutputFailed,
    StandardError,
    StandardOutput,
    prepare_streams,
    text_stream,
)
from tests.support.process import PROGRAM, clean_environment
from tests.support.raw_client import Client
from tests.support.stderr_pipe import Pipe


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Return a pipe that is closed at the end."""
    pipe = Pipe()
    yield pipe
    pipe.close()


def output_on(pipe: Pipe) -> StandardOutput:
    """Return an output that writes to a pipe."""
    return StandardOutput(pipe.stream.fileno())


def test_output(pipe: Pipe) -> None:
    """It accepts writes, and is no terminal."""
    with output_on(pipe) as output:
        assert output.writable()
        assert not output.isatty()
        assert output.write(b"line\n") == 5
        assert output.fileno() == pipe.stream.fileno()
    assert pipe.read() == "line\n"


@pytest.mark.parametrize("failure", [BrokenPipeError, OutputFailed])
def test_broken_output(pipe: Pipe, failure: type[OSError]) -> None:
    """A failure is raised once, with its kind; then output is discarded."""
    full = os.open("/dev/full", os.O_WRONLY)
    pipe.hang_up()
    broken = pipe.stream.fileno() if failure is BrokenPipeError else full
    stream = text_stream(StandardOutput(broken), "ascii")
    with pytest.raises(failure):
        stream.write("lost\n")
    stream.write("lost, too\n")
    stream.flush()
    os.close(full)


def test_nonblocking_output(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output waits for room in a pipe that another process made non-blocking."""
    pipe.fill()
    os.set_blocking(pipe.stream.fileno(), False)
    really_write, refusals = os.write, []

    def write(descriptor: int, data: bytes) -> int:
        """Write, and let the reader continue if that was refused."""
        try:
            return really_write(descriptor, data)
        except BlockingIOError:
            refusals.append(pipe.read())
            raise

    monkeypatch.setattr(os, "write", write)
    with output_on(pipe) as output:
        assert output.write(b"line\n") == 5
    assert pipe.read() == "line\n"
    assert len(refusals) == 1


def test_no_null_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a null device and without streams, the preparation does nothing."""
    monkeypatch.setattr(os, "devnull", "/no/such/device")
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    prepare_streams(serving=True)
    assert (sys.stdout, sys.stderr) == (None, None)


def test_standard_error(pipe: Pipe) -> None:
    """A report of any length is written while there is room; the rest is dropped at once."""
    stream = text_stream(StandardError(pipe.stream.fileno()), "ascii")
    stream.write("\xe9" * 5000 + "\n")
    assert pipe.read() == r"\xe9" * 5000 + "\n"
    stream.write("x" * (1 << 20) + "\n")
    stream.write("lost\n")
    assert set(pipe.read()) == {"x"}
    pipe.hang_up()
    stream.write("lost\n")
    stream.flush()


class Started:
    """Relay that a shell started with redirections."""

    def __init__(self, folder: Path, redirections: str, *options: str) -> None:
        self.socket = folder / "relay.sock"
        command = [*PROGRAM, "start", "--unix-socket", str(self.socket), *options]
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", *command],
            env=clean_environment({}),
        )

    async def expect_service(self) -> None:
        """Request its health as soon as it listens."""
        with trio.fail_after(30):
            async with Client(await self._connect()) as client:
                assert (await client.get("/health")).status == 200

    async def _connect(self) -> trio.SocketStream:
        """Connect once the relay listens, which is later than the file of the socket exists."""
        while True:
            try:
                return await trio.open_unix_socket(str(self.socket))
            except (FileNotFoundError, ConnectionRefusedError):
                assert self.process.poll() is None
                await trio.sleep(0.01)

    def end(self) -> int:
        """Stop the relay, and return its exit status."""
        self.process.terminate()
        return self.process.wait(20)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Undo the changes of a test."""
    with ExitStack() as stack:
        yield stack


def started(stack: ExitStack, folder: Path, redirections: str, *options: str) -> Started:
    """Start a relay that ends with its test."""
    relay = Started(folder, redirections, *options)
    stack.callback(relay.process.wait)
    stack.callback(relay.process.kill)
    return relay


@pytest.mark.parametrize(
    "redirections",
    [
        "</dev/null >/dev/full 2>/dev/full",
        "<&- >&- 2>&-",
        "<&-",
        ">&-",
        "2>&-",
    ],
)
async def test_start(stack: ExitStack, tmp_path: Path, time_limit: None, redirections: str) -> None:
    """A relay serves and stops with any standard streams; no other file replaces one."""
    relay = started(stack, tmp_path, redirections)
    await relay.expect_service()
    for descriptor in range(3):
        led = target_of(relay.process.pid, descriptor)
        assert "socket:" not in led
        assert "eventpoll" not in led
        if ("<&-", ">&-", "2>&-")[descriptor] in redirections.split():
            assert led == "/dev/null"
    assert relay.end() == 0


def target_of(pid: int, descriptor: int) -> str:
    """Return the file of a descriptor of a process, as the kernel names it."""
    return str(Path(f"/proc/{pid}/fd/{descriptor}").readlink())


async def test_start_on_a_pipe(
    stack: ExitStack, pipe: Pipe, tmp_path: Path, time_limit: None
) -> None:
    """A full pipe causes no delay, and neither does a pipe without a reader."""
    pipe.fill()
    target = f">/proc/{os.getpid()}/fd/{pipe.stream.fileno()} 2>&1"
    (tmp_path / "broken").mkdir()
    relay = started(stack, tmp_path, target)
    await relay.expect_service()
    broken = started(stack, tmp_path / "broken", target)
    while not pipe_is_held(broken.process.pid, pipe):
        await trio.sleep(0.002)
    pipe.hang_up()
    await broken.expect_service()
    assert relay.end() == 0
    assert broken.end() == 0


def pipe_is_held(pid: int, pipe: Pipe) -> bool:
    """Return True if a pipe is the standard output of a process."""
    return os.stat(f"/proc/{pid}/fd/1").st_ino == os.fstat(pipe.stream.fileno()).st_ino  # noqa: PTH116


def run_with(redirections: str, *arguments: str, **variables: str) -> tuple[int, str]:
    """Run a command to its end; return its status and its standard error."""
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirections}', "sh", *PROGRAM, *arguments],
        env=clean_environment(variables),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr


NO_SPACE = "arc-relay: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize(
    ("redirections", "expected"), [(">/dev/full", NO_SPACE), (">&-", ""), ("| true", "")]
)
@pytest.mark.parametrize(
    ("arguments", "statuses"),
    [
        (("--version",), {0, 1}),
        (("--help",), {0, 1}),
        (("health", "unix:/no/such/socket"), {1}),
        (("probe", "ws://127.0.0.1:9"), {1}),
    ],
)
def test_commands(
    arguments: Sequence[str], statuses: set[int], redirections: str, expected: str
) -> None:
    """A command that cannot write its output reports why, unless the reader is gone."""
    status, errors = run_with(redirections, *arguments)
    assert status in statuses or redirections == "| true"  # which has the status of `true`
    assert errors == expected
    assert status == 1 or not expected


async def test_status_of_health(stack: ExitStack, tmp_path: Path, time_limit: None) -> None:
    """The status of ``health`` is that of the relay, even if its output is lost."""
    relay = started(stack, tmp_path, "")
    await relay.expect_service()
    assert run_with(">/dev/full", "health", f"unix:{relay.socket}") == (0, NO_SPACE)


@pytest.mark.parametrize("redirections", ["2>/dev/full", "2>&-"])
def test_complaint(redirections: str) -> None:
    """The exit status is the same if the error message cannot be written."""
    assert run_with(redirections, "start", "--port", "x")[0] == 2
    assert run_with(redirections, "start", "--host", "192.0.2.1")[0] == 1


def test_encoding(tmp_path: Path) -> None:
    """Characters that standard output cannot encode are escaped."""
    status, errors = run_with("", "health", f"unix:{tmp_path}/\xe9", PYTHONIOENCODING="ascii")
    assert (status, errors) == (1, "")
