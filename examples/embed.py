"""Run a relay inside a trio program: serve on a free port, read the statistics, and stop.

Usage: `python examples/embed.py`. docs/embedding.md describes the functions.
"""

from functools import partial

import trio

from relay import RelaySettings, serve_relay


async def main() -> None:
    settings = RelaySettings(pair_ttl=60)
    async with trio.open_nursery() as nursery:
        handle = await nursery.start(
            partial(serve_relay, host="127.0.0.1", port=0, settings=settings)
        )
        print(f"relaying on port {handle.port}, {handle.statistics().pairs} pairs")
        # ... and the rest of your program
        await handle.stop()


trio.run(main)
