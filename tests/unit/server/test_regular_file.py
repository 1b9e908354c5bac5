"""Reading of small files, and refusal of other kinds of file."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from relay.server import regular_file
from relay.server.regular_file import read_regular_file

FIFO = "is a FIFO or pipe, not a regular file"


def refusal(path: Path | str, max_size: int = 10) -> str:
    """Return the reason for which a path is refused."""
    with pytest.raises(ValueError, match=r"^is a") as caught:
        read_regular_file(str(path), max_size)
    return str(caught.value)


def test_content(tmp_path: Path) -> None:
    """A file is read, also through symbolic links, such as a secret of Kubernetes."""
    file, folder, link = tmp_path / "file", tmp_path / "..data", tmp_path / "token"
    (tmp_path / "2026").mkdir()
    file = tmp_path / "2026" / "token"
    file.write_bytes(b"0123456789")
    folder.symlink_to("2026")
    link.symlink_to("..data/token")
    assert read_regular_file(str(link), 10) == b"0123456789"


def test_size(tmp_path: Path) -> None:
    """A file that is too large is refused, and so is a file without a size."""
    (tmp_path / "file").write_bytes(b"0123456789")
    with pytest.raises(ValueError, match=r"^is larger than 9 bytes$"):
        read_regular_file(str(tmp_path / "file"), 9)
    with pytest.raises(ValueError, match=r"^is larger than 9 bytes$"):
        read_regular_file("/proc/self/status", 9)


def test_other_kinds(tmp_path: Path) -> None:
    """Another kind of file is refused with its kind, and without waiting."""
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
        assert refusal(tmp_path / "socket") == "is a socket, not a regular file"
    assert refusal(tmp_path / "fifo") == FIFO
    assert refusal(tmp_path) == "is a directory, not a regular file"
    assert refusal("/dev/zero") == "is a device, not a regular file"


def test_descriptor_of_a_pipe() -> None:
    """A pipe, such as ``<(command)`` in a shell, is refused."""
    reader, writer = os.pipe()
    assert refusal(f"/dev/fd/{reader}") == FIFO
    os.close(reader)
    os.close(writer)


def test_replaced_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIFO that replaces the file just before it is opened delays nothing."""
    os.mkfifo(tmp_path / "fifo")

    stale = SimpleNamespace(stat=Path(__file__).stat)
    monkeypatch.setattr(regular_file, "Path", lambda _: stale)
    assert refusal(tmp_path / "fifo") == FIFO


def test_unknown_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of an unknown kind is refused."""
    monkeypatch.setattr(regular_file, "Path", lambda _: SimpleNamespace(stat=odd))
    assert refusal("/odd") == "is a special file, not a regular file"


def odd() -> SimpleNamespace:
    """Return the status of a file of a kind that Linux does not have."""
    return SimpleNamespace(st_mode=0o150000)


def test_missing(tmp_path: Path) -> None:
    """A missing file raises the OSError of the kernel."""
    with pytest.raises(FileNotFoundError):
        read_regular_file(str(tmp_path / "file"), 9)
