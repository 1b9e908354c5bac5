"""Settings on the command line: a flag and a variable for each, and their precedence."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from typer.main import get_command

from relay import RelaySettings
from relay.cli import main, options
from relay.daemon.settings import DaemonSettings
from relay.fields import Definition, iter_fields

DEFINITIONS = [*iter_fields(DaemonSettings), *iter_fields(RelaySettings)]
NAMES = [name for name, _, _ in DEFINITIONS]

# Two good texts, and one bad, of every setting that is a text or a list.
TEXTS = {
    "host": ("a.example", "b.example", ""),
    "unix_socket": ("/a", "/b", None),
    "unix_socket_mode": ("600", "0666", "888"),
    "tls_cert": ("/a", "/b", None),
    "tls_key": ("/a", "/b", None),
    "metrics": ("a:1", "b:2", "a"),
    "trusted_proxies": ("unix, ::1", "10.0.0.0/8", "unix,proxy"),
    "allowed_origins": ("null,https://a.example", "https://b.example", "b.example"),
    "token_file": ("/a", "/b", None),
}


def texts(definition: Definition) -> tuple[str, str, str | None]:
    """Return two valid texts of a setting, neither its default, and an invalid one, if any."""
    about = definition.field
    if about.kind in {int, float}:
        return "17", "42", "soon"
    if about.metavar == "WORD":
        words = about.values.removeprefix("one of ").split(", ")
        first, second = [word for word in words if word != definition.default][:2]
        return first, second, "loud"
    return TEXTS[definition.name]


SPELT = [definition for definition in DEFINITIONS if definition.field.kind is not bool]
FLAGS = [definition for definition in DEFINITIONS if definition.field.kind is bool]


def by_name(definition: Definition) -> str:
    """Return the name of a setting, for the name of a test."""
    return definition.name


@cache
def built_app() -> Any:
    """Return the commands, which typer builds anew for each run otherwise."""
    return get_command(main.app)


class StartCommand:
    """The start command, with a record of its settings in place of a relay."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.start: DaemonSettings
        self.relay: RelaySettings
        self._monkeypatch = monkeypatch
        monkeypatch.setattr("relay.daemon.run.run", self._run)
        monkeypatch.setattr(main, "app", built_app())

    async def _run(
        self, start_settings: DaemonSettings, relay_settings: RelaySettings, _log: object
    ) -> None:
        self.start, self.relay = start_settings, relay_settings

    def status(self, *arguments: str) -> int:
        """Run the start command with these arguments and return its exit status."""
        self._monkeypatch.setattr(sys, "argv", ["arc-relay", "start", *arguments])
        with pytest.raises(SystemExit) as caught:
            main.main()
        return int(caught.value.code or 0)

    def value(self, name: str, *arguments: str) -> Any:
        """Run the start command, which must accept its arguments, and return a setting."""
        assert self.status(*arguments) == 0
        return getattr(self.start if hasattr(self.start, name) else self.relay, name)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[StartCommand]:
    """Start from an environment without settings; undo what the program does to its process."""
    for name in os.environ:
        if name.startswith("ARC_RELAY_"):
            monkeypatch.delenv(name)
    threshold = gc.get_threshold()
    yield StartCommand(monkeypatch)
    gc.set_threshold(*threshold)


@pytest.fixture
def whole_tls(
    definition: Definition, monkeypatch: pytest.MonkeyPatch, command: StartCommand
) -> None:
    """Give the other TLS file, without which the first one is refused."""
    halves = {"tls_cert": "TLS_KEY", "tls_key": "TLS_CERT"}
    if definition.name in halves:
        monkeypatch.setenv(f"ARC_RELAY_{halves[definition.name]}", "/other")


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the only line on standard error, without the name of the program."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err.removeprefix("arc-relay: ").removesuffix("\n")


def test_names() -> None:
    """No two settings have a name or a short flag in common."""
    assert len(set(NAMES)) == len(NAMES)
    short = [about.short for _, _, about in DEFINITIONS if about.short]
    assert sorted(short) == ["-H", "-p"]


def test_defaults(command: StartCommand) -> None:
    """Without flags and variables, every setting has its default."""
    assert command.status() == 0
    assert command.start == DaemonSettings()
    assert command.relay == RelaySettings()


@pytest.mark.usefixtures("whole_tls")
@pytest.mark.parametrize("definition", SPELT, ids=by_name)
def test_flag_beats_variable_beats_default(
    definition: Definition, command: StartCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each setting has a flag and a variable of its name; the flag takes precedence."""
    name, default, about = definition
    first, second, _ = texts(definition)
    values = [about.parse(name, first), about.parse(name, second)]
    assert default not in values
    monkeypatch.setenv(f"ARC_RELAY_{name.upper()}", first)
    assert command.value(name) == values[0]
    flag = f"--{name.replace('_', '-')}"
    assert command.value(name, flag, second) == values[1]
    assert command.value(name, f"{flag}={second}") == values[1]
    monkeypatch.delenv(f"ARC_RELAY_{name.upper()}")
    if not name.startswith("tls"):
        assert command.value(name) == default
    assert command.value(name, flag, first, flag, second) == values[1]


@pytest.mark.parametrize("definition", FLAGS, ids=by_name)
def test_flags_without_a_value(
    definition: Definition, command: StartCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A boolean has two flags, and a variable with a word."""
    name, default, _ = definition
    yes = f"--{name.replace('_', '-')}"
    no = f"--no-{name.replace('_', '-')}"
    assert command.value(name) is default
    assert command.value(name, yes) is True
    assert command.value(name, no) is False
    for word, value in {"on": True, "0": False}.items():
        monkeypatch.setenv(f"ARC_RELAY_{name.upper()}", word)
        assert command.value(name) is value
        assert command.value(name, yes) is True
        assert command.value(name, no) is False


@pytest.mark.parametrize("definition", SPELT, ids=by_name)
def test_bad_flag(
    definition: Definition, command: StartCommand, capsys: pytest.CaptureFixture[str]
) -> None:
    """An invalid flag ends the start in one line that names the flag; the status is 2."""
    bad = texts(definition)[2]
    if bad is None:
        return
    flag = f"--{definition.name.replace('_', '-')}"
    assert command.status(flag, bad) == 2
    assert error_line(capsys).startswith(f"{flag} must be {definition.field.texts}, not '")


@pytest.mark.parametrize("definition", DEFINITIONS, ids=by_name)
def test_bad_variable(
    definition: Definition,
    command: StartCommand,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An invalid variable ends the start in one line that names it; the status is 2."""
    bad = "maybe" if definition in FLAGS else texts(definition)[2]
    if not bad:
        return
    variable = f"ARC_RELAY_{definition.name.upper()}"
    monkeypatch.setenv(variable, bad)
    assert command.status() == 2
    assert error_line(capsys).startswith(f"{variable} must be {definition.field.texts}, not '")


def test_overridden_invalid_variable(
    command: StartCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that a flag overrides is not parsed."""
    monkeypatch.setenv("ARC_RELAY_PAIR_TTL", "never")
    assert command.value("pair_ttl", "--pair-ttl", "5") == 5


def test_settings_that_do_not_go_together(
    command: StartCommand, capsys: pytest.CaptureFixture[str]
) -> None:
    """An invalid combination of settings is explained in one line."""
    assert command.status("--tls-cert", "/cert.pem") == 2
    assert error_line(capsys) == "--tls-cert requires --tls-key"


@pytest.mark.parametrize("name", NAMES)
def test_empty_variable(name: str, command: StartCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable counts as unset."""
    monkeypatch.setenv(f"ARC_RELAY_{name.upper()}", "")
    assert command.status() == 0
    assert (command.start, command.relay) == (DaemonSettings(), RelaySettings())
    assert command.start.given == {}


@pytest.mark.parametrize("name", ["unix_socket", "trusted_proxies"])
def test_empty_flag(name: str, command: StartCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty flag overrides a variable, if the setting may be empty."""
    monkeypatch.setenv(f"ARC_RELAY_{name.upper()}", "unix")
    assert not command.value(name, f"--{name.replace('_', '-')}", "")


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("ARC_RELAY_PAIR_TLL", "ARC_RELAY_PAIR_TTL"),
        ("ARC_RELAY_ORIGINS", "ARC_RELAY_ALLOWED_ORIGINS"),
        ("ARC_RELAY_MAXCONNECTIONS", "ARC_RELAY_MAX_CONNECTIONS"),
        ("ARC_RELAY_PORT_", "ARC_RELAY_PORT"),
    ],
)
def test_unknown_variable(
    variable: str,
    nearest: str,
    command: StartCommand,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An unknown variable prevents the start, and the nearest known one is named."""
    monkeypatch.setenv(variable, "5")
    assert command.status() == 2
    assert error_line(capsys) == f"unknown variable {variable}; did you mean {nearest}?"


@pytest.mark.parametrize(
    ("variable", "shown"),
    [
        ("ARC_RELAY_\x1b[2J\n", r"ARC_RELAY_\x1b[2J\n"),
        ("ARC_RELAY_\udcff", r"ARC_RELAY_\udcff"),
        ("ARC_RELAY_\u202eÜ", r"ARC_RELAY_\u202eÜ"),
    ],
)
def test_unknown_variable_that_is_no_text(
    variable: str,
    shown: str,
    command: StartCommand,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An unknown name with control or unprintable characters is escaped."""
    monkeypatch.setenv(variable, "5")
    assert command.status() == 2
    assert error_line(capsys).startswith(f"unknown variable {shown}; did you mean ARC_RELAY_")


def test_unrelated_unknown_variable(
    command: StartCommand, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error suggests a known variable, however different the unknown one is."""
    variable = f"ARC_RELAY_{'Z' * 100}"
    monkeypatch.setenv(variable, "5")
    assert command.status() == 2
    assert error_line(capsys).startswith(f"unknown variable {variable}; did you mean ARC_RELAY_")


def test_ignored_variables(command: StartCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty unknown variables, and variables of other programs, are ignored."""
    monkeypatch.setenv("ARC_RELAY_PAIR_TLL", "")
    monkeypatch.setenv("ARC_RELAYS", "5")
    monkeypatch.setenv("PAIR_TTL", "5")
    assert command.status() == 0
    assert command.relay == RelaySettings()


def test_given_options(command: StartCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings have the flag or variable of each given option, also if it is the default."""
    monkeypatch.setenv("ARC_RELAY_HOST", "0.0.0.0")  # noqa: S104 - nothing listens
    monkeypatch.setenv("ARC_RELAY_PORT", "5")
    given = command.value("given", "-p", "8765", "--pair-ttl", "5", "--no-strict-codes")
    assert given == {
        "host": "ARC_RELAY_HOST",
        "port": "--port",
        "pair_ttl": "--pair-ttl",
        "strict_codes": "--no-strict-codes",
    }


def test_short_flags(command: StartCommand) -> None:
    """The flags of the predecessor exist."""
    assert command.status("-H", "::1", "-p", "0") == 0
    assert (command.start.host, command.start.port) == ("::1", 0)


def test_settings_from_environment(command: StartCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another command finds the settings of a start in the same environment."""
    assert options.read_settings(DaemonSettings, {}) == DaemonSettings()
    monkeypatch.setenv("ARC_RELAY_UNIX_SOCKET", "/a")
    monkeypatch.setenv("ARC_RELAY_PORT", "5")
    assert command.status() == 0
    assert options.read_settings(DaemonSettings, {}) == command.start
    assert {*options.read_settings(DaemonSettings, {}).given} == {"unix_socket", "port"}


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        (
            {"ARC_RELAY_PORT": "http"},
            "ARC_RELAY_PORT must be a whole number from 0 to 65535, not 'http'",
        ),
        (
            {"ARC_RELAY_TLS_KEY": "/k"},
            "ARC_RELAY_TLS_KEY requires --tls-cert",
        ),
    ],
)
def test_bad_environment(
    variables: dict[str, str], problem: str, command: StartCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another command refuses an invalid environment with the message of start."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(options.WrongUsage) as refused:
        options.read_settings(DaemonSettings, {})
    assert (str(refused.value), refused.value.exit_code) == (problem, 2)
