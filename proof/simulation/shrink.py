"""Make the plan of a failing run smaller, as long as the run still fails. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from .plan import LATE, TIMES, Line, Plan

TRIES: Final = 300
"""Maximum number of runs, so that shrinking takes seconds."""


def shrink(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """Return the smallest plan found that fails; ``fails`` runs a plan."""
    tries, smaller = 0, True
    while smaller:
        smaller = False
        for candidate in reductions(plan):
            if (tries := tries + 1) > TRIES:
                return plan
            if fails(candidate):
                plan, smaller = candidate, True
                break
    return plan


def reductions(plan: Plan) -> Iterator[Plan]:
    """Yield plans that are smaller by a client, an operation, a limit or a property of a line."""
    for client in plan.clients:
        yield replace(plan, clients=tuple(each for each in plan.clients if each is not client))
    for name in plan.settings.keys() - TIMES.keys():
        yield replace(plan, settings={k: v for k, v in plan.settings.items() if k != name})
    if (plan.stop, plan.stop_at) != ("stop", LATE):
        yield replace(plan, stop="stop", stop_at=LATE)
    for position, client in enumerate(plan.clients):
        smaller = [
            replace(client, ops=client.ops[:number] + client.ops[number + 1 :])
            for number in range(len(client.ops))
        ]
        if (client.up, client.down) != (Line(), Line()) and not client.read_pause:
            smaller.append(replace(client, up=Line(), down=Line()))
        for each in smaller:
            yield replace(
                plan, clients=(*plan.clients[:position], each, *plan.clients[position + 1 :])
            )
