"""The commands share, pipe and forward, as processes around a relay process."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
import trio

from relay.client.link import Link
from tests.support.endpoint_processes import run_command, share
from tests.support.ports import reserved_port
from tests.support.process import LOOPBACK, PROGRAM, clean_environment, run_program
from tests.support.relay_fixtures import ProcessRelay

CAT = ("--", "cat")
LOCAL_LINK = Link.new("ws://127.0.0.1:9/").text
PAYLOAD = os.urandom(3_000_000)


async def pipe(
    folder: Path, data: bytes = b"", *options: str, link: str | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run `arc-relay pipe` with data on its standard input until it ends."""
    with trio.fail_after(30):
        return await trio.run_process(
            [*PROGRAM, "pipe", *options, link or f"@{folder / 'link'}"],
            stdin=data,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=clean_environment({}),
        )


def mode(path: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@asynccontextmanager
async def echo_server(path: str | None = None) -> AsyncIterator[int]:
    """Serve echo on a free port, which is yielded, or on a Unix socket."""

    async def echo(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)
        await stream.send_eof()

    async with trio.open_nursery() as nursery:
        if path is None:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = listeners[0].socket.getsockname()[1]
        else:
            sock = trio.socket.socket(socket.AF_UNIX)
            await sock.bind(path)
            sock.listen()
            listeners, port = [trio.SocketListener(sock)], 0
        nursery.start_soon(trio.serve_listeners, echo, listeners)
        yield port
        nursery.cancel_scope.cancel()


async def exchange(stream: trio.SocketStream, data: bytes) -> None:
    """Assert that an echo server returns data, and ends after the end of the stream."""
    received = bytearray()

    async def send() -> None:
        await stream.send_all(data)
        await stream.send_eof()

    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(send)
        async for part in stream:
            received += part
    assert received == data


class TestPipe:
    """`arc-relay pipe`."""

    async def test_both_directions(self, process_relay: ProcessRelay, tmp_path: Path) -> None:
        """Bytes and ends of streams cross in both directions, and the link has the mode 0600."""
        async with share(tmp_path, process_relay.port, *CAT) as host:
            done = await pipe(tmp_path, PAYLOAD)
            assert (done.returncode, done.stdout) == (0, PAYLOAD), done.stderr
            assert b"connected" in done.stderr
            assert mode(tmp_path / "link") == 0o600
            await host.line("session")

    async def test_guests_at_once(self, process_relay: ProcessRelay, tmp_path: Path) -> None:
        """Several guests use one link at the same time, each with a process of its own."""
        results: list[bytes] = []

        async def visit(number: int) -> None:
            data = PAYLOAD[: 1000 * number]
            done = await pipe(tmp_path, data, "--quiet")
            assert (done.returncode, done.stdout, done.stderr) == (0, data, b"")
            results.append(data)

        async with share(tmp_path, process_relay.port, *CAT), trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(visit, number)
        assert len(results) == 4

    async def test_tar(self, process_relay: ProcessRelay, tmp_path: Path) -> None:
        """An archive through `share -` and `pipe` ends by itself, on both sides."""
        (tmp_path / "source").mkdir()
        (tmp_path / "source" / "file").write_bytes(PAYLOAD)
        source, sink = tmp_path / "out.tar", tmp_path / "in.tar"
        with tarfile.open(source, "w") as archive:
            archive.add(tmp_path / "source", "source")
        with source.open("rb") as data, sink.open("wb") as output:
            async with (
                share(tmp_path, process_relay.port, "-", stdin=data.fileno()) as host,
                run_command(
                    tmp_path / "pipe.log", "pipe", f"@{tmp_path / 'link'}", stdout=output.fileno()
                ) as guest,
            ):
                assert await guest.wait() == 0, guest.log.read_text()
                assert await host.wait() == 0, host.log.read_text()
        assert sink.read_bytes() == source.read_bytes()

    async def test_reader_ends(self, process_relay: ProcessRelay, tmp_path: Path) -> None:
        """`pipe LINK | head` ends with status 1, without a message."""
        async with share(tmp_path, process_relay.port, "--", "sh", "-c", "yes"):
            reader, writer = os.pipe()
            async with run_command(
                tmp_path / "pipe.log", "pipe", "--quiet", f"@{tmp_path / 'link'}", stdout=writer
            ) as guest:
                os.close(writer)
                assert os.read(reader, 4) == b"y\ny\n"
                os.close(reader)
                assert await guest.wait() == 1
                assert guest.log.read_text() == ""

    async def test_command_ends_first(self, process_relay: ProcessRelay, tmp_path: Path) -> None:
        """A command that ends without reading its input is a clean end, with all of its output."""
        async with share(tmp_path, process_relay.port, "--", "echo", "done"):
            reader, writer = os.pipe()
            async with run_command(
                tmp_path / "pipe.log",
                "pipe",
                f"@{tmp_path / 'link'}",
                stdin=subprocess.PIPE,
                stdout=writer,
            ) as guest:
                os.close(writer)
                with os.fdopen(reader, "rb") as output:
                    assert await trio.to_thread.run_sync(output.read) == b"done\n"
                assert guest.process.stdin is not None
                await guest.process.stdin.aclose()
                assert await guest.wait() == 0, guest.log.read_text()

    async def test_terminal(self, process_relay: ProcessRelay, tmp_path: Path) -> None:
        """On a terminal, `pipe` ends with the stream of the host, and leaves the terminal alone."""
        async with share(tmp_path, process_relay.port, "--", "echo", "done"):
            screen, keyboard = os.openpty()
            reader, writer = os.pipe()
            async with run_command(
                tmp_path / "pipe.log",
                "pipe",
                f"@{tmp_path / 'link'}",
                stdin=keyboard,
                stdout=writer,
            ) as guest:
                os.close(writer)
                assert await guest.wait() == 0, guest.log.read_text()
            assert os.read(reader, 100) == b"done\n"
            assert os.get_blocking(keyboard)
            for descriptor in (screen, keyboard, reader):
                os.close(descriptor)


class TestForward:
    """`arc-relay forward`."""

    async def test_tcp(self, process_relay: ProcessRelay, tmp_path: Path) -> None:
        """Each connection to the printed port has a session of its own."""
        async with (
            echo_server() as port,
            share(tmp_path, process_relay.port, f":{port}"),
            run_command(tmp_path / "forward.log", "forward", f"@{tmp_path / 'link'}") as guest,
        ):
            line = await guest.line("forwarding 127.0.0.1:")
            local = int(line.rpartition(":")[2])
            async with trio.open_nursery() as nursery:
                for size in (0, 10, 1_000_000):
                    stream = await trio.open_tcp_stream("127.0.0.1", local)
                    nursery.start_soon(exchange, stream, PAYLOAD[:size])

    async def test_unix(self, process_relay: ProcessRelay, tmp_path: Path) -> None:
        """The local end and the target may be Unix sockets; the local one is for its owner."""
        target, local = str(tmp_path / "target"), str(tmp_path / "local")
        async with (
            echo_server(target),
            share(tmp_path, process_relay.port, f"unix:{target}"),
            run_command(
                tmp_path / "forward.log",
                "forward",
                f"unix:{local}",
                variables={"ARC_RELAY_LINK": f"@{tmp_path / 'link'}"},
            ) as guest,
        ):
            await guest.line(f"forwarding unix:{local}")
            assert mode(tmp_path / "local") == 0o600
            await exchange(await trio.open_unix_socket(local), PAYLOAD)
        assert not [*tmp_path.glob("local")]  # noqa: ASYNC240

    async def test_no_target(self, process_relay: ProcessRelay, tmp_path: Path) -> None:
        """If the target refuses, the local connection is reset, and both sides say why."""
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            target = f":{closed.getsockname()[1]}"
            async with (
                share(tmp_path, process_relay.port, target) as host,
                run_command(tmp_path / "forward.log", "forward", f"@{tmp_path / 'link'}") as guest,
            ):
                line = await guest.line("forwarding 127.0.0.1:")
                local = int(line.rpartition(":")[2])
                stream = await trio.open_tcp_stream("127.0.0.1", local)
                with pytest.raises(trio.BrokenResourceError):
                    await stream.receive_some()
                await stream.aclose()
                assert "connection refused" in await guest.line("a connection failed")
                assert "connection refused" in await host.line("failed")

    async def test_port_in_use(self, process_relay: ProcessRelay, tmp_path: Path) -> None:
        """An address that is in use is a failure with a cause."""
        link = Link.new(f"ws://127.0.0.1:{process_relay.port}/").text
        done = await run("forward", link, str(process_relay.port))
        assert done.returncode == 1
        assert b"cannot listen on 127.0.0.1" in done.stderr
        assert b"address already in use" in done.stderr


async def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command without input until it ends."""
    with trio.fail_after(30):
        return await trio.run_process(
            [*PROGRAM, *arguments],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=clean_environment(variables),
        )


class TestStatuses:
    """Exit statuses and messages."""

    async def test_no_relay(self, tmp_path: Path) -> None:
        """Without a relay at the URL, the message says so and what examines it."""
        with reserved_port() as port:
            link = Link.new(f"ws://127.0.0.1:{port}/").text
            done = await run("pipe", link)
            assert (done.returncode, done.stdout) == (1, b"")
            assert b"connection refused" in done.stderr
            assert b"arc-relay probe" in done.stderr
            done = await run(
                "share",
                "ssh",
                "--via",
                f"ws://127.0.0.1:{port}/",
                "--link-file",
                str(tmp_path / "x"),
            )
            assert done.returncode == 1
            assert b"connection refused" in done.stderr

    async def test_wrong_path(self) -> None:
        """A refusal has status 3 and advice."""

        async def refuse(stream: trio.SocketStream) -> None:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        async with trio.open_nursery() as nursery:
            listener, *_ = await nursery.start(partial(trio.serve_tcp, refuse, 0, host="127.0.0.1"))
            port = listener.socket.getsockname()[1]
            done = await run("pipe", Link.new(f"ws://127.0.0.1:{port}/").text)
            nursery.cancel_scope.cancel()
        assert (done.returncode, done.stdout) == (3, b"")
        assert b"the relay refused the connection: 404; there is no relay" in done.stderr

    async def test_wrong_key(self, process_relay: ProcessRelay, tmp_path: Path) -> None:
        """A guest with another key gets status 4, and the host goes on."""
        async with share(tmp_path, process_relay.port, *CAT):
            link = Link.parse((tmp_path / "link").read_text())
            done = await run("pipe", Link(link.url, link.code, bytes(32)).text)
            assert done.returncode == 4, done.stderr
            assert b"does not have the key" in done.stderr
            done = await pipe(tmp_path, b"still there")
            assert (done.returncode, done.stdout) == (0, b"still there")

    async def test_token(self, tmp_path: Path) -> None:
        """A host shows the token of the relay, from a file or a variable; without it, status 3."""
        token = tmp_path / "token"
        token.write_text("a-token-of-the-relay\n")
        relay_log = tmp_path / "relay.log"
        async with run_program(*LOOPBACK, "--token-file", str(token), log=relay_log) as program:
            file = ("--token-file", token)
            async with share(tmp_path, program.port, *file, *CAT):
                assert (await pipe(tmp_path, b"x")).stdout == b"x"
            variables = {"ARC_RELAY_CLIENT_TOKEN": "a-token-of-the-relay"}
            env = ("--", "env")
            async with share(tmp_path, program.port, *env, variables=variables):
                done = await pipe(tmp_path)
                assert b"PATH=" in done.stdout
                assert b"a-token-of" not in done.stdout
            done = await run("share", "ssh", "--link-file", str(tmp_path / "link"))
            assert done.returncode == 3
            assert b"ARC_RELAY_CLIENT_TOKEN" in done.stderr

    async def test_interrupt(self, process_relay: ProcessRelay, tmp_path: Path) -> None:
        """SIGINT ends each command with status 130, SIGTERM with 143, and the guests' processes."""
        mark = tmp_path / "pid"
        script = f"echo $$ >{mark}; trap '' TERM; sleep 600 & wait; wait"
        async with share(tmp_path, process_relay.port, "--", "sh", "-c", script) as host:
            reader, writer = os.pipe()
            async with run_command(
                tmp_path / "pipe.log", "pipe", f"@{tmp_path / 'link'}", stdin=reader
            ) as guest:
                await guest.line("connected")
                with trio.fail_after(10):
                    while not (mark.exists() and mark.read_text()):
                        await trio.sleep(0.02)
                guest.process.send_signal(signal.SIGINT)
                assert await guest.wait() == 130
                os.close(reader)
                os.close(writer)
            await host.line("closed the session")
            with trio.fail_after(10):  # SIGKILL follows, because the shell ignores SIGTERM
                while Path(f"/proc/{mark.read_text().strip()}").exists():  # noqa: ASYNC240
                    await trio.sleep(0.05)
            host.process.send_signal(signal.SIGINT)
            assert await host.wait() == 130

    async def test_second_signal(self, process_relay: ProcessRelay, tmp_path: Path) -> None:
        """A second signal does not keep a host from ending the processes of its guests."""
        mark = tmp_path / "pid"
        script = f"trap '' TERM; echo $$ >{mark}; sleep 30 & wait; wait"
        async with (
            share(tmp_path, process_relay.port, "--", "sh", "-c", script) as host,
            run_command(
                tmp_path / "pipe.log", "pipe", f"@{tmp_path / 'link'}", stdin=subprocess.PIPE
            ) as guest,
        ):
            await guest.line("connected")
            with trio.fail_after(10):
                while not (mark.exists() and mark.read_text()):
                    await trio.sleep(0.02)
            host.process.send_signal(signal.SIGINT)
            await trio.sleep(0.5)
            host.process.send_signal(signal.SIGTERM)
            assert await host.wait() == 130
            assert not Path(f"/proc/{mark.read_text().strip()}").exists()  # noqa: ASYNC240
            assert await guest.wait() == 1

    async def test_ignored_signals(self, tmp_path: Path) -> None:
        """A command that was started with all signals ignored runs."""
        done = await trio.run_process(
            ["sh", "-c", 'trap "" INT TERM HUP; exec "$@"', "sh", *PROGRAM, "pipe", LOCAL_LINK],
            capture_stderr=True,
            check=False,
            env=clean_environment({}),
        )
        assert (done.returncode, done.stderr.count(b"connection refused")) == (1, 1)

    async def test_closed_output(self, tmp_path: Path) -> None:
        """A closed standard output is wrong usage."""
        done = await trio.run_process(
            ["sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM, "pipe", LOCAL_LINK],
            capture_stderr=True,
            check=False,
            env=clean_environment({}),
        )
        assert done.returncode == 2
        assert done.stderr == b"arc-relay: standard output is closed\n"


class TestSecrets:
    """Places that must have no secret."""

    async def test_without_a_terminal(self, process_relay: ProcessRelay, tmp_path: Path) -> None:
        """The code and the key are in no process list and in no log of share, pipe or the relay."""
        async with (
            share(tmp_path, process_relay.port, "--", "sh", "-c", "env >&2; cat") as host,
            run_command(
                tmp_path / "pipe.log", "pipe", f"@{tmp_path / 'link'}", stdin=subprocess.PIPE
            ) as guest,
        ):
            await guest.line("connected")
            link = (tmp_path / "link").read_text()
            found = re.search(r"pair=(.{22})#k=(.{43})\n", link)
            assert found is not None
            for process in (host.process, guest.process):
                for name in ("cmdline", "environ"):
                    content = Path(f"/proc/{process.pid}/{name}").read_bytes()  # noqa: ASYNC240
                    assert not any(secret.encode() in content for secret in found.groups())
            for log in (host.log, guest.log, process_relay.log):
                assert not any(secret in log.read_text() for secret in found.groups())

    async def test_terminal(self, process_relay: ProcessRelay, tmp_path: Path) -> None:
        """A terminal gets the link and its QR code, and needs no link file."""
        screen, keyboard = os.openpty()
        via = f"ws://127.0.0.1:{process_relay.port}/"
        process = await trio.lowlevel.open_process(
            [*PROGRAM, "share", "--via", via, *CAT],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=keyboard,
            env=clean_environment({"COLUMNS": "100", "LINES": "50"}),
        )
        os.close(keyboard)
        try:
            received = b""
            with trio.fail_after(30):
                while b"#k=" not in received or not received.endswith(b"\n"):
                    received += await trio.to_thread.run_sync(os.read, screen, 65536)
            output = received.decode()
            assert output.count("\x1b[38;5;231;48;5;16m") > 15
            found = re.search(r"ws://\S+#k=\S{43}", output)
            assert found is not None
            done = await pipe(tmp_path, b"hello", link=found[0])
            assert (done.returncode, done.stdout) == (0, b"hello")
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
            assert process.stdout is not None
            assert await process.stdout.receive_some() == b""
            await process.stdout.aclose()
        finally:
            if process.poll() is None:
                process.kill()
            os.close(screen)


class TestLinkFile:
    """`--link-file` and `--new`."""

    async def test_kept(self, process_relay: ProcessRelay, tmp_path: Path) -> None:
        """A restart keeps the link, --new replaces it, and another relay is refused."""
        file = tmp_path / "link"
        async with share(tmp_path, process_relay.port, *CAT):
            first = file.read_text()
        options = ("share", "--link-file", file)
        async with run_command(tmp_path / "again.log", *options, *CAT) as host:
            await host.line("waiting for guests")
            assert (await pipe(tmp_path, b"x")).stdout == b"x"
        assert file.read_text() == first
        async with run_command(tmp_path / "new.log", *options, "--new", *CAT) as host:
            await host.line("waiting for guests")
            assert file.read_text() != first
            assert mode(file) == 0o600


@pytest.fixture
async def ssh_port(tmp_path: Path) -> AsyncIterator[int]:
    """Run an ssh server with temporary keys; yield its port."""
    server = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if server is None or shutil.which("ssh") is None:
        pytest.skip("NOT TESTED: ssh and sshd are not installed")
    for name in ("host-key", "key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        await trio.run_process(command)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd requires it of root  # noqa: ASYNC240
    with reserved_port() as port:
        config = tmp_path / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {tmp_path / 'host-key'}\n"
            f"AuthorizedKeysFile {tmp_path / 'key.pub'}\nStrictModes no\nUsePAM no\nPidFile none\n"
            "PasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        )
        with (tmp_path / "sshd.log").open("wb") as log:
            process = await trio.lowlevel.open_process(
                [server, "-D", "-e", "-f", str(config)], stderr=log
            )
        with trio.fail_after(10):
            while "Server listening" not in (tmp_path / "sshd.log").read_text():
                assert process.poll() is None, (tmp_path / "sshd.log").read_text()
                await trio.sleep(0.02)
        yield port
        process.terminate()
        await process.wait()


async def test_ssh(process_relay: ProcessRelay, ssh_port: int, tmp_path: Path) -> None:
    """An ssh client works with `arc-relay pipe` as its ProxyCommand."""
    proxy = shlex.join([*PROGRAM, "pipe", "--quiet", f"@{tmp_path / 'link'}"])
    options = {
        "ProxyCommand": proxy,
        "IdentityFile": str(tmp_path / "key"),
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "no",
        "BatchMode": "yes",
        "LogLevel": "ERROR",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    user = pwd.getpwuid(os.geteuid()).pw_name
    async with share(tmp_path, process_relay.port, f":{ssh_port}") as host:
        with trio.fail_after(30):
            done = await trio.run_process(
                ["ssh", "-F", "/dev/null", *words, f"{user}@home", "sha256sum; exit 7"],
                stdin=PAYLOAD,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                env=clean_environment({}),
            )
        assert done.returncode == 7, (done.stderr, (tmp_path / "sshd.log").read_text())
        assert done.stdout.split()[0].decode() == sha256(PAYLOAD).hexdigest()
        assert done.stderr == b""
        await host.line("session")
