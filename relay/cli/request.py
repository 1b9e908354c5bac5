"""Requests of the commands to a relay over HTTP."""

from __future__ import annotations

from typing import Final

import h11
import trio

from ..client.dial import ConnectTarget, bracketed

MAX_BODY: Final = 64 * 1024
"""Size of a response body, in bytes, at which `request` stops reading. A relay sends under 100."""


async def request(
    stream: trio.abc.Stream, target: ConnectTarget, body: bytes | None = None
) -> tuple[int, bytes]:
    """Request the path of a target; return the status and the body of the response.

    The method is POST if there is a request body, and GET otherwise. The body of the response may
    be incomplete, if the server breaks off or sends more than `MAX_BODY`.

    Raises trio.BrokenResourceError if the connection fails, and h11.ProtocolError if the response
    is not HTTP.
    """
    headers = [("Host", bracketed(target.name)), ("Connection", "close")]
    events: list[h11.Event] = [h11.Request(method="GET", target=target.path, headers=headers)]
    if body is not None:
        headers.append(("Content-Length", str(len(body))))
        events = [h11.Request(method="POST", target=target.path, headers=headers), h11.Data(body)]
    client = h11.Connection(h11.CLIENT)
    await stream.send_all(b"".join(client.send(it) or b"" for it in (*events, h11.EndOfMessage())))
    status, found = 0, b""
    while len(found) < MAX_BODY:
        try:
            event = client.next_event()
        except h11.RemoteProtocolError:
            if status:
                break
            raise
        if event is h11.NEED_DATA:
            client.receive_data(bytes(await stream.receive_some()))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            found += event.data
        elif isinstance(event, h11.EndOfMessage):
            break
    return status, found
