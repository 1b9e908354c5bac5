"""Targets that guests of `arc-relay share` can reach. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .addresses import LOOPBACK, Address, TcpAddress, parse_address

SEPARATOR: Final = "--"
"""Argument that precedes a command as the target."""

STANDARD: Final = "-"
SSH: Final = "ssh"
SSH_PORT: Final = 22


@dataclass(frozen=True, slots=True)
class StandardStreams:
    """Target for one guest: standard input and output."""

    def __str__(self) -> str:
        return "standard input and output"


@dataclass(frozen=True, slots=True)
class Command:
    """Target that runs a command, once for each guest."""

    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return self.arguments[0]


Target = Address | StandardStreams | Command


def parse_target(words: Sequence[str]) -> Target:
    """Parse the arguments of `arc-relay share` that give the target.

    Raises ValueError, with the reason, if they do not give a valid target.
    """
    first, *others = words or ("",)
    if first == SEPARATOR:
        if not others:
            raise ValueError("a command must follow --")
        return Command(tuple(others))
    if others:
        raise ValueError(
            "the target must be one word; the command to share follows --,"
            " as in: share --via URL -- bash"
        )
    if first == STANDARD:
        return StandardStreams()
    if first == SSH:
        return TcpAddress(LOOPBACK, SSH_PORT)
    try:
        return parse_address(first)
    except ValueError as error:
        raise ValueError(
            f"the target must be ssh, PORT, HOST:PORT, unix:PATH, - or -- COMMAND: {error}"
        ) from None


def target_words(target: Target) -> list[str]:
    """Return the arguments for a target. `parse_target` is the inverse function."""
    if isinstance(target, Command):
        return [SEPARATOR, *target.arguments]
    return [STANDARD if isinstance(target, StandardStreams) else str(target)]
