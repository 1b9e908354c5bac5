"""Data of clients appears in no output of a relay, whatever clients do."""

from __future__ import annotations

import re
import signal
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from tests.support.certificates import Certificate, client_context
from tests.support.process import LOOPBACK, Program, run_program
from tests.support.raw_client import Response, encode_close
from tests.support.secret_refusals import (
    REFUSAL_OPTIONS,
    be_refused,
    be_refused_by_options,
    exceed_client_limits,
    fill,
)
from tests.support.secret_scenarios import (
    ACTS,
    BEHIND,
    DIRECT,
    INVENTED,
    OPTIONS,
    OUTCOMES,
    TOKEN,
    WORD,
    Act,
    Clients,
    send_too_much,
    stall,
)

SECRETS = re.compile("|".join(map(re.escape, (WORD, DIRECT, BEHIND, INVENTED))), re.IGNORECASE)


@dataclass(frozen=True)
class Variant:
    """Log options that exclude those of another variant."""

    log_format: str
    options: Sequence[str]
    act: Act
    outcomes: frozenset[str] = frozenset()
    tls: bool = False


VARIANTS = [
    Variant("auto", REFUSAL_OPTIONS, be_refused_by_options),
    Variant("text", ("--stall-timeout", "0.4"), stall, frozenset({"stalled"})),
    Variant("json", ("--max-pair-bytes", "9000"), send_too_much, frozenset({"over_bytes"}), True),
]


class Stage:
    """Relay with its files and its visible output."""

    def __init__(self, program: Program, clients: Clients, token: Path) -> None:
        self.program = program
        self.clients = clients
        self.token = token
        self.scraped: list[Response] = []

    async def scrape(self, target: str = "/metrics") -> str:
        """Return the metrics."""
        async with Clients(await self.program.metrics_port()) as clients:
            request = f"GET {target} HTTP/1.1\r\nHost: {WORD}\r\n\r\n"
            response = await clients.request(request.encode())
        self.scraped.append(response)
        return response.body.decode()

    async def reload(self) -> None:
        """Reload the token successfully, and then without success."""
        for text, said in ((TOKEN, "reloaded"), ("", "not reloaded"), (None, "No such file")):
            if text is None:
                self.token.unlink()
            else:
                self.token.write_text(text)
            self.program.process.send_signal(signal.SIGHUP)
            await self.program.line(said)

    async def stop(self) -> None:
        """Stop the relay while clients are connected, and connect one more."""
        async with trio.open_nursery() as nursery:
            sides = [*await self.clients.pair("last"), await self.clients.join("alone")]
            self.program.process.send_signal(signal.SIGTERM)
            await self.program.line("stopping")
            for target in ("health", "ready"):
                await self.clients.request(
                    f"GET /{target}?{WORD} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
                )
            _, status = await self.clients.upgrade("late")
            assert status == 503
            await self.scrape(f"/metrics?{WORD}")
            for side in sides:
                nursery.start_soon(side.closed)
        assert await self.program.wait() == 0

    def seen(self) -> str:
        """Return all output that is visible outside the clients."""
        responses = [*self.clients.refusals, *self.scraped]
        refusals = [f"{response.headers} {response.body!r}" for response in responses]
        return "\n".join((self.program.out.decode(), self.program.log.read_text(), *refusals))


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.log_format)
async def test_nothing_shows(tmp_path: Path, time_limit: None, variant: Variant) -> None:
    """No code, payload, token, address or reason is in any output, in any event."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    options = [*OPTIONS, *variant.options, "--log-format", variant.log_format]
    tls: ssl.SSLContext | None = None
    if variant.tls:
        options += Certificate(tmp_path).options
        tls = client_context()
        tls.check_hostname = False
    options += ["--token-file", str(token)]
    async with (
        run_program(*LOOPBACK, *options, log=tmp_path / "log") as program,
        Clients(program.port, tls) as clients,
    ):
        stage = Stage(program, clients, token)
        async with trio.open_nursery() as nursery:
            for act in (*ACTS, be_refused, exceed_client_limits, variant.act):
                nursery.start_soon(act, clients)
        await clients.leave()
        await fill(clients)
        figures = await stage.scrape()
        await clients.leave()
        await stage.reload()
        await stage.stop()
    for outcome in OUTCOMES | variant.outcomes:
        assert re.search(rf'ended_total{{outcome="{outcome}"}} [1-9]', figures), outcome
    assert (found := SECRETS.search(seen := stage.seen())) is None, context(seen, found)


@pytest.mark.parametrize(
    ("how", "shown"),
    [
        ("truncated", {"127.9.8.0/24", "203.0.113.0/24", "2001:db8:feed::/48"}),
        ("full", {DIRECT, f"{BEHIND}77", "2001:db8:feed:beef::77"}),
    ],
)
async def test_addresses(tmp_path: Path, time_limit: None, how: str, shown: set[str]) -> None:
    """The log has addresses as configured, and no other output has any."""
    options = (*LOOPBACK, *OPTIONS, "--drain-delay", "0", "--log-addresses", how)
    async with (
        run_program(*options, log=tmp_path / "log") as program,
        Clients(program.port) as clients,
    ):
        for code, address in (("v4", f"{BEHIND}77"), ("v6", "2001:db8:feed:beef::77")):
            await clients.join(code, direct=True)
            b = await clients.join(code, address=address)
            _, status = await clients.upgrade(f"{code}%ff", address=address)
            assert status == 400
            await b.send(encode_close(1000))
        async with Clients(await program.metrics_port()) as scrapers:
            scraped = (await scrapers.request(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")).body
        await program.line("pair ended", "client_a", "client_b")
        await clients.leave()
    log = program.log.read_text()
    assert set(re.findall(r"client_[ab]=(\S+)", log)) == shown
    assert INVENTED not in log
    assert WORD not in log
    assert not re.search(rf"{re.escape(DIRECT)}|{re.escape(BEHIND)}|2001:db8", scraped.decode())
    if how == "truncated":
        assert DIRECT not in log
        assert f"{BEHIND}77" not in log
        assert "beef" not in log


def context(seen: str, found: re.Match[str]) -> str:
    """Return the text around a finding."""
    return seen[max(0, found.start() - 200) : found.end() + 200]
