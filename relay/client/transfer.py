"""Exchange the messages of a session over one connection, until either of them ends."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from .channel import Channel
from .errors import ConnectionLost, ProtocolViolation
from .messages import Abort, Reason
from .session_state import SessionState

REPORT_TIMEOUT: Final = 2.0  # maximum time, in seconds, to report a violation to the peer

TURN: Final = 0.05  # seconds after which the receiving task receives in place of the program

VIOLATION: Final = Abort(Reason.PROTOCOL_VIOLATION, "the peer violated the endpoint protocol")

# Maximum number of unacknowledged bytes of a session whose program sends in its own task. The
# buffer of a socket has room for them, so that the program does not wait for the network.
DIRECT: Final = 16 * 1024


async def transfer(state: SessionState, channel: Channel) -> None:
    """Send and receive until the session is over, then close the connection.

    Raises ConnectionLost if the connection ends before the session is over.
    """

    async def run(function: Callable[[SessionState, Channel], Awaitable[None]]) -> None:
        try:
            await function(state, channel)
        except ConnectionLost as error:
            state.lost = state.lost or error
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, receive)
        await run(send)
    lost, state.lost = state.lost, None
    try:
        if state.pending_abort is not None:  # even if the message was not sent
            state.end(state.pending_abort[1])
        elif lost is not None and not state.over.is_set():
            raise lost
    finally:
        del lost  # no reference cycle keeps the connection with its queue
    await channel.close()


async def send(state: SessionState, channel: Channel) -> None:
    """Send messages until the session is over."""
    while not state.over.is_set():
        if not await send_next(state, channel):
            with trio.CancelScope(deadline=state.next_time) as state.pause:
                await trio.sleep_forever()


async def send_next(state: SessionState, channel: Channel) -> bool:
    """Send the next message. Return False if there is none."""
    message = state.next_message(trio.current_time())
    if message is not None:
        await channel.send(message)
    return message is not None


async def send_soon(state: SessionState) -> None:
    """Send the bytes that the program has written, or wake the sending task.

    If the connection is idle, the task of the program sends, which saves a task switch.
    """
    channel = state.channel
    unacknowledged = state.outbox.length - state.outbox.acknowledged
    if channel is None or channel.is_sending or unacknowledged > DIRECT:
        state.wake()
        await trio.lowlevel.checkpoint()
        return
    # Shielded, because the next message cannot be decrypted if an encrypted message is left out.
    with trio.CancelScope(shield=True), suppress(ConnectionLost):
        for number in range(4):  # PONG, ACK, and the bytes in two messages at most
            if not await send_next(state, channel):
                if not number:  # the window of the peer is full
                    await trio.lowlevel.checkpoint()
                return
    state.wake()


async def receive(state: SessionState, channel: Channel) -> None:
    """Receive messages while the program does not."""
    while state.is_connected:
        turn_end = math.inf if state.is_reading else state.read_at + TURN
        state.is_receiving = trio.current_time() >= turn_end
        deadline = state.silent_until if state.is_receiving else min(turn_end, state.silent_until)
        with trio.CancelScope(deadline=deadline) as state.silence:
            while state.is_receiving and state.is_connected:
                await receive_next(state, channel)
            await trio.sleep_forever()
        state.is_receiving = False
        state.changed.unpark_all()
        state.check_silence(trio.current_time())
    if state.lost is None:
        # The sending task continues, because it must not leave out an encrypted message.
        await trio.sleep(REPORT_TIMEOUT)


async def receive_next(state: SessionState, channel: Channel) -> None:
    """Receive one message, and record a violation or the end of the connection."""
    try:
        state.receive(await channel.receive(), trio.current_time())
    except ProtocolViolation as error:
        state.abort(VIOLATION, error)
    except ConnectionLost as error:
        if state.channel is channel:
            state.lost = error
    if not state.is_connected:
        state.silence.cancel()


async def receive_soon(state: SessionState) -> None:
    """Wait until the program may be able to read.

    If possible, the task of the program receives a message, which saves a task switch. The
    receiving task takes over when the program has not received for `TURN` seconds. Two tasks must
    not receive at the same time, because they might decrypt two messages in the wrong order.
    """
    channel = state.channel
    state.is_reading = True
    try:
        if state.is_receiving:
            state.silence.cancel()
        if channel is None or state.is_receiving or not state.is_connected:
            await state.changed.park()
        else:
            await receive_next(state, channel)
    finally:
        state.is_reading = False
        state.read_at = trio.current_time()
        if state.silence.deadline > state.read_at + TURN:  # noqa: PLR1730 - see SessionState.wake
            state.silence.deadline = state.read_at + TURN
