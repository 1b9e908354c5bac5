"""TLS with a certificate that can be replaced while the relay runs."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import trio

from .complaint import Complaint, reason

__all__ = ["TlsFiles"]


class TlsFiles:
    """A certificate with its chain, and its key, both in PEM form.

    Connections get them as they were when they were loaded last.

    Raises `Complaint` if they cannot be used.
    """

    def __init__(self, cert: str, key: str) -> None:
        self._cert = cert
        self._key = key
        self._current = self._load()
        # A context that loads a second certificate keeps the first one where their keys are of
        # different types, and may go on to serve it. So each load has a context of its own, which
        # takes over from this one, the listeners', once a client has said hello.
        self._entry = new_context()
        self._entry.sni_callback = self._take_over

    @classmethod
    def of(cls, cert: str, key: str) -> Self | None:
        """Return what serves TLS with these files; None if no file is given."""
        return cls(cert, key) if cert else None

    def reload(self) -> None:
        """Load the files again, for the connections that are still to come.

        Raises `Complaint` if they cannot be used; the relay then goes on with what it had.
        """
        self._current = self._load()

    def wrap(
        self, listeners: Iterable[trio.abc.Listener[trio.SocketStream]]
    ) -> list[trio.SSLListener[trio.SocketStream]]:
        """Return listeners whose clients speak TLS with those of the given ones.

        The handshake happens at the first read, under the reader's time limit.
        """
        # As HTTPS does it, without the end of TLS: clients leave by the end of TCP.
        return [
            trio.SSLListener(listener, self._entry, https_compatible=True) for listener in listeners
        ]

    def _take_over(
        self, connection: ssl.SSLObject, _name: str | None, _entry: ssl.SSLContext
    ) -> None:
        connection.context = self._current

    def _load(self) -> ssl.SSLContext:
        """Return a new context with the files as they are now."""
        for option, path in (("cert", self._cert), ("key", self._key)):
            try:
                Path(path).open("rb").close()
            except OSError as error:
                why = reason(error)
                raise Complaint(f"cannot read --tls-{option} {path!r}: {why}") from None
        context = new_context()
        try:
            # It tells a bad certificate from a bad key.
            new_context().load_verify_locations(self._cert)
        except ssl.SSLError:
            raise Complaint(f"--tls-cert {self._cert!r} holds no certificate in PEM form") from None
        try:
            context.load_cert_chain(self._cert, self._key, self._refuse_passphrase)
        except ssl.SSLError as error:
            problem = error.reason or ""
            if problem.endswith(("_TOO_SMALL", "_TOO_WEAK")):
                why = problem.replace("_", " ").lower()
                raise Complaint(f"--tls-cert {self._cert!r} is too weak: {why}") from None
            raise Complaint(
                f"--tls-key {self._key!r} holds no private key in PEM form that belongs to"
                f" --tls-cert {self._cert!r}"
            ) from None
        return context

    def _refuse_passphrase(self) -> str:
        """Refuse an encrypted key; without this, OpenSSL asks at the terminal, and waits."""
        raise Complaint(f"--tls-key {self._key!r} needs a passphrase; give a key without one")


def new_context() -> ssl.SSLContext:
    """Return a context for a server, for TLS 1.2 and newer, without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    # Who resumes what a ticket holds sees no certificate, and so not the new one; and a ticket is
    # worth little where connections last.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context
