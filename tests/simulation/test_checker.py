"""The checker of the simulation reports each broken promise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proof.simulation.checker import HELD_JOINED, check
from proof.simulation.history import History, Message, PairHistory, digest
from proof.simulation.plan import TIMES, ClientPlan, Line, Op, Plan, payload
from proof.simulation.run import run


def make_history() -> History:
    """Run three clients: a pair that exchanges messages, and a third client that is refused."""
    ops: list[tuple[Op, ...]] = [
        (Op("send", 5), Op("send", 70_000, 3), Op("pause", seconds=1), Op("close", 1000)),
        (Op("ping", 2), Op("send", 9)),
        (),
    ]
    clients = (
        ClientPlan(number, "code", number / 10, Line(), Line(), 0.0, each)
        for number, each in enumerate(ops)
    )
    return run(Plan(0, tuple(clients), dict(TIMES)))


def test_kept() -> None:
    """A correct run breaks no promise."""
    history = make_history()
    assert check(history) == []
    a, b, c = (history.clients[index] for index in range(3))
    assert (a.close, b.close, c.status) == ((1000, "done"), (1000, "peer disconnected"), 409)
    assert [size for size, *_ in b.received] == [5, 70_000]
    assert b.pongs[-1] == b"1"


def lose_message(history: History) -> None:
    """Lose the last message."""
    history.clients[1].received.pop()


def lose_first_message(history: History) -> None:
    """Lose the first message."""
    del history.clients[1].received[0]


def change_message(history: History) -> None:
    """Change a message."""
    size, _, frames = history.clients[1].received[0]
    history.clients[1].received[0] = size, digest(b"other"), frames


def split_message(history: History) -> None:
    """Receive a short message in two frames."""
    size, found, _ = history.clients[1].received[0]
    history.clients[1].received[0] = size, found, 2


def complete_message(history: History) -> None:
    """Receive a message that its sender cut off."""
    history.clients[0].sent[-1].cut_off = True


def repeat_message(history: History) -> None:
    """Receive a message twice."""
    history.clients[1].received.append(history.clients[1].received[-1])


def receive_foreign_part(history: History) -> None:
    """Receive a part of another client's message."""
    history.clients[0].sent.append(Message(99_999, b""))
    history.clients[1].part = payload(2, 2, 70_000)


def receive_short_part(history: History) -> None:
    """Receive a part of a message that is too short for fragments."""
    history.clients[0].sent.append(Message(100, b""))
    history.clients[1].part = payload(0, 2, 100)[:10]


def close_wrongly(history: History) -> None:
    """Close the peer of a client that sent a close frame as after a failure."""
    history.clients[1].close = 1011, "peer disconnected"


def take_over(history: History) -> None:
    """Close a live side as unresponsive."""
    history.clients[0].close = 1011, "takeover timeout"


def close_without_frame(history: History) -> None:
    """End the stream of a live side without a close frame."""
    history.clients[1].close = None


def refuse_wrongly(history: History) -> None:
    """Refuse a client because of a limit that is off."""
    history.clients[2].status, history.clients[2].reason = 503, "relay is full"


def refuse_as_full(history: History) -> None:
    """Refuse a client whose code has no pair."""
    history.clients[2].code = "other"


def do_not_respond(history: History) -> None:
    """Send no response."""
    history.clients[2].status = 0


def answer_in_wrong_order(history: History) -> None:
    """Answer the later ping first."""
    history.clients[1].pongs = [b"1", b"0"]


def hold_too_much(history: History) -> None:
    """Hold more than the bound."""
    history.clients[0].peak_held = HELD_JOINED + 1


def open_second_pair(history: History) -> None:
    """Open a second pair with the code, while the first goes on."""
    history.pairs[0].ended_at = 30.0
    history.pairs.append(PairHistory("code", [2], 5.0))


def join_codes(history: History) -> None:
    """Join clients with different codes."""
    history.clients[1].code = "other"


def end_late(history: History) -> None:
    """End the relay long after the stop."""
    history.stopped_at, history.ended_at = 0.0, 60.0


def do_not_end(history: History) -> None:
    """Never end the relay."""
    history.ended_at = None


def leave_table(history: History) -> None:
    """Leave a table."""
    history.left_over.append("pairs after the end: 1")


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lose_message, "after 1 of 2 messages"),
        (lose_first_message, "message 0 of 70000 bytes is not that of the peer"),
        (change_message, "message 0 of 5 bytes is not that of the peer"),
        (repeat_message, "message 2 of 70000 bytes is not that of the peer"),
        (split_message, "arrived in 2 frames"),
        (complete_message, "its sender cut it off"),
        (receive_foreign_part, "the part of message 2"),
        (receive_short_part, "the part of message 2"),
        (close_wrongly, "closed with (1011, 'peer disconnected')"),
        (take_over, "closed with (1011, 'takeover timeout')"),
        (close_without_frame, "closed with None"),
        (refuse_wrongly, "refused with (503, 'relay is full')"),
        (refuse_as_full, "409 for a code without a joined pair"),
        (do_not_respond, "no response"),
        (answer_in_wrong_order, "pongs"),
        (hold_too_much, "the relay held"),
        (open_second_pair, "two pairs at once"),
        (join_codes, "a pair has the sides"),
        (end_late, "after the stop"),
        (do_not_end, "the relay did not end"),
        (leave_table, "pairs after the end"),
    ],
)
def test_broken(spoil: Callable[[History], None], fault: str) -> None:
    """A history with one change breaks a promise, which the report names."""
    history = make_history()
    spoil(history)
    assert any(fault in line for line in check(history)), check(history)
