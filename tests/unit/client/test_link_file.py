"""Files that hold a link."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from relay.client.errors import InvalidLink
from relay.client.link import MAX_LINK, Link
from relay.client.link_file import create_link_file, read_link, require_private

LINK = Link("wss://relay.example/", "canary-code", bytes(range(32)))
ANOTHER = Link("wss://relay.example/", "another", bytes(32))


def written(path: Path, content: bytes, mode: int = 0o600) -> str:
    """Write a file; return its path as text."""
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def test_round_trip(tmp_path: Path) -> None:
    """A new file holds the link, for its owner alone, and no other file is left."""
    path = tmp_path / "link"
    create_link_file(str(path), LINK)
    assert read_link(str(path)) == LINK
    assert path.read_text() == f"{LINK.text}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("umask", [0o000, 0o277])
def test_mode(tmp_path: Path, umask: int) -> None:
    """The mode does not depend on the umask."""
    before = os.umask(umask)
    try:
        create_link_file(str(tmp_path / "link"), LINK)
    finally:
        os.umask(before)
    assert (tmp_path / "link").stat().st_mode & 0o777 == 0o600


def test_existing_file(tmp_path: Path) -> None:
    """An existing file is not replaced."""
    path = tmp_path / "link"
    create_link_file(str(path), LINK)
    with pytest.raises(FileExistsError):
        create_link_file(str(path), ANOTHER)
    assert read_link(str(path)) == LINK
    assert [*tmp_path.iterdir()] == [path]


def test_existing_symbolic_link(tmp_path: Path) -> None:
    """A new file is not made through a symbolic link."""
    (tmp_path / "link").symlink_to("target")
    with pytest.raises(FileExistsError):
        create_link_file(str(tmp_path / "link"), LINK)
    assert not (tmp_path / "target").exists()


def test_replace(tmp_path: Path) -> None:
    """An existing file is replaced, with the right mode. A symbolic link to it remains."""
    path, target = tmp_path / "link", tmp_path / "target"
    written(target, b"old", 0o644)
    path.symlink_to("target")
    create_link_file(str(path), LINK, replace=True)
    assert read_link(str(path)) == read_link(str(target)) == LINK
    assert path.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o600
    create_link_file(str(tmp_path / "new"), ANOTHER, replace=True)
    assert read_link(str(tmp_path / "new")) == ANOTHER


@pytest.mark.parametrize("replace", [False, True])
def test_failed_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool) -> None:
    """A failure leaves the previous file, or none."""
    path = tmp_path / "link"
    if replace:
        create_link_file(str(path), LINK)

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left on device"):
        create_link_file(str(path), ANOTHER, replace=replace)
    assert [*tmp_path.iterdir()] == ([path] if replace else [])
    assert not replace or read_link(str(path)) == LINK


def test_missing_folder(tmp_path: Path) -> None:
    """A file in a folder that does not exist is an OSError."""
    path = str(tmp_path / "no" / "link")
    for replace in (False, True):
        with pytest.raises(FileNotFoundError):
            create_link_file(path, LINK, replace=replace)
    with pytest.raises(FileNotFoundError):
        read_link(path)


@pytest.mark.parametrize(
    "content",
    [LINK.text.encode(), f"\ufeff{LINK.text}\r\n".encode(), f"\n  {LINK.text}\n\n".encode()],
)
def test_white_space(tmp_path: Path, content: bytes) -> None:
    """White space and a byte order mark around the link are removed."""
    assert read_link(written(tmp_path / "link", content)) == LINK


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700])
def test_private_modes(tmp_path: Path, mode: int) -> None:
    """A file that only its owner can access is read, also through a symbolic link."""
    path = written(tmp_path / "link", LINK.text.encode(), mode)
    (tmp_path / "other").symlink_to(path)
    assert read_link(str(tmp_path / "other")) == LINK


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o777])
def test_public_modes(tmp_path: Path, mode: int) -> None:
    """A file that others can access is refused, with the command that corrects its mode."""
    path = written(tmp_path / "a link", LINK.text.encode(), mode)
    with pytest.raises(InvalidLink) as caught:
        read_link(path)
    assert str(caught.value) == (
        f"other users can access {path!r}: run chmod 600 {shlex.quote(path)}, "
        "and make a new link if others may have read it"
    )


def test_file_of_another_user(tmp_path: Path) -> None:
    """A file of another user is refused."""
    status = Path(written(tmp_path / "link", LINK.text.encode())).stat()
    require_private("link", status)
    with pytest.raises(InvalidLink, match=r"^'link' belongs to another user: copy it to a file"):
        require_private("link", os.stat_result((*status[:4], status.st_uid + 1, *status[5:])))


def test_other_kinds_of_files(tmp_path: Path) -> None:
    """A directory, a FIFO and a device are refused without blocking."""
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (tmp_path, tmp_path / "fifo", Path(os.devnull)):
        with pytest.raises(InvalidLink, match=r"is not a regular file$"):
            read_link(str(path))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", " is empty: delete the file, or write the link into it"),
        (b" \n", " is empty: delete the file, or write the link into it"),
        (b"canary\xff", " is not a text in UTF-8"),
        (b"canary", ": link must begin with wss:// or ws://"),
        (
            b"wss://relay.example/?pair=canary#k=canary",
            ": key of the link has 6 characters instead of 43: copy the whole link again",
        ),
        (
            f"{LINK.text}\n{LINK.text}".encode(),
            ": link has a space, a line break or an invisible character in it",
        ),
        (
            b"wss://relay.example/?" + b"x" * MAX_LINK,
            ": link is longer than 8192 characters",
        ),
    ],
)
def test_bad_content(tmp_path: Path, content: bytes, problem: str) -> None:
    """Other content is refused in one line that names the file and quotes nothing of it."""
    path = written(tmp_path / "link", content)
    with pytest.raises(InvalidLink) as caught:
        read_link(path)
    assert str(caught.value) == f"{path!r}{problem}"
