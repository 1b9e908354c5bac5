"""A program that embeds the relay. It measures its timers, and echoes on a socket of its own."""

from __future__ import annotations

import json
import os

import trio

from relay import RelayHandle, serve_relay

PERIOD = 0.005
"""Seconds that each timer waits."""
ASK = b"?"
"""Message that asks for the delays of the timers."""


async def tick(delays: list[float]) -> None:
    """Store the delay of each timer, in seconds."""
    while True:
        due = trio.current_time() + PERIOD
        await trio.sleep_until(due)
        delays.append(trio.current_time() - due)


async def answer(stream: trio.SocketStream, delays: list[float]) -> None:
    """Echo every message. Answer `ASK` with the delays since the last `ASK`."""
    async for data in stream:
        if data == ASK:
            await stream.send_all(json.dumps(delays).encode() + b"\n")
            delays.clear()
        else:
            await stream.send_all(data)


async def main() -> None:
    """Run the relay beside both tasks until the process is ended."""
    delays: list[float] = []
    async with trio.open_nursery() as nursery:
        handle: RelayHandle = await nursery.start(_serve)
        nursery.start_soon(tick, delays)
        stream = await trio.open_tcp_stream("127.0.0.1", int(os.environ["SINK_PORT"]))
        nursery.start_soon(answer, stream, delays)
        print(f"listening on 127.0.0.1:{handle.port}")


async def _serve(*, task_status: trio.TaskStatus[RelayHandle]) -> None:
    await serve_relay(host="127.0.0.1", port=0, task_status=task_status)


trio.run(main)
