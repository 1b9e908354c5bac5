"""Open both ends of one pair and exchange a message each way.

Usage: `python examples/exchange.py ws://127.0.0.1:8765/`, with a relay that runs there.
"""

from __future__ import annotations

import secrets
import sys

from websockets.sync.client import connect


def main(relay: str) -> None:
    url = f"{relay}?pair={secrets.token_urlsafe(16)}"
    with connect(url) as phone, connect(url) as home:
        phone.send(b"hello from the phone")
        print(home.recv())
        home.send(b"hello from home")
        print(phone.recv())


if __name__ == "__main__":
    main(sys.argv[1])
