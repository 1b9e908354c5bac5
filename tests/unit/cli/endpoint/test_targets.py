"""Targets and addresses of the commands share and forward."""

from __future__ import annotations

import pytest

from relay.cli.endpoint.addresses import Address, TcpAddress, UnixAddress, parse_address
from relay.cli.endpoint.targets import (
    Command,
    StandardStreams,
    Target,
    parse_target,
    target_words,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("80", TcpAddress("127.0.0.1", 80)),
        (":80", TcpAddress("127.0.0.1", 80)),
        ("host:1", TcpAddress("host", 1)),
        ("[::1]:65535", TcpAddress("::1", 65535)),
        ("unix:/run/x y.sock", UnixAddress("/run/x y.sock")),
    ],
)
def test_address(text: str, address: Address) -> None:
    """An address is parsed, and its text is an address again."""
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0", "number from 1 to 65535"),
        ("-1", "no port"),
        ("host", "no port"),
        ("host:", "number from 1 to 65535"),
        (":0", "number"),
        (":65536", "number"),
        (":99999999999", "number"),
        (":٣", "number"),
        ("::1:80", r"in brackets, as in \[::1\]:80"),
        ("unix:", "path of a socket"),
    ],
)
def test_no_address(text: str, problem: str) -> None:
    """The message for a text that is no address says why."""
    with pytest.raises(ValueError, match=problem):
        parse_address(text)


@pytest.mark.parametrize("text", ["wss://r/?pair=secret", "wss://r:1/?pair=secret", "pair=secret"])
def test_link_in_place_of_a_target(text: str) -> None:
    """The message about a link in the wrong place does not quote it."""
    for words in ([text], ["ssh", text]):
        with pytest.raises(ValueError, match="the target must be") as caught:
            parse_target(words)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "target", "name"),
    [
        (["ssh"], TcpAddress("127.0.0.1", 22), "127.0.0.1:22"),
        ([":8080"], TcpAddress("127.0.0.1", 8080), "127.0.0.1:8080"),
        (["unix:a"], UnixAddress("a"), "unix:a"),
        (["-"], StandardStreams(), "standard input and output"),
        (["--", "ssh", "me@host"], Command(("ssh", "me@host")), "ssh"),
        (["--", "--"], Command(("--",)), "--"),
    ],
)
def test_target(words: list[str], target: Target, name: str) -> None:
    """A target is parsed, has a name, and its words give the same target."""
    assert parse_target(words) == target
    assert parse_target(target_words(target)) == target
    assert str(target) == name


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "must be ssh, PORT, HOST:PORT, unix:PATH, - or -- COMMAND"),
        (["bash"], "must be ssh"),
        (["ssh", "me@host"], "must be one word; the command to share follows --"),
        (["--"], "a command must follow --"),
    ],
)
def test_no_target(words: list[str], problem: str) -> None:
    """The message for words that name no target says what to do."""
    with pytest.raises(ValueError, match=problem):
        parse_target(words)
