"""How the parts of the command line say what is wrong."""

from __future__ import annotations

import typer

__all__ = ["Complaint", "reason"]


class Complaint(typer.TyperException):
    """What cannot be done and why, in one line for the person who runs the relay."""


def reason(error: OSError) -> str:
    """Return in words why a call failed."""
    return error.strerror or str(error)
