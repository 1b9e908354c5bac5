"""Name and version of the program."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

PROGRAM: Final = "arc-relay"
"""Name of the command."""

DISTRIBUTION: Final = "arc-pair-relay"
"""Name of the distribution that installs the command."""

UNKNOWN: Final = "unknown"


def program_version() -> str:
    """Return the version, or ``unknown`` if the metadata of the package cannot be read."""
    try:
        return version(DISTRIBUTION)
    except (PackageNotFoundError, OSError):  # OSError: no descriptor is left
        return UNKNOWN
