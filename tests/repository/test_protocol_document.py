"""The document of the protocol has every status and every close code of the relay."""

from __future__ import annotations

import ast
import inspect
from itertools import chain
from pathlib import Path
from types import ModuleType

import pytest

import relay.protocol.frames
import relay.protocol.handshake
import relay.protocol.reframer
import relay.protocol.response
import relay.server.join
from relay import Outcome
from relay.outcomes import Close
from relay.protocol.response import Response, health_response

DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
ROWS = [line for line in DOCUMENT.splitlines() if line.startswith("|")]
ANSWERS = [value for value in vars(relay.protocol.response).values() if isinstance(value, Response)]
CLOSES = sorted(
    {close for outcome in Outcome for close in (outcome.close_for_cause, outcome.close_for_peer)}
)


def words(module: ModuleType, function: str) -> list[str]:
    """Return the last literal of each call of a function in a module."""
    calls = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == function
    ]
    literals = [[arg.value for arg in call.args if isinstance(arg, ast.Constant)] for call in calls]
    return [str(values[-1]) for values in literals if values]


def has_row(number: int, text: str) -> bool:
    """Return True if a row begins with this status or close code and has this text."""
    return any(row.startswith(f"| {number} |") and f"`{text}`" in row for row in ROWS)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.body)
def test_statuses(answer: Response) -> None:
    """Each constant response has a row with its status, its body and its headers."""
    rows = [row for row in ROWS if row.startswith(f"| {answer.status} | `{answer.body}` |")]
    assert len(rows) == 1
    for name, value in answer.headers:
        assert f"`{name}: {value}`" in rows[0]


def test_other_refusals() -> None:
    """Each refusal that is no constant has a row."""
    bad_requests = words(relay.protocol.handshake, "bad_request")
    limits = words(relay.server.join, "try_later")
    assert (len(bad_requests), len(limits)) == (6, 2)
    assert all(has_row(400, text) for text in bad_requests)
    assert all(has_row(429, text) for text in limits)


@pytest.mark.parametrize("close", CLOSES, ids=lambda close: f"{close.code} {close.reason}")
def test_close_codes(close: Close) -> None:
    """Each close code of an outcome has a row with its reason."""
    assert has_row(close.code, close.reason)


def test_violations() -> None:
    """Every rule that a client can violate is named."""
    rules = words(relay.protocol.frames, "protocol_error")
    assert len(rules) == 12
    assert all(f"`{rule}`" in DOCUMENT for rule in rules)
    others = [
        *words(relay.protocol.frames, "ProtocolError"),
        *words(relay.protocol.reframer, "ProtocolError"),
    ]
    assert len(others) == 3
    assert all(any(f"`{reason}`" in row for row in ROWS) for reason in others)


def test_health() -> None:
    """The three responses about health are shown as they are sent."""
    for draining, full in ((False, False), (True, False), (False, True)):
        response = health_response(7, draining=draining, full=full)
        shown = f"{response.status.value} `{response.body.replace('7', 'N')}`"
        assert shown in DOCUMENT


def test_no_other_status() -> None:
    """No row has a status that the relay does not send."""
    table = DOCUMENT.partition("## Statuses")[2].partition("## Health")[0]
    shown = {row.split("`")[1] for row in table.splitlines() if row.startswith(("| 4", "| 5"))}
    known = {response.body for response in ANSWERS}
    known |= {
        *chain(
            words(relay.protocol.handshake, "bad_request"),
            words(relay.server.join, "try_later"),
        )
    }
    assert shown <= known
