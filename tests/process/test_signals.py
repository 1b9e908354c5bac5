"""SIGHUP reloads files; a second stop signal ends the program at once."""

from __future__ import annotations

import os
import signal
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from relay.daemon import signals
from relay.daemon.listeners import open_tcp
from relay.daemon.sd_notify import SystemdNotifier
from relay.daemon.unix_listener import open_unix
from tests.support.certificates import Certificate, client_context
from tests.support.process import LOOPBACK, run_program
from tests.support.raw_client import Client
from tests.support.recorded_events import Log, signal_handler
from tests.support.relay_fixtures import MemoryRelay, ProcessRelay
from tests.support.running_relay import exchange


@pytest.fixture
def files(tmp_path: Path) -> Certificate:
    """Return a certificate."""
    return Certificate(tmp_path)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """Return a file with a token."""
    path = tmp_path / "token"
    path.write_text("first-token\n")
    return path


def write(path: Path, text: str | None) -> None:
    """Write a file, or remove it if there is no text."""
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


class TestReload:
    """Relay with a certificate and a token."""

    @pytest.fixture
    def options(self, files: Certificate, token_file: Path) -> Sequence[str]:
        """Return the options with both files."""
        return [*files.options, "--token-file", str(token_file)]

    @pytest.fixture
    def client_tls(self) -> ssl.SSLContext:
        """Return the TLS context of the clients."""
        return client_context()

    async def certificate(self, relay: ProcessRelay) -> bytes | None:
        """Return the certificate of a new connection."""
        async with await relay.open_stream() as stream:
            assert isinstance(stream, trio.SSLStream)
            await stream.do_handshake()
            shown: bytes | None = stream.getpeercert(binary_form=True)
            return shown

    async def status(self, relay: ProcessRelay, token: str) -> int:
        """Return the status of a new code with a token."""
        async with await relay.connect() as client:
            return (await client.upgrade(f"/?pair=with-{token}&token={token}")).status

    async def test_reload(
        self, process_relay: ProcessRelay, files: Certificate, token_file: Path
    ) -> None:
        """New clients get the new files, old pairs go on; invalid files change nothing."""
        relay, program = process_relay, process_relay.program
        assert files.matches(await self.certificate(relay))
        a = await relay.connect()
        assert (await a.upgrade("/?pair=code", authorization="Bearer first-token")).status == 101
        b = await relay.join("code")

        files.renew()
        write(token_file, "second-token\n")
        assert not files.matches(await self.certificate(relay))
        relay.process.send_signal(signal.SIGHUP)
        await program.line("reloaded", "certificate,token")
        assert files.matches(await self.certificate(relay))
        assert await self.status(relay, "first-token") == 401
        assert await self.status(relay, "second-token") == 101
        await exchange(a, b)

        good = files.cert.read_bytes()
        files.cert.write_bytes(b"no certificate")
        write(token_file, "\n")
        relay.process.send_signal(signal.SIGHUP)
        await program.line("level=error", "token", "is empty")
        files.cert.write_bytes(good)
        assert files.matches(await self.certificate(relay))
        assert await self.status(relay, "second-token") == 101
        await exchange(a, b)

        files.renew()
        write(token_file, None)
        relay.process.send_signal(signal.SIGHUP)
        await program.line("level=error", f"cannot read --token-file '{token_file}': No such")
        assert files.matches(await self.certificate(relay))
        log = program.log.read_text()
        assert log.count("not reloaded") == 3
        assert log.count("level=error") == 3
        assert log.count("event=reloaded") == 2
        assert log.count("event=signal name=SIGHUP") == 3


async def test_nothing_to_reload(process_relay: ProcessRelay) -> None:
    """SIGHUP has no effect without files."""
    a, b = await process_relay.pair()
    for _ in range(3):
        process_relay.process.send_signal(signal.SIGHUP)
    await process_relay.program.line("reloaded", "what=nothing")
    await a.send_message(b"still there")
    assert await b.message() == b"still there"
    assert await process_relay.pairs() == 1


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
async def test_second_signal(tmp_path: Path, time_limit: None, by: signal.Signals) -> None:
    """A second signal kills the process, whatever it waits for; the socket file is removed."""
    path = tmp_path / "socket"
    options = (*LOOPBACK, "--unix-socket", str(path), "--drain-delay", "60")
    async with run_program(*options, log=tmp_path / "log") as program:
        async with Client(await trio.open_unix_socket(str(path))) as client:
            assert (await client.upgrade("/?pair=code")).status == 101
            program.process.send_signal(signal.SIGTERM)
            await program.line("event=stopping")
            program.process.send_signal(signal.SIGHUP)
            async with Client(await trio.open_unix_socket(str(path))) as other:
                assert (await other.get("/health")).status == 503
            program.process.send_signal(by)
            assert await program.wait() == -by
        assert not path.exists()
        assert "Traceback" not in program.log.read_text()


async def test_end_at_once(
    memory_relay: MemoryRelay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A second stop signal kills the process, after the socket file is removed; others do not."""
    path, log = tmp_path / "socket", Log()
    deaths: list[tuple[int, bool]] = []
    monkeypatch.setattr(signals, "die_by", lambda number: deaths.append((number, path.exists())))
    to_conduct, received = trio.open_memory_channel[int](3)
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
        to_conduct.send_nowait(number)
    unix, (tcp,) = open_unix(str(path), 0o600), await open_tcp("127.0.0.1", 0)
    async with unix, tcp:
        with SystemdNotifier({}) as systemd:
            handler = signal_handler(memory_relay.handle, systemd, log)
            await handler.end_at_once(received, [tcp, unix])
        assert tcp.socket.fileno() >= 0
    assert deaths == [(signal.SIGTERM, False)]
    assert [line["event"] for line in log.lines()] == ["summary"]


@pytest.mark.parametrize("name", ["token", "cert", "key"])
async def test_fifo_at_reload(
    files: Certificate, token_file: Path, tmp_path: Path, time_limit: None, name: str
) -> None:
    """A FIFO in the place of a file is refused by its option, and holds nothing up."""
    path = {"token": token_file, "cert": files.cert, "key": files.key}[name]
    unix = tmp_path / "socket"
    options = ("--unix-socket", str(unix), *files.options)
    variables = {"ARC_RELAY_TOKEN_FILE": str(token_file)}
    async with run_program(*options, log=tmp_path / "log", variables=variables) as program:
        path.unlink()
        os.mkfifo(path)
        program.process.send_signal(signal.SIGHUP)
        line = await program.line("not reloaded", str(path))
        option = "ARC_RELAY_TOKEN_FILE" if name == "token" else f"--tls-{name}"
        assert f"{option} '{path}' is a FIFO or pipe, not a regular file" in line
