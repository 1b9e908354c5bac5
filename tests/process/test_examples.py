"""The programs of examples/, and the code blocks of docs/embedding.md."""

from __future__ import annotations

import base64
import json
import re
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response
from websockets.sync.client import connect

from tests.support.ports import reserved_port

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
RELAY = [sys.executable, "-m", "relay", "start", "--host", "127.0.0.1", "--port"]
TIME_LIMIT = 30.0


def run(*command: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a Python program, with warnings as errors and standard input, until it ends."""
    return subprocess.run(
        [sys.executable, "-W", "error", *command],
        input=given,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )


@contextmanager
def started(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Start a program, and end it."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        try:
            yield it
        finally:
            it.terminate()
            it.communicate(timeout=TIME_LIMIT)


@contextmanager
def relay(port: int = 0) -> Iterator[int]:
    """Run a relay; yield its port."""
    with started(*RELAY, str(port)) as process:
        assert process.stdout is not None
        found = re.search(r"ws://127\.0\.0\.1:(\d+) ", process.stdout.readline())
        assert found is not None
        yield int(found[1])


def request_until_answered(url: str, message: bytes) -> bytes | str:
    """Return the peer's reply, joining again until the peer has joined."""
    deadline = time.monotonic() + TIME_LIMIT
    while True:
        try:
            with connect(url) as phone:
                phone.send(message)
                return phone.recv(timeout=5)
        except (ConnectionClosedError, InvalidStatus, OSError):
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_exchange() -> None:
    """The smoke test prints both messages."""
    with relay() as port:
        done = run(EXAMPLES / "exchange.py", f"ws://127.0.0.1:{port}/")
    assert done.stdout == "b'hello from the phone'\nb'hello from home'\n", done.stderr


def test_embed() -> None:
    """The embedding example serves and stops, and README.md shows all of it but its docstring."""
    done = run(EXAMPLES / "embed.py")
    assert re.fullmatch(r"relaying on port \d+, 0 pairs\n", done.stdout), done.stderr
    (shown,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert (EXAMPLES / "embed.py").read_text().endswith(f'"""\n\n{shown}')


def test_echo_home_reconnects() -> None:
    """The home endpoint answers a peer, the next one, and a peer of a restarted relay."""
    with reserved_port() as port:
        url = f"ws://127.0.0.1:{port}/?pair=code"
        with relay(port), started(sys.executable, EXAMPLES / "echo_home.py", url):
            assert request_until_answered(url, b"first") == b"first"
            assert request_until_answered(url, b"second") == b"second"
        with (
            started(sys.executable, EXAMPLES / "echo_home.py", url) as home,
            relay(port),
        ):
            assert request_until_answered(url, b"third") == b"third"
            assert home.poll() is None


def test_echo_home_gives_up() -> None:
    """The home endpoint ends with the reason if a retry would fail again."""
    with relay() as port:
        done = run(EXAMPLES / "echo_home.py", f"ws://127.0.0.1:{port}/")
    assert done.returncode == 1
    assert done.stderr == "echo_home: server rejected WebSocket connection: HTTP 400\n"


def refusal(status: int, **headers: str) -> InvalidStatus:
    """Return the exception for an HTTP response."""
    fields = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return InvalidStatus(Response(status, HTTPStatus(status).phrase, fields))


def closed(code: int) -> ConnectionClosedError:
    """Return the exception for a close frame of the relay."""
    return ConnectionClosedError(Close(code, ""), None)


@pytest.mark.parametrize(
    ("failure", "joined", "least", "most"),
    [
        (closed(1000), True, 0, 8),
        (closed(1001), True, 0, 8),
        (closed(1011), True, 0, 8),
        (ConnectionClosedError(None, None), True, 0, 8),
        (ConnectionRefusedError(), False, 0, 8),
        (refusal(401), True, 0, 8),
        (refusal(409, Retry_After="5"), True, 5, 13),
        (refusal(429, Retry_After="30"), False, 30, 38),
        (refusal(503), False, 5, 13),
    ],
)
def test_retry_delay(failure: Exception, joined: bool, least: float, most: float) -> None:
    """The home endpoint retries after each transient failure, after a random delay."""
    delay: Callable[..., Any] = runpy.run_path(str(EXAMPLES / "echo_home.py"))["retry_delay"]
    delays = [delay(failure, 3, joined=joined) for _ in range(100)]
    assert least <= min(delays) < max(delays) <= most


@pytest.mark.parametrize(
    "failure", [*map(closed, [1002, 1007, 1008, 1009]), *map(refusal, [400, 401, 403, 404, 426])]
)
def test_no_retry(failure: Exception) -> None:
    """The home endpoint does not repeat a request that would fail again."""
    delay: Callable[..., Any] = runpy.run_path(str(EXAMPLES / "echo_home.py"))["retry_delay"]
    assert delay(failure, 0, joined=False) is None


@contextmanager
def arc_daemon(port: int) -> Iterator[str]:
    """Run the daemon of the pairing example; yield its payload."""
    command = (EXAMPLES / "arc_endpoint.py", "daemon", f"ws://127.0.0.1:{port}")
    with started(sys.executable, *command) as process:
        assert process.stdout is not None
        yield process.stdout.readline()


def arc_client(payload: str, *messages: str) -> subprocess.CompletedProcess[str]:
    """Run the client of the pairing example."""
    lines = "\n".join((payload.rstrip(), *messages, ""))
    return run(EXAMPLES / "arc_endpoint.py", "client", given=lines)


def test_arc_endpoint() -> None:
    """The daemon answers two clients in turn, also if a stranger joined in between."""
    with relay() as port, arc_daemon(port) as payload:
        done = arc_client(payload, "hello", "again")
        assert (done.stdout, done.stderr) == ("HELLO\nAGAIN\n", "")
        fields = json.loads(base64.urlsafe_b64decode(payload + "=="))
        assert [*fields] == ["v", "relayUrl", "daemonPub", "pairCode", "label"]
        assert (fields["v"], fields["relayUrl"]) == (1, f"ws://127.0.0.1:{port}")
        with connect(f"ws://127.0.0.1:{port}/?pair={fields['pairCode']}") as stranger:
            stranger.send(b"garbage")
            with pytest.raises(ConnectionClosed):
                stranger.recv(timeout=TIME_LIMIT)
        done = arc_client(payload, "third")
        assert (done.stdout, done.stderr) == ("THIRD\n", "")


def test_arc_endpoint_with_another_key() -> None:
    """A client with the key of another daemon ends with one line."""
    with relay() as port, arc_daemon(port) as payload:
        fields = json.loads(base64.urlsafe_b64decode(payload + "=="))
        fields["daemonPub"] = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
        done = arc_client(base64.urlsafe_b64encode(json.dumps(fields).encode()).decode(), "hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("arc_endpoint: the peer does not have the key of this pairing payload\n")


ANOTHER_VERSION = {"v": 2, "relayUrl": "", "daemonPub": "A" * 43, "pairCode": ""}


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ("", "standard input does not begin with a pairing payload"),
        ("garbage", "standard input does not begin with a pairing payload"),
        ("e30", "standard input does not begin with a pairing payload"),
        (
            base64.urlsafe_b64encode(json.dumps(ANOTHER_VERSION).encode()).decode(),
            "the pairing payload has another version",
        ),
    ],
)
def test_arc_endpoint_without_payload(payload: str, problem: str) -> None:
    """A client without a valid payload ends with one line."""
    done = arc_client(payload)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"arc_endpoint: {problem}\n"


BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/embedding.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_embedding_document(block: str) -> None:
    """Each block of the document runs without an error or a warning."""
    done = run("-c", block)
    assert (done.returncode, done.stderr) == (0, "")


def test_embedding_document_has_blocks() -> None:
    """The document has a block for each of its topics."""
    assert len(BLOCKS) >= 6
