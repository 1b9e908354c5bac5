"""Send a file as plain messages to a pair: one side of `python -m benchmarks.endpoints`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from websockets.asyncio.client import connect

from .endpoints import MESSAGE


async def send(url: str, path: Path) -> None:
    """Send a file in messages, and wait until the peer leaves."""
    async with connect(url, compression=None) as websocket:
        with path.open("rb") as file:
            while piece := file.read(MESSAGE):
                await websocket.send(piece)
        await websocket.wait_closed()


if __name__ == "__main__":
    asyncio.run(send(sys.argv[1], Path(sys.argv[2])))
