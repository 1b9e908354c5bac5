"""Options, arguments and environment variables of the commands share, pipe and forward.

`arc-relay start` imports this module, so it must not need the extra `client`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import typer

from ...client.url import parse_url
from ...fields import Field, seconds
from ..access import tls_context

LINK: Final = "ARC_RELAY_LINK"  # for `pipe` and `forward`: the link or @FILE
TOKEN: Final = "ARC_RELAY_CLIENT_TOKEN"  # noqa: S105 - for `share`: the token of the relay
SECRET_VARIABLES: Final = frozenset({LINK, TOKEN})

RESUME_TIMEOUT: Final[Field] = seconds(300, "").metadata["field"]

Run = Callable[[], Awaitable[int]]  # runs a command, and returns its exit status


def option(default: Any, help: str, *flags: str, **more: Any) -> Any:
    """Declare a field as an option of the command line."""
    about = typer.Option(default, *flags, help=help, **more)
    return field(default=default, metadata={"typer": about})


def argument(metavar: str, help: str) -> Any:
    """Declare a field as an argument of the command line. Its default is None."""
    return field(default=None, metadata={"typer": typer.Argument(None, metavar=metavar, help=help)})


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Options of all three commands. Construction raises ValueError for a wrong timeout."""

    ca: str = option("", "Trust only the authorities in this PEM file.", metavar="PATH")
    insecure: bool = option(False, "Do not verify the certificate of the relay.", "--insecure")
    resume_timeout: str = option(
        "5m", "End a session that has had no connection for this time, such as 5m.", metavar="TIME"
    )
    quiet: bool = option(False, "Write only errors to standard error.", "--quiet", "-q")

    def __post_init__(self) -> None:
        RESUME_TIMEOUT.parse("--resume-timeout", self.resume_timeout)

    def arguments(self, url: str) -> dict[str, Any]:
        """Return arguments for `serve` and `connect` at the URL of a relay. Raises ValueError."""
        return {
            "ssl_context": tls_context(parse_url(url), self.ca, insecure=self.insecure),
            "resume_timeout": RESUME_TIMEOUT.parse("--resume-timeout", self.resume_timeout),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class PipeOptions(Options):
    """Options and arguments of `arc-relay pipe`."""

    link: str | None = argument(
        "LINK",
        f"The link, or @FILE for a file with the link. By default, the variable {LINK}. Other users"
        " of this machine can see a link on the command line.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ForwardOptions(PipeOptions):
    """Options and arguments of `arc-relay forward`."""

    local: str | None = argument(
        "LOCAL",
        "Where to listen: PORT, HOST:PORT or unix:PATH; by default a free port of 127.0.0.1, which"
        " is printed.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ShareOptions(Options):
    """Options and arguments of `arc-relay share`."""

    target: list[str] | None = argument(  # noqa: RUF009 - it returns a field
        "TARGET | -- COMMAND [ARGUMENT]...",
        "What guests reach: ssh (port 22 of this machine), PORT, HOST:PORT, unix:PATH, - (standard"
        " input and output, for one guest), or a command that runs once for each guest.",
    )
    via: str | None = option(
        None, "URL of the relay. Not needed if the link file exists.", metavar="URL"
    )
    link_file: str | None = option(
        None, "Keep the link in this file, so that the next start uses it again.", metavar="FILE"
    )
    new: bool = option(False, "Replace the link in the link file with a new link.", "--new")
    token_file: str = option(
        "",
        "File with the token of the relay, if the relay needs one. By default, the variable"
        f" {TOKEN} gives the token.",
        metavar="PATH",
    )
    max_guests: int = option(100, "Maximum number of guests at the same time.", metavar="N", min=1)
    systemd: bool = option(False, "Print a systemd unit with these options, and exit.", "--systemd")
