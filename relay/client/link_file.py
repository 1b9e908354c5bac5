"""Files that contain a link. Only the owner of a file can read it, because a link is a secret."""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkstemp
from typing import Final

from .errors import InvalidLink
from .link import MAX_LINK, Link

OWNER_ONLY: Final = 0o600  # mode of a link file


def read_link(path: str) -> Link:
    """Read the link in a file. Symbolic links are followed.

    Args:
        path: Regular file that belongs to the effective user and that no other user can access.
            White space before and after the link is ignored.

    Raises:
        OSError: The file cannot be read.
        InvalidLink: The file is not a regular file, other users can access it or own it, or it
            contains no valid link. The message names the file, but contains no secret.
    """
    # Check before opening, because opening a device can have side effects.
    require_private(path, Path(path).stat())
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - Path.open has no flags
        require_private(path, os.fstat(descriptor))  # the path may name another file by now
        content = file.read(MAX_LINK + 1)
    if not content.strip():
        raise InvalidLink(f"{path!r} is empty: delete the file, or write the link into it")
    try:
        return Link.parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InvalidLink(f"{path!r} is not a text in UTF-8") from None
    except InvalidLink as error:
        raise InvalidLink(f"{path!r}: {error}") from None


def require_private(path: str, status: os.stat_result) -> None:
    """Raise InvalidLink unless a file is regular and only the effective user can access it."""
    if not stat.S_ISREG(status.st_mode):
        raise InvalidLink(f"{path!r} is not a regular file")
    if status.st_uid != os.geteuid():
        raise InvalidLink(f"{path!r} belongs to another user: copy it to a file of your own")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InvalidLink(
            f"other users can access {path!r}: run chmod 600 {shlex.quote(path)}, "
            "and make a new link if others may have read it"
        )


def create_link_file(path: str, link: Link, *, replace: bool = False) -> None:
    """Write a link to a new file with the mode 0600.

    The link is written completely or not at all. After a failure, an existing file is unchanged,
    and a new file is removed.

    Args:
        path: File to create.
        link: Link to write.
        replace: True to replace an existing file. If ``path`` is a symbolic link, it remains, and
            its target is replaced.

    Raises:
        FileExistsError: The file exists, and ``replace`` is False.
        OSError: The file cannot be written.
    """
    target = Path(path).resolve() if replace else Path(path)
    if not replace:
        # Reserve the name. If two processes create the same file, one of them fails here.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY))
    with ExitStack() as stack:
        if not replace:
            stack.callback(target.unlink)
        descriptor, temporary = mkstemp(prefix=f".{target.name}.", dir=target.parent)
        stack.callback(Path(temporary).unlink)
        with open(descriptor, "w") as file:  # noqa: PTH123 - a descriptor
            os.fchmod(descriptor, OWNER_ONLY)
            file.write(f"{link.text}\n")
            file.flush()
            os.fsync(descriptor)
        Path(temporary).replace(target)
        stack.pop_all()  # the link is written
