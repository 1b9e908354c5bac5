"""Raw TCP splice in trio: a lower bound for any relay in Python."""

from __future__ import annotations

import os
from functools import partial

import trio

READ_BYTES = 65536


async def copy(source: trio.SocketStream, target: trio.SocketStream) -> None:
    """Forward bytes until the source ends, then end the target."""
    try:
        while data := await source.receive_some(READ_BYTES):
            await target.send_all(data)
        await target.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        await source.aclose()
        await target.aclose()


async def splice(sink_port: int, front: trio.SocketStream) -> None:
    """Join a connection with one to the listener of the load."""
    back = await trio.open_tcp_stream("127.0.0.1", sink_port)
    async with front, back, trio.open_nursery() as nursery:
        nursery.start_soon(copy, front, back)
        nursery.start_soon(copy, back, front)


async def main() -> None:
    """Accept connections until the process is ended."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(f"listening on 127.0.0.1:{listener.socket.getsockname()[1]}")
    await trio.serve_listeners(partial(splice, int(os.environ["SINK_PORT"])), [listener])


trio.run(main)
