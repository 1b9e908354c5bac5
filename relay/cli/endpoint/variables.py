"""Environment variables of the commands share, pipe and forward.

They have the same prefix as the settings of a relay, so `arc-relay start` must know their names.
"""

from __future__ import annotations

from typing import Final

LINK: Final = "ARC_RELAY_LINK"
"""Variable with the link for `pipe` and `forward`, or with ``@FILE``."""

TOKEN: Final = "ARC_RELAY_CLIENT_TOKEN"  # noqa: S105 - a name
"""Variable with the token of the relay for `share`."""

SECRET_VARIABLES: Final = frozenset({LINK, TOKEN})
"""Variables that are removed from the environment of a process that serves a guest."""
