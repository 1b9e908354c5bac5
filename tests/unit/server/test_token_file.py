"""Token in the content of a file."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from relay.server.token_file import is_token, read_token, token_in, token_weaknesses
from tests.support.running_relay import running

BAD = [
    (b"", "is empty"),
    (b" \r\n\t", "is empty"),
    (codecs.BOM_UTF8 + b"\n", "is empty"),
    (b"canary\nother\n", "has more than one line; the token must be alone in it"),
    (b"canary\r\rother", "has more than one line; the token must be alone in it"),
    (b"canary other", "has a space or a control character inside the token"),
    (b"canary\tother", "has a space or a control character inside the token"),
    (b"canary\0", "has a space or a control character inside the token"),
    (b"canary\x7f", "has a space or a control character inside the token"),
    (b"c\0a\0n\0a\0r\0y\0", "has a space or a control character inside the token"),
    ("canary".encode("utf-16"), "is in UTF-16; save it as plain ASCII"),
    (codecs.BOM_UTF16_BE + "canary".encode("utf-16-be"), "is in UTF-16; save it as plain ASCII"),
    ("canary".encode("utf-32"), "is in UTF-16; save it as plain ASCII"),
    (
        "canary\xe9".encode(),
        "has a character that is not ASCII, which no client could send in a header",
    ),
    (b"canary\xff", "has a character that is not ASCII, which no client could send in a header"),
]


@pytest.mark.parametrize(
    "content",
    [b"s3cret", b"s3cret\n", b" s3cret\r\n", codecs.BOM_UTF8 + b"s3cret\r\n", b"\n\ns3cret\n\n"],
)
def test_good(content: bytes) -> None:
    """White space and a byte-order mark around the token are removed."""
    assert token_in(content) == b"s3cret"


def test_every_character_that_a_header_can_hold() -> None:
    """A token may have any visible ASCII character."""
    visible = bytes(range(0x21, 0x7F))
    assert token_in(visible) == visible
    assert is_token(visible)
    assert not is_token(b"")
    assert not is_token(b"a b")


@pytest.mark.parametrize(("content", "why"), BAD)
def test_bad(tmp_path: Path, content: bytes, why: str) -> None:
    """Other content is refused in one line that names the file and quotes nothing of it."""
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="token") as caught:
        read_token(str(path))
    assert str(caught.value) == f"{str(path)!r} {why}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_too_large(tmp_path: Path) -> None:
    """A large file, such as a picture, is not read to its end."""
    path = tmp_path / "token"
    path.write_bytes(b"x" * 5000)
    with pytest.raises(ValueError, match=r"' is larger than 4096 bytes$"):
        read_token(str(path))


@pytest.mark.parametrize(("content", "why"), BAD)
async def test_reload(tmp_path: Path, content: bytes, why: str) -> None:
    """A reload refuses the same content, and the old token stays in force."""
    path = tmp_path / "token"
    path.write_bytes(b"s3cret")
    async with running(token_file=str(path)) as relay:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="token"):
            relay.handle.reload_token()
        await relay.refused(401, "opening a new code needs a token")
        client = await relay.connect()
        assert (await client.upgrade("/?pair=code&token=s3cret")).status == 101
        await relay.disconnect(client)


@pytest.mark.parametrize(
    ("token", "mode", "reasons"),
    [
        ("x" * 16, 0o640, []),
        ("x" * 15, 0o600, ["it has fewer than 16 characters"]),
        ("x" * 16 + "\n", 0o644, ["every user of the machine can read its file"]),
        (
            "x",
            0o604,
            ["it has fewer than 16 characters", "every user of the machine can read its file"],
        ),
    ],
)
def test_weaknesses(tmp_path: Path, token: str, mode: int, reasons: list[str]) -> None:
    """A token that is short, or that every user can read, has weaknesses."""
    path = tmp_path / "token"
    path.write_text(token)
    path.chmod(mode)
    assert token_weaknesses(str(path)) == reasons


def test_weaknesses_of_no_token(tmp_path: Path) -> None:
    """A file that holds no token has no weaknesses to tell."""
    with pytest.raises(OSError, match="token"):
        token_weaknesses(str(tmp_path / "token"))
