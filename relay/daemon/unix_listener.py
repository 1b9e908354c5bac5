"""Listener on a Unix socket, and the lifetime of the socket file."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from ..transport.accepted_socket import AcceptedSocket
from .errors import StartError, os_error_text

BACKLOG: Final = 0xFFFF
"""Requested length of the backlog. The kernel lowers this value to its own maximum."""

FileId = tuple[int, int]


class UnixListener(trio.abc.Listener[trio.SocketStream]):
    """Listener on a Unix socket that removes the socket file when it is closed."""

    def __init__(self, path: str, sock: socket.socket) -> None:
        self.socket = trio.socket.from_stdlib_socket(sock)
        self._listener = trio.SocketListener(self.socket)
        self._path = path
        self._file_id = file_id(path)

    async def accept(self) -> trio.SocketStream:
        return await self._listener.accept()

    accepted = staticmethod(AcceptedSocket)

    async def aclose(self) -> None:
        """Remove the socket file, unless another file has replaced it, and close the socket."""
        # Remove the file before closing the socket. While the socket is open, no other file
        # can get the inode number of this file, and a client that finds the file can connect.
        if self.socket.fileno() >= 0:
            self.remove_file()
        await self._listener.aclose()

    def remove_file(self) -> None:
        """Remove the socket file, unless another file has replaced it."""
        if file_id(self._path) == self._file_id:
            with suppress(OSError):  # the next start removes a stale file
                Path(self._path).unlink()


def open_unix(path: str, mode: int, *, option: str = "--unix-socket") -> UnixListener:
    """Create a Unix socket at a path with the permissions ``mode``; return a listener on it.

    A stale socket, on which no process listens, is replaced. Error messages name ``option``.

    Raises `StartError` if a process listens on the socket, if the path names another kind of file,
    or if the socket cannot be created.
    """
    try:
        remove_stale_socket(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Set the umask, because a socket that gets its permissions from a later chmod would be
            # open to other users until then.
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
    raise StartError(f"cannot listen on {option} {path!r}: {why}")


def remove_stale_socket(path: str) -> None:
    """Remove the file of a socket on which no process listens; a missing file is no error.

    Raises OSError if a process listens on the socket, or if the file is not a socket. The message
    has advice for the operator.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        error = client.connect_ex(path)
    if error == errno.ENOENT:
        return
    if error in {0, errno.EAGAIN}:  # EAGAIN: the backlog is full
        raise OSError(errno.EADDRINUSE, "a program listens there; stop it, or choose another path")
    if error != errno.ECONNREFUSED:
        raise OSError(error, os.strerror(error))
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise OSError(
            errno.EEXIST, "a file that is not a socket is there; remove it, or choose another path"
        )
    Path(path).unlink(missing_ok=True)


def file_id(path: str) -> FileId | None:
    """Return the device and inode number of the file at a path; None if there is no file."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
