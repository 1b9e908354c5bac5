"""Signals before the command line is imported, and the death of the process by a signal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import relay
from relay.__main__ import main
from relay.daemon import signal_dispositions
from tests.support.process import LOOPBACK, PROGRAM, clean_environment
from tests.support.raw_client import upgrade_request

BLOCKING = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
os.execv(sys.argv[1], sys.argv[1:])
"""
ROOT = str(Path(relay.__file__).parents[1])
AS_PID_1 = ("unshare", "--pid", "--fork", "--kill-child")


class Calls(list[tuple[Any, ...]]):
    """Fakes of the calls to the kernel, which record their arguments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        for module, name in (
            (signal, "signal"),
            (signal, "pthread_sigmask"),
            (signal, "raise_signal"),
            (os, "_exit"),
        ):
            monkeypatch.setattr(module, name, self._recorder(name))

    def _recorder(self, name: str) -> Any:
        return lambda *arguments: self.append((name, *arguments))


def test_death_by_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal has its default effect; without one, as for PID 1, the process exits."""
    calls = Calls(monkeypatch)
    signal_dispositions.die_by(signal.SIGTERM)
    assert calls == [
        ("signal", signal.SIGTERM, signal.SIG_DFL),
        ("pthread_sigmask", signal.SIG_UNBLOCK, {signal.SIGTERM}),
        ("raise_signal", signal.SIGTERM),
        ("_exit", 143),
    ]


@pytest.mark.parametrize("serving", [True, False])
def test_preparation(monkeypatch: pytest.MonkeyPatch, serving: bool) -> None:
    """SIGINT and SIGTERM end the process; a starting relay ignores its own signals."""
    calls = Calls(monkeypatch)
    signal_dispositions.prepare_signals(serving=serving)
    kind, numbers = calls[-1][1:]
    assert kind == signal.SIG_UNBLOCK
    assert numbers >= {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1}
    handlers = {number: handler for _, number, handler in calls[:-1]}
    ignored = {number for number, handler in handlers.items() if handler is signal.SIG_IGN}
    assert ignored == (
        {signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTOU, signal.SIGCHLD}
        if serving
        else set()
    )
    assert handlers.keys() - ignored == {signal.SIGINT, signal.SIGTERM}
    calls.clear()
    handlers[signal.SIGINT](signal.SIGINT, None)
    assert ("raise_signal", signal.SIGINT) in calls


@pytest.mark.parametrize("serving", [True, False])
def test_ignored_by_the_parent(monkeypatch: pytest.MonkeyPatch, serving: bool) -> None:
    """A signal that the parent ignores, as in a background job, stays so, except in a relay."""
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_IGN)
    calls = Calls(monkeypatch)
    signal_dispositions.prepare_signals(serving=serving)
    assert (signal.SIGINT in [number for _, number, *_ in calls]) is serving


@pytest.mark.parametrize(
    ("arguments", "serving"), [(["start"], True), (["start", "-p", "0"], True), (["health"], False)]
)
def test_entry_point(monkeypatch: pytest.MonkeyPatch, arguments: list[str], serving: bool) -> None:
    """The entry point prepares signals and streams, then runs the command line."""
    calls: list[Any] = []
    monkeypatch.setattr(sys, "argv", ["arc-relay", *arguments])
    monkeypatch.setattr("relay.__main__.prepare_signals", lambda *, serving: calls.append(serving))
    monkeypatch.setattr(
        "relay.daemon.standard_streams.prepare_streams", lambda *, serving: calls.append(serving)
    )
    monkeypatch.setattr("relay.cli.main.main", lambda: calls.append("run"))
    main()
    assert calls == [serving, serving, "run"]


def test_entry_point_is_light() -> None:
    """Its import imports no slow module."""
    others = {"trio", "typer", "typing", "contextlib", "select", "relay.daemon.standard_streams"}
    heavy = f"import relay.__main__, sys; print({others} & {{*sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({ROOT!r}); {heavy}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"


def test_public_names() -> None:
    """Each public name is imported at its first use; unknown names are refused."""
    for name in relay.__all__:
        vars(relay).pop(name, None)
        value = getattr(relay, name)
        assert value is vars(relay)[name]
    assert {*relay.__all__} <= {*dir(relay)}
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        relay.nonsense  # type: ignore[attr-defined]  # noqa: B018


@pytest.fixture
def endless_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a starting relay import for as long as a test takes."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "typer.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))


@contextmanager
def starting(*prefix: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a relay, and return once its process has prepared for signals."""
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*prefix, *PROGRAM, "start", *LOOPBACK, "--close-timeout", "60"],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=clean_environment({}),
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def wait_until(process: subprocess.Popen[bytes], met: Any) -> None:
    """Wait until a condition holds, while a process runs."""
    deadline = time.monotonic() + 20
    while not met():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)


def mask(pid: int, name: str) -> set[int]:
    """Return the signals in a mask of a process, such as SigIgn."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            bits = int(line.split()[1], 16)
            return {number for number in range(1, 65) if bits >> (number - 1) & 1}
    raise AssertionError


def wait_prepared(process: subprocess.Popen[bytes], pid: int) -> None:
    """Wait until a process has prepared for signals; no parent ignores SIGUSR2."""
    wait_until(process, lambda: signal.SIGUSR2 in mask(pid, "SigIgn"))


def test_hangup_while_starting(tmp_path: Path) -> None:
    """SIGHUP, SIGUSR1 and SIGUSR2 do not keep a relay from starting; then they are handled."""
    with starting(log=tmp_path / "log") as process:
        wait_prepared(process, process.pid)
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            process.send_signal(number)
        assert process.stdout is not None
        assert b"listening" in process.stdout.readline()
        assert mask(process.pid, "SigCgt") >= {signal.SIGHUP, signal.SIGUSR1}
        assert mask(process.pid, "SigIgn") >= {signal.SIGUSR2, signal.SIGTTOU, signal.SIGPIPE}


@pytest.mark.usefixtures("endless_start")
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_end_while_starting(tmp_path: Path, by: signal.Signals) -> None:
    """SIGINT and SIGTERM end a starting relay without output."""
    log = tmp_path / "log"
    with starting(log=log) as process:
        wait_prepared(process, process.pid)
        process.send_signal(by)
        assert process.wait(10) == -by
        assert process.stdout is not None
        assert process.stdout.read() == b""
        assert log.read_text() == ""


def test_signal_mask_of_the_parent(tmp_path: Path) -> None:
    """Signals that the parent process blocked are handled."""
    launcher = (sys.executable, "-I", "-S", "-c", BLOCKING)
    with starting(*launcher, log=tmp_path / "log") as process:
        assert process.stdout is not None
        assert b"listening" in process.stdout.readline()
        assert not mask(process.pid, "SigBlk") & {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
        process.terminate()
        assert process.wait(10) == 0


@pytest.fixture
def inner(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """Start a relay as PID 1; return the process around it, and the PID of the relay outside."""
    if subprocess.run([*AS_PID_1, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no namespaces for processes here")
    log = tmp_path / "log"
    with starting(*AS_PID_1, log=log) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(process, children.read_text)
        yield process, int(children.read_text()), log


@pytest.mark.usefixtures("endless_start")
def test_end_while_starting_as_pid_1(inner: tuple[subprocess.Popen[bytes], int, Path]) -> None:
    """A process that cannot die by a signal exits with 128 and the number of the signal."""
    process, pid, log = inner
    wait_prepared(process, pid)
    os.kill(pid, signal.SIGTERM)
    assert process.wait(10) == 143
    assert log.read_text() == ""


def test_second_signal_as_pid_1(inner: tuple[subprocess.Popen[bytes], int, Path]) -> None:
    """A second signal ends the process at once, without a report of a crash."""
    process, pid, log = inner
    assert process.stdout is not None
    port = int(process.stdout.readline().split()[3].rpartition(b":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(upgrade_request("/?pair=code"))
        assert client.recv(100).startswith(b"HTTP/1.1 101 ")
        os.kill(pid, signal.SIGTERM)
        wait_until(process, lambda: "event=stopping" in log.read_text())
        os.kill(pid, signal.SIGINT)
        assert process.wait(20) == 130  # a graceful stop would wait for the mute client
    assert "fault" not in log.read_text()
