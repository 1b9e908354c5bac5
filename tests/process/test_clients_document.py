"""The programs in docs/clients.md work with a relay."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from relay.client import Link, Session, WrongKey, serve
from tests.support.chromium import run_chromium
from tests.support.node_ws import find_ws
from tests.support.raw_client import BINARY, Client, encode_close
from tests.support.relay_fixtures import TcpRelay

DOCUMENT = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()
PYTHON = ("Python: websockets", "Python: trio-websocket")
HEARTBEAT, DATA = b"\0", b"\1"


def program(title: str) -> str:
    """Return the code block of a section."""
    section = DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    [block] = re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)
    return str(block)


async def run_beside(relay: TcpRelay, command: Sequence[str]) -> list[str]:
    """Run a program as side A, exchange a message with it, leave, and return its output."""
    output: list[str] = []

    async def run() -> None:
        done = await trio.run_process(
            [*command, relay.url("code")], capture_stdout=True, capture_stderr=True, check=False
        )
        assert done.returncode == 0, done.stderr
        output.extend(done.stdout.decode().splitlines())

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            while not relay.handle.statistics().waiting:
                await trio.sleep(0.01)
            peer = await relay.join("code")
            assert await peer.message() == b"hello"
            await peer.send_message(b"good day")
            await peer.send(encode_close(1000))
    return output


async def refusal(relay: TcpRelay, command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """Run a program whose code is taken, and return its result."""
    await relay.pair("code")
    with trio.fail_after(30):
        return await trio.run_process(
            [*command, relay.url("code")], capture_stdout=True, capture_stderr=True, check=False
        )


@pytest.mark.parametrize("title", PYTHON)
async def test_python(tcp_relay: TcpRelay, title: str) -> None:
    """A program in Python sends early, prints the message of its peer, and the close code."""
    command = [sys.executable, "-c", program(title)]
    assert await run_beside(tcp_relay, command) == ["b'good day'", "1000"]


async def test_python_session(tcp_relay: TcpRelay, nursery: trio.Nursery) -> None:
    """The program with relay.client prints what its host sends, or the error of a wrong key."""
    link = Link.new(f"ws://127.0.0.1:{tcp_relay.handle.port}/")
    await nursery.start(serve, link, echo)
    wrong = Link(link.url, link.code, bytes(32))
    for each, output in ((link, b"b'hello'\n"), (wrong, f"{WrongKey()}\n".encode())):
        command = [sys.executable, "-c", program("Python: relay.client"), each.text]
        with trio.fail_after(30):
            done = await trio.run_process(command, capture_stdout=True)
        assert done.stdout == output


async def echo(session: Session) -> None:
    """Send back what a guest sends."""
    async for data in session:
        await session.send_all(data)


async def test_python_is_refused(tcp_relay: TcpRelay) -> None:
    """The program with websockets prints the status and Retry-After of a refusal."""
    done = await refusal(tcp_relay, [sys.executable, "-c", program(PYTHON[0])])
    assert done.stdout == b"409 5\n", done.stderr


def node_program(directory: Path) -> list[str]:
    """Return the command of the program for Node, in a directory with ws."""
    (directory / "endpoint.mjs").write_text(program("Node: ws"))
    return ["node", str(directory / "endpoint.mjs")]


async def test_node(
    tcp_relay: TcpRelay, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The program for Node does the same, and prints a refusal."""
    command = node_program(find_ws(pytestconfig, tmp_path_factory))
    assert await run_beside(tcp_relay, command) == ["good day", "1000"]
    done = await refusal(tcp_relay, command)
    assert done.stdout.startswith(b"409 5\n"), done.stderr


async def heard(peer: Client) -> bytes:
    """Return the next message of the page that is no heartbeat."""
    while (message := await peer.message()) == HEARTBEAT:
        pass
    return message


async def test_browser(tcp_relay: TcpRelay, tmp_path: Path) -> None:
    """The code for browsers exchanges data, begins with a heartbeat, and reconnects."""
    url = json.dumps(tcp_relay.url("code"))
    async with run_chromium(tmp_path) as browser:
        page = await browser.open(f"http://127.0.0.1:{tcp_relay.handle.port}/health")
        await page.evaluate(f"""(() => {{
            {program("Browsers")}
            window.got = [];
            window.send = keepConnected({url}, (bytes) => got.push(...bytes));
        }})()""")
        for count in (1, 2):
            while not tcp_relay.handle.statistics().waiting:
                await trio.sleep(0.01)
            peer = await tcp_relay.join("code")
            frame = await peer.frame()
            assert (frame.opcode, frame.payload) == (BINARY, HEARTBEAT)
            await page.evaluate(f"send([7, {count}])")
            assert await heard(peer) == DATA + bytes((7, count))
            await peer.send_message(HEARTBEAT)
            await peer.send_message(DATA + bytes((count,)))
            await page.wait_for(f"got.join() === '{','.join(map(str, range(1, count + 1)))}'")
            await peer.send(encode_close(1000))


def test_libraries() -> None:
    """The table of libraries has the versions in which they were tried."""
    rows = re.findall(r"^\| (?:Python|Node|Go|libcurl) .*\d+\.\d+.*\|$", DOCUMENT, re.MULTILINE)
    assert len(rows) == 11
