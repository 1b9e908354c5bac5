"""Read small regular files without blocking.

A path may name another kind of file. Opening a FIFO blocks until another process opens the FIFO for
writing, and a device may return endless data. Either would block the event loop.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

KINDS: Final = {
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "FIFO or pipe",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
}


def read_regular_file(path: str, max_size: int) -> bytes:
    """Return the content of a regular file. Symbolic links are followed.

    Raises OSError if the file cannot be read, and ValueError if the file is not a regular file or
    has more than ``max_size`` bytes. The message of the ValueError, such as "is a directory, not a
    regular file", has no subject, so that the caller can put the path before it.
    """
    # Check before opening, because opening a device can have side effects.
    require_regular(Path(path).stat().st_mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - Path.open has no flags
        require_regular(os.fstat(file.fileno()).st_mode)  # the path may name another file by now
        content = file.read(max_size + 1)
    if len(content) > max_size:
        raise ValueError(f"is larger than {max_size} bytes")
    return content


def require_regular(mode: int) -> None:
    """Raise ValueError unless ``mode`` is the mode of a regular file."""
    if not stat.S_ISREG(mode):
        raise ValueError(f"is a {KINDS.get(stat.S_IFMT(mode), 'special file')}, not a regular file")
