"""Environment variables of the commands share, pipe and forward.

They have the prefix of the settings of a relay, so `arc-relay start` has to know them.
"""

from __future__ import annotations

from typing import Final

LINK: Final = "ARC_RELAY_LINK"
"""The link of `pipe` and `forward`, or ``@FILE``."""

TOKEN: Final = "ARC_RELAY_CLIENT_TOKEN"  # noqa: S105 - a name
"""The token of the relay, for `share`."""

SECRET_VARIABLES: Final = frozenset({LINK, TOKEN})
"""Variables that no process of a guest gets."""
