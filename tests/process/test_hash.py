"""`arc-relay hash`: the hash of a code, as the log of the running relay has it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import trio

from relay.cli import hash_code
from relay.cli.hash_code import fetch_hash, metrics_target, parse_hash, read_code
from relay.cli.options import WrongUsage
from relay.client.dial import ConnectTarget
from relay.daemon.errors import StartError
from tests.support.process import PROGRAM, clean_environment
from tests.support.relay_fixtures import ProcessRelay

CODE = "xyzzy code \u20ac"


async def run_hash(
    *arguments: str, code: str = CODE, metrics: str = ""
) -> subprocess.CompletedProcess[bytes]:
    """Run the command with a code on its standard input."""
    with trio.fail_after(30):
        return await trio.run_process(
            [*PROGRAM, "hash", *arguments],
            stdin=code.encode(),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=clean_environment({"ARC_RELAY_METRICS": metrics}),
        )


class TestCommand:
    """The command, and a relay that runs as a process."""

    @pytest.fixture
    def options(self) -> Sequence[str]:
        """Return the options of a relay with metrics."""
        return ["--metrics", "127.0.0.1:0", "--log-level", "debug"]

    async def test_hash_is_that_of_the_log(self, process_relay: ProcessRelay) -> None:
        """The command finds the lines of a code, and the code itself is in no line."""
        port = await process_relay.program.metrics_port()
        async with await process_relay.connect() as client:
            await client.upgrade("/?pair=xyzzy+code+%E2%82%AC")
            line = await process_relay.program.line("side waiting")
        for arguments, metrics in (
            ((f"http://127.0.0.1:{port}/metrics",), ""),
            ((), f"0.0.0.0:{port}"),
        ):
            done = await run_hash(*arguments, code=f"{CODE}\n", metrics=metrics)
            assert (done.returncode, done.stderr) == (0, b"")
            assert f"pair={done.stdout.decode().strip()}" in line.split()
        assert "xyzzy" not in process_relay.log.read_text()

    async def test_public_port(self, process_relay: ProcessRelay) -> None:
        """The relay's own port does not answer."""
        done = await run_hash(f"http://127.0.0.1:{process_relay.port}")
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"HTTP 404, and not from the metrics of an arc-relay" in done.stderr

    async def test_wrong_usage(self) -> None:
        """An invalid code, a missing address and a wrong one are one line each."""
        for arguments, status, text in (
            ((), 2, b"set ARC_RELAY_METRICS"),
            (("ftp://x",), 2, b"wss://"),
            (("http://127.0.0.1:1",), 1, b"connection refused"),
        ):
            done = await run_hash(*arguments)
            assert (done.returncode, done.stdout) == (status, b"")
            assert text in done.stderr
            assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", "ended"),
        (b"SSH-2.0-x\r\n", "no HTTP answer from"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP 200, and not from the metrics"),
    ],
)
async def test_other_servers(nursery: trio.Nursery, answer: bytes, error: str) -> None:
    """The answer of another program is a failure with a cause."""

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(answer)
        await stream.send_eof()

    (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
    target = ConnectTarget(("127.0.0.1",), listener.socket.getsockname()[1])
    if error == "ended":
        error = "no HTTP answer"
    with pytest.raises(StartError, match=error):
        await fetch_hash(target, b"code")


async def test_no_answer(autojump_clock: trio.testing.MockClock) -> None:
    """A relay that does not answer is waited for only so long."""
    with trio.socket.socket() as listening:
        await listening.bind(("127.0.0.1", 0))
        listening.listen()
        target = ConnectTarget(("127.0.0.1",), listening.getsockname()[1])
        with pytest.raises(StartError, match="no answer within 5 s"):
            await fetch_hash(target, b"code")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b"", "must have 1 to 256 characters"),
        (404, b"", "HTTP 404, and not"),
        (200, b"[]", "HTTP 200, and not"),
        (200, b"{}", "HTTP 200, and not"),
        (200, b'{"pair":1}', "HTTP 200, and not"),
        (200, b'{"pair":"\\u001b[2J"}', "HTTP 200, and not"),
        (200, b"[" * 60000, "HTTP 200, and not"),
    ],
)
def test_strange_responses(status: int, body: bytes, error: str) -> None:
    """A response that has no hash is a failure, and nothing of it is printed."""
    with pytest.raises(StartError, match=error):
        parse_hash(ConnectTarget(("h",), 1), status, body)


def test_code_is_read_without_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the code is asked for as a password is."""
    screen, keyboard = os.openpty()
    with open(keyboard) as terminal, open(screen, "rb", buffering=0):  # noqa: PTH123 - descriptors
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(hash_code, "getpass", lambda prompt: f"{prompt}secret")
        assert read_code() == b"Pair code: secret"


@pytest.mark.parametrize("code", [b"a b", b"a\xff", b""])
def test_code_from_a_pipe(monkeypatch: pytest.MonkeyPatch, code: bytes) -> None:
    """The code is the first line of standard input, whatever its bytes are."""
    pipe = io.TextIOWrapper(io.BytesIO(code + b"\r\nrest"), "utf-8")
    monkeypatch.setattr(sys, "stdin", pipe)
    assert read_code() == code


def test_unreadable_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An end of input at the prompt, and a file that is open for writing alone, are wrong usage."""

    def end_of_input(_: str) -> str:
        raise EOFError

    screen, keyboard = os.openpty()
    with open(keyboard) as terminal, open(screen, "rb", buffering=0):  # noqa: PTH123 - descriptors
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(hash_code, "getpass", end_of_input)
        with pytest.raises(WrongUsage, match="cannot be read"):
            read_code()
    with (tmp_path / "file").open("wb") as file:
        reader = io.BufferedReader(io.FileIO(file.fileno(), closefd=False))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(reader))
        with pytest.raises(WrongUsage, match="cannot be read"):
            read_code()


def test_closed_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed standard input is wrong usage."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(WrongUsage, match="which is closed"):
        read_code()


def test_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of the metrics comes from the URL, or from the variable of the relay."""
    assert metrics_target("http://h:1/metrics").path == "/hash"
    assert metrics_target("unix:/run/x").unix == "/run/x"
    monkeypatch.setenv("ARC_RELAY_METRICS", "[::]:9")
    assert metrics_target(None) == ConnectTarget(("::1",), 9, path="/hash")
    monkeypatch.setenv("ARC_RELAY_METRICS", "")
    with pytest.raises(WrongUsage):
        metrics_target(None)
