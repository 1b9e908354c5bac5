"""A raw splice in trio: the least work of any relay in Python. Over TLS, it ends TLS twice."""

from __future__ import annotations

import os
import ssl

import trio

READ_BYTES = 65536
CERT = os.environ.get("TLS_BOTH")
SERVER = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
CLIENT = ssl.create_default_context()
if CERT:
    SERVER.load_cert_chain(CERT)
    CLIENT.check_hostname = False
    CLIENT.verify_mode = ssl.CERT_NONE


async def copy(source: trio.abc.Stream, target: trio.abc.Stream) -> None:
    """Forward bytes until either stream ends, then close both."""
    try:
        async with source, target:
            while data := await source.receive_some(READ_BYTES):
                await target.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


async def splice(front: trio.SocketStream) -> None:
    """Join a connection with one to the listener of the load."""
    back = await trio.open_tcp_stream("127.0.0.1", int(os.environ["SINK_PORT"]))
    a: trio.abc.Stream = front
    b: trio.abc.Stream = back
    if CERT:
        a = trio.SSLStream(front, SERVER, server_side=True)
        b = trio.SSLStream(back, CLIENT, server_hostname="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(copy, a, b)
        nursery.start_soon(copy, b, a)


async def main() -> None:
    """Accept connections until the process is ended."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(f"listening on 127.0.0.1:{listener.socket.getsockname()[1]}")
    await trio.serve_listeners(splice, [listener])


trio.run(main)
