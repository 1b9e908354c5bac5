"""Arguments of the commands share, pipe and forward: help, wrong usage and missing libraries."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import relay.client
from relay.cli import main
from relay.cli.access import find_token
from relay.cli.endpoint.links import find_link
from relay.cli.endpoint.options import TOKEN
from relay.cli.options import WrongUsage, refuse_unknown_variables
from relay.client.link import Link

RELAY = "wss://relay.example/"
LINK = Link.new("ws://127.0.0.1:9/").text

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command line; it returns status, output and error."""
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["arc-relay", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main.main()
        return int(caught.value.code or 0), *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("command", "example"),
    [
        ("share", "Example: arc-relay share ssh --via wss://relay.example/"),
        ("pipe", "Example: ssh -o ProxyCommand='arc-relay pipe --quiet @home.link' me@home"),
        ("forward", "Example: arc-relay forward @home.link 8080"),
    ],
)
def test_help(run: Run, command: str, example: str) -> None:
    """The help of each command has an example."""
    status, output, error = run(command, "--help")
    assert (status, error) == (0, "")
    assert example in " ".join(output.split())


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["pipe"], "give the link, as LINK, @FILE or the variable ARC_RELAY_LINK"),
        (["pipe", f"{RELAY}?pair=secret"], "#k=KEY"),
        (["pipe", "mine"], "or @FILE for a file with the link"),
        (["pipe", "@/none"], "cannot read the link in '/none': No such file"),
        (["pipe", "@other"], "chmod 600 other"),
        (["pipe", "--ca", "/x", LINK], "--ca must be left out without wss://"),
        (["pipe", "--resume-timeout", "x", LINK], "--resume-timeout must be a number of seconds"),
        (["forward", "--resume-timeout", "0", LINK], "--resume-timeout must be"),
        (["forward", LINK, "0"], "give a port from 1 to 65535"),
        (["forward", LINK, "x"], "LOCAL must be PORT, HOST:PORT or unix:PATH"),
        (["forward", "8080"], "ARC_RELAY_LINK"),
        (["forward", "mine"], "and LINK a link or @FILE: give a port"),
        (["share", "ssh", "--via", RELAY], "give --link-file, because standard error is no"),
        (["share", "ssh", "--new", "--link-file", "new"], "give the URL of the relay with --via"),
        (["share", "ssh", "--via", "x", "--link-file", "new"], "--via: relay URL must begin with"),
        (["share", "ssh", "--link-file", "other"], "--link-file 'other': other users can access"),
        (["share", "ssh", "--link-file", "mine", "--via", RELAY], "has another relay than --via"),
        (["share", "ssh", "--link-file", "mine", "--token-file", "/none"], "--token-file '/none'"),
        (["share", "--max-guests", "0", "ssh"], "--max-guests"),
        (["share", "--resume-timeout", "x", "ssh"], "--resume-timeout must be"),
        (["share", "bash"], "the target must be ssh, PORT"),
        (["share", "--systemd", "ssh"], "--systemd needs --via"),
        (["share", "--systemd", "ssh", "--new"], "--link-file and --new must be left out"),
        (["share", "--systemd", "ssh", "--link-file", "x"], "must be left out: a unit has a link"),
    ],
)
def test_wrong_usage(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    problem: str,
) -> None:
    """Wrong usage has status 2 and one line that says what to do, without a secret."""
    monkeypatch.chdir(tmp_path)
    Path("other").write_text(LINK)
    Path("mine").write_text(LINK)
    Path("mine").chmod(0o600)
    status, output, error = run(*arguments)
    assert (status, output) == (2, "")
    assert problem in error
    assert error.count("\n") == 1
    assert "pair=secret" not in error
    assert LINK not in error


def test_link_file_in_no_folder(run: Run, tmp_path: Path) -> None:
    """A link file that cannot be written is a failure."""
    path = tmp_path / "none" / "link"
    status, _, error = run("share", "ssh", "--via", RELAY, "--link-file", path)
    assert (status, error) == (
        1,
        f"arc-relay: cannot write --link-file '{path}': No such file or directory\n",
    )


def test_new_without_a_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, --new needs a file to replace."""
    screen, keyboard = os.openpty()
    with open(keyboard, "w") as terminal, open(screen):  # noqa: PTH123 - descriptors
        monkeypatch.setattr(sys, "stderr", terminal)
        assert run("share", "ssh", "--new", "--via", RELAY)[0] == 2


def test_closed_output(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output must not be closed."""
    monkeypatch.setattr(sys, "stdout", None)
    for arguments in (["pipe", LINK], ["share", "-", "--via", RELAY]):
        status, _, error = run(*arguments)
        assert (status, error) == (2, "arc-relay: standard output is closed\n")


def test_unit(run: Run) -> None:
    """A unit is printed with the options that were given."""
    status, output, error = run("share", "--systemd", "--via", RELAY, "--quiet", "--", "a", "-b")
    assert (status, error) == (0, "")
    assert " --quiet --link-file %S/arc-relay-share/link -- a -b\n" in output


@pytest.mark.parametrize("command", [["share", "ssh"], ["pipe"], ["forward"]])
def test_missing_extra(run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """Without the extra, each command says in one line what to install."""
    for name in [*sys.modules]:
        if name.startswith(("relay.cli.endpoint.", "relay.client.")):
            monkeypatch.delitem(sys.modules, name)
    for name in relay.client.__all__:
        monkeypatch.delitem(vars(relay.client), name, raising=False)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    status, _, error = run(*command)
    assert status == 1
    assert "is not installed; run: pip install 'arc-pair-relay[client]'\n" in error


def test_another_missing_module(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another module that is missing is a fault of the program."""
    monkeypatch.delitem(sys.modules, "relay.cli.endpoint.guest", raising=False)
    monkeypatch.setitem(sys.modules, "relay.cli.endpoint.copying", None)
    status, _, error = run("pipe", LINK)
    assert status == 1
    assert "fault of the program" in error


def test_link_in_a_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variable holds the link or the path of a file, and an argument precedes it."""
    other = Link.new(RELAY)
    monkeypatch.setenv("ARC_RELAY_LINK", LINK)
    assert find_link(None).text == LINK
    assert find_link(other.text) == other
    path = tmp_path / "link"
    path.write_text(other.text)
    path.chmod(0o600)
    monkeypatch.setenv("ARC_RELAY_LINK", f"@{path}")
    assert find_link(None) == other


def test_variables_of_a_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    """`arc-relay start` accepts the variables of these commands, and still detects misspellings."""
    monkeypatch.setenv("ARC_RELAY_LINK", LINK)
    monkeypatch.setenv("ARC_RELAY_CLIENT_TOKEN", "x")
    refuse_unknown_variables()
    monkeypatch.setenv("ARC_RELAY_LINKS", "x")
    with pytest.raises(WrongUsage, match="unknown variable ARC_RELAY_LINKS"):
        refuse_unknown_variables()


def test_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The token comes from the file, or else from the variable."""
    assert find_token("", TOKEN) is None
    monkeypatch.setenv("ARC_RELAY_CLIENT_TOKEN", "of-the-variable")
    assert find_token("", TOKEN) == "of-the-variable"
    path = tmp_path / "token"
    path.write_text("of-the-file\n")
    assert find_token(str(path), TOKEN) == "of-the-file"
    monkeypatch.setenv("ARC_RELAY_CLIENT_TOKEN", "with space")
    with pytest.raises(ValueError, match="ARC_RELAY_CLIENT_TOKEN must be visible") as caught:
        find_token("", TOKEN)
    assert "with space" not in str(caught.value)
