"""The simulation finds the historic faults, and makes a failing plan smaller."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proof.simulation.faults import FAULTS, run_with
from proof.simulation.plan import Op, Plan, make_plan
from proof.simulation.shrink import shrink

ENOUGH = 400
"""Seeds within which each fault is found; the tests run the same seeds with the relay as it is."""


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_found(name: str) -> None:
    """A relay with the fault fails within a few seeds, each of which keeps all promises without."""
    done = run_with(FAULTS[name], "--seeds", str(ENOUGH), "--jobs", "1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "settings: " in done.stdout, done.stderr


def test_shrink() -> None:
    """The smallest plan has the client and the operation that the failure needs, and no other."""
    plan = make_plan(2)
    culprit = Op("send", 7)
    clients = [*plan.clients]
    clients[1] = replace(clients[1], ops=(*clients[1].ops, culprit, Op("pause")))

    def fails(each: Plan) -> bool:
        return any(culprit in client.ops for client in each.clients)

    (client,) = shrink(replace(plan, clients=tuple(clients)), fails).clients
    assert client.ops == (culprit,)
