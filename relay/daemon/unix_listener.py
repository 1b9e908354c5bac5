"""A listener on a Unix socket, and the file that it has while it listens."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from .errors import StartError, os_error_text

__all__ = ["UnixListener", "open_unix"]

BACKLOG: Final = 0xFFFF
"""More than the system allows, so that its own maximum counts."""

FileId = tuple[int, int]


class UnixListener(trio.abc.Listener[trio.SocketStream]):
    """A listener on a Unix socket that takes the file away when it is closed."""

    def __init__(self, path: str, sock: socket.socket) -> None:
        self.socket = trio.socket.from_stdlib_socket(sock)
        self._listener = trio.SocketListener(self.socket)
        self._path = path
        self._file_id = file_id(path)

    async def accept(self) -> trio.SocketStream:
        return await self._listener.accept()

    async def aclose(self) -> None:
        """Remove the file, if it is still the one of this socket, and stop listening."""
        # In this order: as long as the socket is open, no other file can get its inode number,
        # and who finds the file finds somebody who listens.
        if self.socket.fileno() >= 0:
            self.remove_file()
        await self._listener.aclose()

    def remove_file(self) -> None:
        """Remove the file, unless another socket has replaced it."""
        if file_id(self._path) == self._file_id:
            with suppress(OSError):  # a file that stays is stale, and the next start's to remove
                Path(self._path).unlink()


def open_unix(path: str, mode: int) -> UnixListener:
    """Return a listener on a new socket with this path and these permissions.

    A stale socket, at which nobody listens any more, is replaced.

    Raises `Complaint` if somebody listens there, if the path is that of another kind of file, or
    if the socket cannot be made.
    """
    try:
        remove_stale_socket(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # At no moment may it be more open than it shall be.
            umask = os.umask(0o777 & ~mode)
            try:
                sock.bind(path)
            finally:
                os.umask(umask)
            sock.listen(BACKLOG)
            return UnixListener(path, sock)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        why = os_error_text(error)
    raise StartError(f"cannot listen on --unix-socket {path!r}: {why}")


def remove_stale_socket(path: str) -> None:
    """Remove a socket at which nobody listens.

    Raises OSError, which says what to do, if something else is there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        error = client.connect_ex(path)
    if error == errno.ENOENT:
        return
    if error in {0, errno.EAGAIN}:  # EAGAIN: more clients wait there already than may
        raise OSError(errno.EADDRINUSE, "a program listens there; stop it, or choose another path")
    if error != errno.ECONNREFUSED:
        raise OSError(error, os.strerror(error))
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise OSError(
            errno.EEXIST, "a file that is no socket is there; remove it, or choose another path"
        )
    Path(path).unlink(missing_ok=True)


def file_id(path: str) -> FileId | None:
    """Return what tells the file with this path from any other one; None if there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
