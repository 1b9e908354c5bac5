"""Reading small files without blocking.

A path can lead to something that is no file. To open a FIFO waits for a program that writes to it,
and a device may deliver data without end; the event loop would wait just as long.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

__all__ = ["read_regular_file"]

KINDS: Final = {
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "FIFO or pipe",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
}


def read_regular_file(path: str, max_size: int) -> bytes:
    """Return the content of a regular file, or of one that a symbolic link leads to.

    Raises OSError if the file cannot be read. Raises ValueError, with the predicate of a sentence
    about the path, if it is not a regular file or is larger than ``max_size`` bytes.
    """
    # Before it is opened, because that alone can have an effect on a device.
    require_regular(Path(path).stat().st_mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - no path has these flags
        require_regular(os.fstat(file.fileno()).st_mode)  # it may have been replaced meanwhile
        content = file.read(max_size + 1)
    if len(content) > max_size:
        raise ValueError(f"is larger than {max_size} bytes")
    return content


def require_regular(mode: int) -> None:
    """Raise ValueError unless a mode is that of a regular file."""
    if not stat.S_ISREG(mode):
        raise ValueError(f"is a {KINDS.get(stat.S_IFMT(mode), 'special file')}, not a regular file")
