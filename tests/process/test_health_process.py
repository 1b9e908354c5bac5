"""`arc-relay health` and `arc-relay probe` as programs, against a relay as a program."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import trio

from tests.support.certificates import Certificate, authority
from tests.support.process import LOOPBACK, run_program, run_to_end
from tests.support.relay_fixtures import ProcessRelay


class Programs:
    """Programs that run at the same time, and their results."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.results: dict[str, tuple[int, str, str]] = {}

    def start(self, name: str, *arguments: str, **variables: str) -> None:
        """Start a program."""
        self._nursery.start_soon(self._run, name, arguments, variables)

    async def _run(self, name: str, arguments: Sequence[str], variables: Mapping[str, str]) -> None:
        settings = {f"ARC_RELAY_{key}": value for key, value in variables.items()}
        self.results[name] = await run_to_end(*arguments, variables=settings)


class TestPlain:
    """Relay on TCP and on a Unix socket."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        """Return the path of the socket."""
        return str(tmp_path / "socket")

    @pytest.fixture
    def options(self, path: str) -> Sequence[str]:
        """Return the options."""
        return ["--unix-socket", path, "--ping-interval", "0"]

    async def test_well(self, process_relay: ProcessRelay, path: str) -> None:
        """Both commands succeed; without a URL, `health` reads the environment."""
        port = str(process_relay.port)
        await process_relay.join("code")
        async with trio.open_nursery() as nursery:
            programs = Programs(nursery)
            programs.start("port", "health", PORT=port)
            programs.start("unix", "health", UNIX_SOCKET=path)
            programs.start("url", "health", f"ws://127.0.0.1:{port}/", PORT="1")
            programs.start("probe", "probe", f"ws://127.0.0.1:{port}/any/path", "--size", "100000")
            programs.start("quick", "probe", f"unix:{path}", "--quick")
            programs.start("json", "probe", f"ws://127.0.0.1:{port}", "--json", "--size", "100000")
        for name in ("port", "unix", "url"):
            status, out, err = programs.results[name]
            assert (status, err) == (0, ""), name
            # Those who probe may be there already.
            assert out in {f"healthy: {n} pair{'s'[: n - 1]}\n" for n in (1, 2, 3, 4)}
        status, out, err = programs.results["probe"]
        assert (status, err) == (0, "")
        assert out.endswith(f"a pair through ws://127.0.0.1:{port}/any/path works\n")
        status, out, err = programs.results["quick"]
        assert (status, err) == (0, "")
        assert out.endswith(f"a pair through unix:{path} works\n")
        status, out, err = programs.results["json"]
        assert (status, err) == (0, "")
        report = json.loads(out)
        assert report["ok"]
        assert {step["ok"] for step in report["steps"]} <= {True, None}


class TestTls:
    """Relay with TLS."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> Certificate:
        """Return the certificate of the relay."""
        return Certificate(tmp_path)

    @pytest.fixture
    def options(self, files: Certificate) -> Sequence[str]:
        """Return the options."""
        return files.options

    async def test_well(
        self, process_relay: ProcessRelay, files: Certificate, tmp_path: Path
    ) -> None:
        """`health` does not verify the certificate of this machine; `probe` does."""
        port = str(process_relay.port)
        ca = str(tmp_path / "ca.pem")
        authority().cert_pem.write_to_path(ca)
        url = f"wss://localhost:{port}/"
        async with trio.open_nursery() as nursery:
            programs = Programs(nursery)
            certificate = {"TLS_CERT": str(files.cert), "TLS_KEY": str(files.key)}
            programs.start("health", "health", PORT=port, **certificate)
            programs.start("plain", "health", PORT=port)
            programs.start("trusted", "probe", url, "--ca", ca, "--size", "100000")
            programs.start("untrusted", "probe", url)
        assert {name: result[0] for name, result in programs.results.items()} == {
            "health": 0,
            "plain": 1,
            "trusted": 0,
            "untrusted": 1,
        }
        assert programs.results["health"][1].startswith("healthy: ")
        assert "certificate" in programs.results["untrusted"][1]


async def test_stopping(tmp_path: Path, time_limit: None) -> None:
    """A stopping relay is not healthy, and no pair can be opened on it."""
    options = (*LOOPBACK, "--drain-delay", "60")
    async with run_program(*options, log=tmp_path / "log") as program:
        port = str(program.port)
        program.process.send_signal(signal.SIGTERM)
        await program.line("event=stopping")
        async with trio.open_nursery() as nursery:
            programs = Programs(nursery)
            programs.start("health", "health", PORT=port)
            programs.start("probe", "probe", f"ws://127.0.0.1:{port}/")
        for name, expected in (("health", "unhealthy: "), ("probe", "relay is stopping")):
            status, out, err = programs.results[name]
            assert (status, err) == (1, "")
            assert expected in out
        program.process.send_signal(signal.SIGTERM)
        assert await program.wait() == -signal.SIGTERM
