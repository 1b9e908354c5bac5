"""History of a run, as far as the clients and the lines saw it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

from .plan import Plan

Close = tuple[int, str]
"""Code and reason of a close frame."""


def digest(data: bytes) -> bytes:
    """Return a short hash of a payload."""
    return blake2b(data, digest_size=8).digest()


@dataclass
class Message:
    """Binary message that a client began to send."""

    size: int
    digest: bytes
    end: int = 0
    """Offset in the client's stream after a complete message."""
    complete: bool = False
    """True once the stream has accepted the whole message."""
    cut_off: bool = False
    """True if the client left on purpose before the last fragment."""


@dataclass
class ClientHistory:
    """One client: what it did, and what it got."""

    index: int
    code: str
    status: int = 0
    """Status of the response; 0 without a response."""
    reason: str = ""
    """Body of a refusal."""
    started_at: float | None = None
    """Time at which the request was sent."""
    responded_at: float = 0.0
    """Time of the response, or of the end without a response."""
    sent: list[Message] = field(default_factory=list)
    left: str = ""
    """Operation that ended the client's part; "" if there was none."""
    sent_close: Close | None = None
    """Close frame that the client sent of its own accord, or that its violation requires."""
    silent: float = 0.0
    """Longest time in seconds for which the client did not read."""
    received: list[tuple[int, bytes, int]] = field(default_factory=list)
    """Size, digest and number of frames of each message received."""
    part: bytes = b""
    """Payload of a message that did not arrive completely."""
    close: Close | None = None
    """Close frame of the relay."""
    closed_at: float = 0.0
    ended: str = ""
    """End of the stream as the client saw it: ``eof``, ``broken``, or "" if it did not see one."""
    ended_at: float = 0.0
    errors: list[str] = field(default_factory=list)
    """Faults that the client itself noticed, such as an invalid frame."""
    pings: list[bytes] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    read_at_stop: int | None = None
    """Bytes that the relay had read from the client when the stop was requested."""
    peak_held: int = 0
    """Largest payload that the relay had read from the client and not written to the peer."""


@dataclass
class PairHistory:
    """One pair: its sides, in order, and its end."""

    code: str
    sides: list[int]
    opened_at: float
    joined_at: float | None = None
    ended_at: float | None = None
    outcome: str = ""


@dataclass
class History:
    """One run."""

    plan: Plan
    clients: dict[int, ClientHistory] = field(default_factory=dict)
    pairs: list[PairHistory] = field(default_factory=list)
    stopped_at: float | None = None
    """Time at which the stop was requested."""
    ended_at: float | None = None
    """Time at which `serve_relay` returned."""
    left_over: list[str] = field(default_factory=list)
    """Tables, streams and tasks that remained too long."""
    trace: list[str] = field(default_factory=list)
    """Lines about the operations and their effects."""
    trace_hash: str = ""
    """Hash of the trace, including each read and write of each line."""

    def pair_of(self, client: int) -> PairHistory | None:
        """Return the pair that a client joined."""
        return next((pair for pair in self.pairs if client in pair.sides), None)

    def peer_of(self, client: int) -> ClientHistory | None:
        """Return the history of a client's peer."""
        pair = self.pair_of(client)
        peers = [side for side in (pair.sides if pair else ()) if side != client]
        return self.clients[peers[0]] if peers else None
