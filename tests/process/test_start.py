"""The command line: successful starts, and the error messages of failed ones."""

from __future__ import annotations

import errno
import gc
import logging
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import trio

from relay import Observer, RelayHandle, RelaySettings, serve_relay
from relay.cli import main
from relay.daemon import program
from relay.daemon import run as daemon
from relay.daemon.listeners import Listeners, open_tcp
from relay.daemon.tls import CertificateFiles
from relay.transport import epoll_reader


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run without settings in the environment, and undo the changes to the process."""
    for name in os.environ:
        if name.startswith("ARC_RELAY_"):
            monkeypatch.delenv(name)
    threshold = gc.get_threshold()
    logs = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = logs
    gc.set_threshold(*threshold)


class Started:
    """Replacement of `serve_relay` that stops at once by a signal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, by: signal.Signals) -> None:
        self.settings: RelaySettings
        self.address: tuple[str, int]
        self._by = by
        monkeypatch.setattr(daemon, "serve_relay", self._serve)

    async def _serve(
        self,
        *,
        listeners: Sequence[trio.SocketListener],
        settings: RelaySettings,
        observer: Observer,
        task_status: trio.TaskStatus[RelayHandle],
    ) -> None:
        self.settings = settings
        self.address = listeners[0].socket.getsockname()
        async with trio.open_nursery() as nursery:
            handle = await nursery.start(
                lambda task_status: serve_relay(listeners=listeners, task_status=task_status)
            )
            task_status.started(handle)
            signal.raise_signal(self._by)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["arc-relay", *arguments])
    with pytest.raises(SystemExit) as caught:
        main.main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], by: signal.Signals
) -> None:
    """It prints its addresses, and a signal ends it with status 0."""
    started = Started(monkeypatch, by)
    assert run(monkeypatch, "start", "--host", "127.0.0.1", "--port", "0") == 0
    port = started.address[1]
    out, err = capsys.readouterr()
    assert out == f"arc-relay listening on ws://127.0.0.1:{port} (health at /health)\n"
    assert [re.sub(r".* event=(\w+).*", r"\1", line) for line in err.splitlines()] == [
        "started",
        "limits",
        "settings",
        "signal",
        "stopped",
    ]
    assert started.settings == RelaySettings()


def test_short_options_and_ipv6(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The options of the predecessor exist; an IPv6 address is printed in brackets."""
    started = Started(monkeypatch, signal.SIGTERM)
    assert run(monkeypatch, "start", "-H", "::1", "-p", "0") == 0
    assert f"ws://[::1]:{started.address[1]} " in capsys.readouterr().out


def test_settings_reach_the_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay is started with the given settings and at the given address."""
    started = Started(monkeypatch, signal.SIGTERM)
    monkeypatch.setenv("ARC_RELAY_HOST", "127.0.0.2")
    monkeypatch.setenv("ARC_RELAY_PORT", "0")
    assert run(monkeypatch, "start", "--pair-ttl", "42") == 0
    assert started.address[0] == "127.0.0.2"
    assert started.settings == RelaySettings(pair_ttl=42)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["start", "--port", "65536"], ["--port", "65536", "0 to 65535"]),
        (["start", "--port", "-1"], ["--port", "-1"]),
        (["start", "--port", "http"], ["--port", "'http'"]),
        (["start", "--pair-ttl", "-5"], ["--pair-ttl", "-5"]),
        (["start", "--pair-ttl", "soon"], ["--pair-ttl", "'soon'"]),
        (["start", "--close-timeout", "nan"], ["--close-timeout", "nan"]),
        (["start", "--max-message-size", "1.5"], ["--max-message-size", "'1.5'"]),
        (["start", "--frobnicate"], ["--frobnicate"]),
        (["start", "surplus"], ["surplus"]),
        (["stop"], ["stop"]),
    ],
)
def test_wrong_usage(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    expected: list[str],
) -> None:
    """An invalid option is explained in one line that names it and its value; the status is 2."""
    assert run(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("arc-relay: ")
    assert all(word in err for word in expected), err


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70, "300.0.0.1"])
def test_host_that_does_not_resolve(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    """A host that does not resolve is explained in one line; the status is 1."""
    assert run(monkeypatch, "start", "--host", host) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert f"--host {host!r}" in err


def test_port_in_use(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A port in use is explained in one line; the status is 1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert run(monkeypatch, "start", "--host", "127.0.0.1", "--port", str(port)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert f"--port {port}: " in err
    assert "in use" in err


@pytest.mark.parametrize("content", [None, b" \n", b"two\nlines", b"\xff\xfet"])
def test_bad_token_file(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    content: bytes | None,
) -> None:
    """An unreadable or invalid token file is explained in one line; the status is 1."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    assert run(monkeypatch, "start", "-p", "0", "--token-file", str(path)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "--token-file" in err
    assert str(path) in err


def test_no_descriptor_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lack of descriptors is not reported as an invalid option."""

    def fail() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(epoll_reader, "select", SimpleNamespace(epoll=fail))
    assert run(monkeypatch, "start", "-p", "0") == 1
    assert capsys.readouterr().err == ("arc-relay: cannot start: Too many open files\n")


@pytest.mark.parametrize("group", [True, False])
def test_no_descriptor_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], group: bool
) -> None:
    """A lack of descriptors is not reported as a crash either."""
    error: Exception = OSError(errno.EMFILE, "Too many open files")
    if group:
        error = ExceptionGroup("several", [ExceptionGroup("one", [error])])
    monkeypatch.setattr(daemon, "SystemdNotifier", Mock(side_effect=error))
    assert run(monkeypatch, "start") == 1
    expected = capsys.readouterr().err
    assert expected.startswith("arc-relay: the system is short of resources: Too many open files (")
    assert expected.count("\n") == 1


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints its version."""
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"arc-relay {version('arc-pair-relay')}\n"


@pytest.mark.parametrize("error", [PackageNotFoundError, OSError(errno.EMFILE, "no descriptor")])
def test_version_without_metadata(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    """A copy of the package that is not installed has no version, and works."""
    monkeypatch.setattr(program, "version", Mock(side_effect=error))
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == "arc-relay unknown\n"


def test_signals_and_files_before_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """While names are resolved, signals end the process; then the files are loaded once more."""
    calls: list[str] = []
    before = signal.getsignal(signal.SIGTERM)

    def note(call: str) -> None:
        kept = signal.getsignal(signal.SIGTERM) is not before
        calls.append(f"{call}, signals {'kept' if kept else 'not kept'}")

    class Files(CertificateFiles):
        def __init__(self, *_paths: str) -> None:
            note("load")

        def reload(self) -> None:
            note("reload")

    async def opening(_settings: object) -> Listeners:
        note("open")
        return Listeners([], inherited=False)

    async def serving(*_: object) -> None:
        note("serve")

    monkeypatch.setattr(daemon, "open_listeners", opening)
    monkeypatch.setattr(daemon, "serve", serving)
    monkeypatch.setattr(daemon, "CertificateFiles", Files)
    assert run(monkeypatch, "start", "--tls-cert", "x", "--tls-key", "x") == 0
    assert calls == [
        "load, signals not kept",
        "open, signals not kept",
        "reload, signals kept",
        "serve, signals kept",
    ]


@pytest.mark.parametrize("as_variables", [False, True])
@pytest.mark.parametrize(
    "options", [["--token-file", "/no"], ["--tls-cert", "/no", "--tls-key", "/no"]]
)
def test_no_port_without_files(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    as_variables: bool,
) -> None:
    """A relay whose files cannot be used opens no port; the message has the flag or variable."""
    if as_variables:
        names = [f"ARC_RELAY_{flag[2:].replace('-', '_').upper()}" for flag in options[::2]]
        for name in names:
            monkeypatch.setenv(name, "/no")
        options = [names[0]]
    opening = Mock()
    monkeypatch.setattr(daemon, "open_listeners", opening)
    assert run(monkeypatch, "start", *([] if as_variables else options)) == 1
    why = f"cannot read {options[0]} '/no': No such file or directory"
    assert capsys.readouterr().err == f"arc-relay: {why}\n"
    assert not opening.called


@pytest.mark.parametrize("option", ["--unix-socket", "--host"])
def test_failed_start_closes_everything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """A failed start leaves no listener open, the metrics listener included."""
    opened: list[trio.SocketListener] = []
    really_open = open_tcp

    async def open_metrics(*address: Any, given: str) -> list[trio.SocketListener]:
        opened.extend(await really_open(*address, given=given))
        return opened

    monkeypatch.setattr(daemon, "open_tcp", open_metrics)
    assert run(monkeypatch, "start", "-p", "0", "--metrics", "127.0.0.1:0", option, "/no/no") == 1
    assert "/no" in capsys.readouterr().err
    assert [listener.socket.fileno() for listener in opened] == [-1]


def test_start_does_not_import_the_help() -> None:
    """A start does not import typer's rich help, which takes time."""
    code = (
        "import sys; sys.argv[1:] = ['start', '--token-file', '/no']\n"
        "from relay.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: print('typer.rich_utils' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_module() -> None:
    """``python -m relay`` is the same program."""
    done = subprocess.run(
        [sys.executable, "-m", "relay", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"arc-relay {version('arc-pair-relay')}\n"


def test_unexpected_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A crash is reported in one line, with its kind and its place but not its message."""

    async def serve(*, listeners: Sequence[trio.SocketListener], **_: Any) -> None:
        for listener in listeners:
            await listener.aclose()
        raise KeyError("what a client expected")

    monkeypatch.setattr(daemon, "serve_relay", serve)
    assert run(monkeypatch, "start", "--host", "127.0.0.1", "--port", "0") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(
        r"arc-relay: this is a fault of the program, please report it:"
        r" KeyError at relay/daemon/run\.py:\d+\n",
        err,
    )
