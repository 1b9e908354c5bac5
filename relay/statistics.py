"""What a relay counts, for its handle and for metrics.

Pure. Pairs count in plain integers of their own; they are added up when somebody asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .outcome import Outcome

__all__ = ["RelayStatistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayStatistics:
    """A snapshot of a relay: what is there now, and what has been since its start."""

    pairs: int = 0
    """Codes present, waiting or joined."""
    waiting: int = 0
    """Codes with one side, which waits for the other."""
    connections: int = 0
    """Connections open, those still at the door or closing among them."""
    draining: bool = False
    """Whether the relay is stopping, and takes no new side."""
    accepted: int = 0
    """Connections accepted since the start."""
    refused: Mapping[tuple[int, str], int]
    """How often each error was answered: by status and reason."""
    ended: Mapping[Outcome, int]
    """How many pairs ended in each way, those that were never joined among them."""
    bytes: tuple[int, int] = (0, 0)
    """Bytes of frames passed on, of side A and of side B, open pairs among them."""
    messages: tuple[int, int] = (0, 0)
    """Binary messages passed on, of side A and of side B."""
    texts: tuple[int, int] = (0, 0)
    """Text messages dropped, of side A and of side B."""
    probes: int = 0
    """How often sides were pinged because of a newcomer."""
    evictions: int = 0
    """How many of those times a side did not answer."""
