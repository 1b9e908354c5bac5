"""Environment variables of the commands share, pipe and forward.

They have the same prefix as the settings of a relay, so `arc-relay start` must know their names.
"""

from __future__ import annotations

from typing import Final

LINK: Final = "ARC_RELAY_LINK"
"""Variable for `pipe` and `forward`. Its value is the link or ``@FILE``."""

TOKEN: Final = "ARC_RELAY_CLIENT_TOKEN"  # noqa: S105 - a name
"""Variable for `share`. Its value is the token of the relay."""

SECRET_VARIABLES: Final = frozenset({LINK, TOKEN})
"""Variables that a process for a guest does not inherit."""
