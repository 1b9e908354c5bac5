"""Exchange the messages of a session over one connection, until either of them ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from .channel import Channel
from .errors import ConnectionLost, ProtocolViolation
from .messages import Abort, Reason
from .session_state import SessionState

REPORT_TIMEOUT: Final = 2.0  # maximum time, in seconds, to report a violation to the peer

VIOLATION: Final = Abort(Reason.PROTOCOL_VIOLATION, "the peer violated the endpoint protocol")

# Maximum number of unacknowledged bytes of a session whose program sends in its own task. The
# buffer of a socket has room for them, so that the program does not wait for the network.
DIRECT: Final = 16 * 1024

# Seconds in which the program sends a message. While it sends, it cannot be cancelled. A buffer may
# be full if the peer, or an attacker who runs the relay, does not read.
DIRECT_TIMEOUT: Final = 5.0


async def transfer(state: SessionState, channel: Channel) -> None:
    """Send and receive until the session is over, then close the connection.

    Raises ConnectionLost if the connection ends before the session is over.
    """
    lost: list[ConnectionLost] = []

    async def run(function: Callable[[SessionState, Channel], Awaitable[None]]) -> None:
        try:
            await function(state, channel)
        except ConnectionLost as error:
            lost.append(error)
        except ProtocolViolation as error:
            # The sending task continues, because it must not leave out an encrypted message.
            state.abort(VIOLATION, error)
            await trio.sleep(REPORT_TIMEOUT)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, receive)
        await run(send)
    try:
        if state.pending_abort is not None:  # even if the message was not sent
            state.end(state.pending_abort[1])
        elif lost and not state.over.is_set():
            raise lost[0]
    finally:
        lost.clear()  # no reference cycle keeps the connection with its queue
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
    with trio.move_on_after(DIRECT_TIMEOUT, shield=True) as scope, suppress(ConnectionLost):
        for number in range(4):  # PONG, ACK, and the bytes in two messages at most
            if not await send_next(state, channel):
                if not number:  # the window of the peer is full
                    await trio.lowlevel.checkpoint()
                return
    if scope.cancelled_caught and state.channel is channel:
        state.on_stall()
    state.wake()


async def receive(state: SessionState, channel: Channel) -> None:
    """Receive messages until the session is over. Raises ConnectionLost if the peer is silent."""
    deadline = state.silence_end
    while not state.over.is_set():
        with trio.CancelScope(deadline=deadline) as state.silence:
            while not state.over.is_set():
                state.receive(await channel.receive(), trio.current_time())
        if state.silence.cancelled_caught:
            deadline = state.on_silence(trio.current_time())
    await trio.sleep_forever()  # the sending task ends last
