"""`arc-relay probe`: its options, output and exit status."""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from queue import Queue

import pytest
import trio
import trustme
import typer
from typer.testing import CliRunner

from relay import RelayHandle, serve_relay
from relay.cli.options import WrongUsage
from relay.cli.probe.command import add_pair_code, authorization, probe, run
from relay.cli.probe.report import JsonReport, TextReport, duration
from relay.cli.probe.runner import Result
from relay.daemon.standard_streams import OutputFailed
from tests.support.probe_proxies import Impostor, into, plan_for
from tests.support.relay_fixtures import MemoryRelay

AUTHORITY = trustme.CA()

SHORT = ("--size", "1000")


@pytest.fixture
def tls_port() -> Iterator[int]:
    """Run a relay with a certificate for localhost in a thread, as the command uses this one."""
    started: Queue[tuple[int, trio.lowlevel.TrioToken, trio.CancelScope]] = Queue()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("localhost").configure_cert(context)

    async def main() -> None:
        tcp = await trio.open_tcp_listeners(0, host="127.0.0.1")
        listeners = [trio.SSLListener(listener, context, https_compatible=True) for listener in tcp]
        async with trio.open_nursery() as nursery:
            handle: RelayHandle = await nursery.start(partial(serve_relay, listeners=listeners))
            started.put((handle.port, trio.lowlevel.current_trio_token(), nursery.cancel_scope))

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    port, token, scope = started.get(timeout=30)
    yield port
    token.run_sync_soon(scope.cancel)
    thread.join(30)


def invoke(*arguments: str, **variables: str) -> tuple[int, str, str]:
    """Run the command; return its status, standard output and standard error."""
    app = typer.Typer(rich_markup_mode=None)
    app.command()(probe)
    done = CliRunner().invoke(app, arguments, env=variables)
    if isinstance(done.exception, WrongUsage):
        return done.exception.exit_code, done.stdout, str(done.exception)
    return done.exit_code, done.stdout, done.stderr


def test_text(tls_port: int, tmp_path: Path) -> None:
    """The output has a line for each step, and the result; it does not have the code."""
    file = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(file)
    url = f"wss://localhost:{tls_port}/relay"
    status, out, err = invoke(
        f"{url}?pair=canary-code", "--ca", str(file), "--token", "canary-token", *SHORT
    )
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert all(re.match(r"ok    \S.* \d+ ms", line) for line in lines[:-1]), out
    assert re.search(r"pings +\d+ ms   A \d+\.\d\d ms, B \d+\.\d\d ms$", out, re.MULTILINE)
    assert lines[-1] == f"a pair through {url} works"
    assert "canary" not in out


def test_json(tls_port: int) -> None:
    """With --json the output is one object."""
    url = f"wss://localhost:{tls_port}/"
    status, out, err = invoke(url, "--insecure", "--json", *SHORT)
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert report["url"] == url
    assert report["ok"] is True
    assert [step["ok"] for step in report["steps"]] == [True] * len(report["steps"])
    assert set(report["steps"][0]) == {
        "name",
        "ok",
        "seconds",
        "figures",
        "error",
        "hint",
        "answered_by",
    }


def test_failure(tls_port: int) -> None:
    """A failed step is reported with a hint, and the status is 1."""
    status, out, _ = invoke(f"ws://localhost:{tls_port}", *SHORT)
    assert status == 1
    note, failed, hint, verdict = out.splitlines()
    assert note.startswith("note  health")
    assert failed.startswith("FAIL  connect side A")
    assert hint.startswith("      usually: ")
    assert verdict.endswith("does not work")
    status, out, _ = invoke(f"ws://localhost:{tls_port}", "--json", *SHORT)
    assert status == 1
    assert [step["ok"] for step in json.loads(out)["steps"]] == [None, False]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "URL"),
        (("relay.example",), "begin with wss://"),
        (("ws://relay.example", "--idle", "-1"), "--idle"),
        (("ws://relay.example", "--idle", "nan"), "--idle"),
        (("ws://relay.example", "--timeout", "0"), "--timeout"),
        (("ws://relay.example", "--size", "-1"), "--size"),
        (("ws://relay.example", "--size", "2147483648"), "--size"),
        (("ws://relay.example", "--size", "1_0"), "--size"),
        (("ws://relay.example", "--idle", "\u0661"), "--idle"),
        (("ws://relay.example", "--timeout", "soon"), "--timeout"),
        (("ws://relay.example", "--token", "canary\n"), "--token"),
        (("ws://relay.example", "--token", "canary other"), "--token"),
        (("ws://relay.example", "--token", "canary\udcff"), "--token"),
        (("ws://relay.example", "--token", "canary\xe9"), "--token"),
        (("ws://relay.example", "--insecure"), "wss://"),
        (("ws://relay.example", "--ca", "file"), "wss://"),
        (("wss://relay.example", "--ca", "file", "--insecure"), "--ca"),
        (("wss://relay.example", "--ca", "/no/such/file"), "cannot read --ca '/no/such/file': No"),
        (("wss://relay.example", "--ca", __file__), "no certificate"),
        (("ws://relay.example/?x=1&pair=",), "URL must hold a pair code"),
        (("ws://relay.example/?pair=canary%FF",), "URL must hold a pair code"),
        (("ws://relay.example", "--token-file", "/no"), "cannot read --token-file '/no': No such"),
        (("ws://relay.example", "--token-file", "/"), "--token-file '/' is a directory"),
        (
            ("ws://relay.example", "--token", "canary", "--token-file", "/no"),
            "--token must be left",
        ),
        (("unix:",), "URL must have the path of a socket"),
        (("unix:/no", "--insecure"), "--insecure must be left out without wss://"),
    ],
)
def test_wrong_usage(arguments: Sequence[str], expected: str) -> None:
    """Wrong usage is explained without quoting secrets; the status is 2."""
    status, out, err = invoke(*arguments)
    assert (status, out) == (2, "")
    assert expected in err
    assert "canary" not in err


def test_bad_token_in_the_environment() -> None:
    """The message names the variable, without the token."""
    status, _, err = invoke("ws://relay.example", ARC_PROBE_TOKEN="canary other")  # noqa: S106
    assert (status, err) == (2, "ARC_PROBE_TOKEN must be visible ASCII characters")


def test_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is that of the option, of the file, or else of the variable."""
    file = tmp_path / "token"
    file.write_text("filed\n")
    monkeypatch.delenv("ARC_PROBE_TOKEN", raising=False)
    assert authorization("", "") == ()
    monkeypatch.setenv("ARC_PROBE_TOKEN", "variable")
    assert authorization("", "") == ((b"Authorization", b"Bearer variable"),)
    assert authorization("", str(file)) == ((b"Authorization", b"Bearer filed"),)
    assert authorization("option", "") == ((b"Authorization", b"Bearer option"),)


@pytest.mark.parametrize(
    ("query", "pattern"),
    [
        ("", r"pair=[0-9a-f]{32}"),
        ("token=x", r"token=x&pair=[0-9a-f]{32}"),
        ("pair=mine", r"pair=mine"),
        ("x=1&pair=%C3%A9", r"x=1&pair=%C3%A9"),
    ],
)
def test_code(query: str, pattern: str) -> None:
    """The code of a URL is used; without a code, a random one is added."""
    assert re.fullmatch(pattern, add_pair_code(query))


async def test_interrupt(nursery: trio.Nursery, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGINT ends the command with one line, without a report; the status says interrupted."""

    class Interrupting(JsonReport):
        def step(self, result: Result) -> None:
            signal.raise_signal(signal.SIGINT)

    status = await run(plan_for(Impostor(nursery).open_stream), Interrupting("ws://relay.example/"))
    assert status == 130
    assert capsys.readouterr() == ("", "arc-relay: interrupted\n")


async def test_interrupt_that_is_ignored(
    memory_relay: MemoryRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGINT has no effect on a background job, in which the shell ignores it."""

    class Interrupting(JsonReport):
        def step(self, result: Result) -> None:
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert await run(plan_for(into(memory_relay)), Interrupting("ws://relay.example/")) == 0
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("failure", [BrokenPipeError, OutputFailed])
async def test_output_that_is_closed(memory_relay: MemoryRelay, failure: type[OSError]) -> None:
    """A failure of its output is raised outside an exception group."""

    class Broken(TextReport):
        def step(self, result: Result) -> None:
            raise failure

    with pytest.raises(failure):
        await run(plan_for(into(memory_relay)), Broken("ws://relay.example/"))


def test_step_without_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """A line ends with its last word; a long time is in seconds."""
    TextReport("").step(Result("idle", True, 61.04))
    assert capsys.readouterr().out == f"ok    {'idle':<23}   61.0 s\n"
    assert duration(9.9994) == "9999 ms"


def test_no_relay() -> None:
    """A missing relay causes no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    status, out, err = invoke(f"ws://127.0.0.1:{port}")
    assert (status, err) == (1, "")
    assert "connection refused" in out
