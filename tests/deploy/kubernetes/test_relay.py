"""Relay with the variables and the probes of the manifests for Kubernetes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.support.process import Program, run_program
from tests.support.raw_client import Client

from ..clients import Side
from .manifests import KUBERNETES, Manifests, build

Run = Callable[..., AbstractAsyncContextManager[Program]]


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """Return the manifests with all components."""
    folder = tmp_path_factory.mktemp("all")
    components = [str(each.parent) for each in KUBERNETES.glob("*/kustomization.yaml")]
    assert len(components) == 3
    (folder / "here").symlink_to(KUBERNETES)
    names = [f"here/{Path(each).name}" for each in components]
    (folder / "kustomization.yaml").write_text(f"resources: [here]\ncomponents: {names}\n")
    return build(folder)


@pytest.fixture
def run(manifests: Manifests, tmp_path: Path, time_limit: None) -> Run:
    """Return a function that runs a relay with the variables of the pod, but on free ports."""

    @asynccontextmanager
    async def run(**changes: str) -> AsyncIterator[Program]:
        variables = manifests.variables | {"ARC_RELAY_PORT": "0"} | changes
        variables["ARC_RELAY_METRICS"] = re.sub(r":\d+$", ":0", variables["ARC_RELAY_METRICS"])
        async with run_program(log=tmp_path / "log", variables=variables) as program:
            yield program

    return run


async def request(port: int, path: str) -> int:
    """Return the status of the response to a plain request."""
    async with Client(await trio.open_tcp_stream("127.0.0.1", port)) as client:
        return (await client.get(path)).status


async def probe(manifests: Manifests, program: Program, name: str) -> int:
    """Send the request of a probe of the pod."""
    question = manifests.container[name]["httpGet"]
    assert question.get("scheme", "HTTP") == "HTTP"
    assert question["port"] == "relay"
    return await request(program.port, question["path"])


async def join(stack: AsyncExitStack, program: Program, code: str) -> Side:
    """Return a client that has joined."""
    side = Side(await trio.open_tcp_stream("127.0.0.1", program.port))
    await stack.enter_async_context(side)
    assert (await side.upgrade(f"/?pair={code}")).status == 101
    return side


PROBES = ("readinessProbe", "livenessProbe")


async def test_probes_and_metrics(manifests: Manifests, run: Run) -> None:
    """Both probes pass, and the metrics are only on their own port."""
    async with run() as program:
        assert [await probe(manifests, program, name) for name in PROBES] == [200, 200]
        line = await program.line("started")
        found = re.search(r"metrics=http://[^ ]*?:(\d+)/metrics", line)
        assert found is not None, line
        assert await request(int(found[1]), "/metrics") == 200
        assert await request(program.port, "/metrics") == 404


async def test_probes_of_a_full_relay(manifests: Manifests, run: Run) -> None:
    """A full relay stays in the Service, for the second sides of its waiting codes."""
    async with run(ARC_RELAY_MAX_CONNECTIONS="1") as program, AsyncExitStack() as stack:
        await join(stack, program, "code")
        assert await request(program.port, "/ready") == 503
        assert [await probe(manifests, program, name) for name in PROBES] == [200, 200]


async def test_settings_of_several(manifests: Manifests, run: Run) -> None:
    """With several relays, codes are strict, so that the gateway reads them as the relay does."""
    async with run() as program:
        async with Client(await trio.open_tcp_stream("127.0.0.1", program.port)) as client:
            assert (await client.upgrade("/?pair=%41")).status == 400
        assert "max_connections=4000" in await program.line("settings")


async def test_stop(manifests: Manifests, run: Run) -> None:
    """A stopped relay closes its sides and ends in the grace period, without its sleep.

    This holds also if a client does not answer.
    """
    sleep = manifests.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    left = manifests.pod["terminationGracePeriodSeconds"] - sleep
    async with AsyncExitStack() as stack, run() as program:
        a, b = await join(stack, program, "code"), await join(stack, program, "code")
        await join(stack, program, "silent")
        await a.send_message(b"hello")
        assert await b.message() == b"hello"
        with trio.fail_after(left):
            program.process.terminate()
            for side in (a, b):
                assert await side.closed() == (1001, "relay stopping")
            assert await program.wait() == 0
