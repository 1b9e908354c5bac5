"""The simulation finds the historic faults, and makes a failing plan smaller."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulation.faults import FAULTS, run_with
from simulation.plan import Op, Plan, make_plan
from simulation.shrink import shrink


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_found(name: str) -> None:
    """A relay with the fault fails with the recorded seed; after a new plan, record a new seed."""
    fault = FAULTS[name]
    done = run_with(fault, "--seed", str(fault.seed))
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
