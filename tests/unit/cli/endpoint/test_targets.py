"""Targets and addresses of the commands share and forward."""

from __future__ import annotations

import pytest

from relay.cli.endpoint.targets import Address, Command, parse_address, parse_target


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("80", Address("127.0.0.1", 80)),
        (":80", Address("127.0.0.1", 80)),
        ("host:1", Address("host", 1)),
        ("[::1]:65535", Address("::1", 65535)),
        ("unix:/run/x y.sock", Address(path="/run/x y.sock")),
    ],
)
def test_address(text: str, address: Address) -> None:
    """An address is parsed, and its text is an address again."""
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0", "port from 1 to 65535"),
        ("-1", "port from 1 to 65535"),
        ("host", "port from 1 to 65535"),
        ("host:", "port from 1 to 65535"),
        (":0", "port from 1 to 65535"),
        (":65536", "port from 1 to 65535"),
        (":99999999999", "port from 1 to 65535"),
        (":٣", "port from 1 to 65535"),
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
    ("words", "target"),
    [
        (["ssh"], Address("127.0.0.1", 22)),
        ([":8080"], Address("127.0.0.1", 8080)),
        (["*:80"], Address("*", 80)),
        (["unix:a"], Address(path="a")),
        (["-"], None),
        (["--", "ssh", "me@host"], ("ssh", "me@host")),
        (["--", "--"], ("--",)),
    ],
)
def test_target(words: list[str], target: Address | Command | None) -> None:
    """A target is parsed: an address, a command, or standard input and output."""
    assert parse_target(words) == target


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "must be ssh, PORT, HOST:PORT, unix:PATH, - or -- COMMAND"),
        (["bash"], "must be ssh"),
        (["ssh", "me@host"], "must be one word; a command follows --"),
        (["--"], "a command must follow --"),
    ],
)
def test_no_target(words: list[str], problem: str) -> None:
    """The message for words that name no target says what to do."""
    with pytest.raises(ValueError, match=problem):
        parse_target(words)
