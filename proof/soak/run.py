"""Run the soak: two relays, one of them with TLS, the actors, the samples and the reloads."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import trio

from tests.support.certificates import Certificate, client_context
from tests.support.process import LOOPBACK, Program, run_program

from .actors import Gate, Results, act
from .members import Place
from .samples import Sample, Sampler, ticks

RESTS: Final = 10
"""Number of rests in a soak, at which no client is connected. A reload precedes each."""
SETTLE_SECONDS: Final = 10.0
"""Time that a relay has to remove the last connections of a rest."""


@dataclass(frozen=True)
class Plan:
    """Extent of a soak."""

    seconds: float
    actors: int
    """Number of actors at each relay; each has one pair at a time."""
    interval: float
    """Seconds between two samples."""
    seed: int


@dataclass
class Soak:
    """A running soak, and its results so far."""

    plan: Plan
    results: Results = field(default_factory=Results)
    samples: list[Sample] = field(default_factory=list)
    _samplers: list[Sampler] = field(default_factory=list)
    _programs: list[Program] = field(default_factory=list)

    async def run(self, folder: Path, report: Callable[[float], None]) -> None:
        """Run the relays and the clients to the end; call ``report`` with the time of each sample.

        ``folder`` gets the logs of the relays and the certificate.
        """
        certificate = Certificate(folder)
        async with AsyncExitStack() as stack:
            for name, options in (("plain", []), ("TLS", certificate.options)):
                program = await stack.enter_async_context(
                    run_program(
                        *(*LOOPBACK, "--metrics", "127.0.0.1:0", *options),
                        log=folder / f"{name}.log",
                    )
                )
                self._programs.append(program)
                place = Place(program.port, client_context() if options else None)
                port, pid = await program.metrics_port(), program.process.pid
                self._samplers.append(Sampler(name, pid, port, place))
            await self._load(certificate, report)

    async def _load(self, certificate: Certificate, report: Callable[[float], None]) -> None:
        """Run the actors, and take the samples."""
        gate, rests = Gate(), 0
        await self._take(0.0, at_rest=True)
        async with trio.open_nursery() as nursery:
            for number, sampler in enumerate(self._samplers * self.plan.actors):
                random = Random(f"{self.plan.seed}/{number}")  # noqa: S311 - no secret
                nursery.start_soon(act, sampler.place, random, gate, self.results)
            async for time in ticks(self.plan.interval, self.plan.seconds):
                await self._take(time)
                if time >= (rests + 1) * self.plan.seconds / RESTS:
                    rests += 1
                    self._reload(certificate)
                    await self._rest(time, gate)
                report(time)
            if rests < RESTS:
                await self._rest(self.plan.seconds, gate)
                report(self.plan.seconds)
            nursery.cancel_scope.cancel()

    def _reload(self, certificate: Certificate) -> None:
        """Renew the certificate, and make both relays reload their files."""
        certificate.renew()
        for program in self._programs:
            program.process.send_signal(signal.SIGHUP)

    async def _rest(self, time: float, gate: Gate) -> None:
        """Take a sample of each relay once all lives have ended and no connection is left."""
        async with gate.closed():
            with trio.move_on_after(SETTLE_SECONDS):
                for sampler in self._samplers:
                    while (await sampler.metrics())["arc_relay_connections"]:  # noqa: ASYNC110
                        await trio.sleep(0.2)
            await self._take(time, at_rest=True)

    async def _take(self, time: float, *, at_rest: bool = False) -> None:
        """Take a sample of each relay."""
        for sampler in self._samplers:
            self.samples.append(await sampler.take(time, at_rest=at_rest))


def faults(soak: Soak) -> list[str]:
    """Return the failures of the lives, and everything that a rest found left over."""
    found = list(soak.results.failures)
    for relay in {sample.relay: None for sample in soak.samples}:
        rests = [each for each in soak.samples if each.relay == relay and each.at_rest]
        found += [
            f"{relay} after {rest.time:.0f} s at rest: {name} is {rest.values[name]:g}"
            for rest in rests
            for name in ("connections", "pairs", "reloads_failed")
            if rest.values[name]
        ]
        found += grown(relay, rests[1:])
    return found


def grown(relay: str, rests: Sequence[Sample]) -> list[str]:
    """Return a fault if there are more descriptors or threads at the last rest than at the first.

    The first rest is one after some load, because a relay opens some descriptors on demand.
    """
    return [
        f"{relay}: {name} at rest have grown from {rests[0].values[name]:g}"
        f" to {rests[-1].values[name]:g}"
        for name in ("descriptors", "threads")
        if rests and rests[-1].values[name] > rests[0].values[name]
    ]
