"""TLS with a certificate that can be replaced while the relay runs."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Final, Self

import trio

from ..server.regular_file import read_regular_file
from ..transport.tls_transport import TLSSocket
from .errors import StartError, os_error_text

__all__ = ["CertificateFiles", "ReloadingTLSListener"]

MAX_SIZE: Final = 1 << 20
"""Bytes of a file with a certificate and its chain, or a key; usual ones have a few thousand."""


class CertificateFiles:
    """A certificate with its chain, and its key, both in PEM form.

    Raises `Complaint` if they cannot be used.
    """

    def __init__(self, cert: str, key: str) -> None:
        self._cert = cert
        self._key = key
        self.context = self._load()
        """For new connections, with the files as they were when they were loaded last."""

    @classmethod
    def of(cls, cert: str, key: str) -> Self | None:
        """Return what serves TLS with these files; None if no file is given."""
        return cls(cert, key) if cert else None

    def reload(self) -> None:
        """Load the files again, for the connections that are still to come.

        Raises `Complaint` if they cannot be used; the relay then goes on with what it had.
        """
        # A context that loads a second certificate keeps the first one where their keys are of
        # different types, and may go on to serve it. So each load has a context of its own.
        self.context = self._load()

    def wrap(
        self, listeners: Iterable[trio.abc.Listener[trio.SocketStream]]
    ) -> list[ReloadingTLSListener]:
        """Return listeners whose clients speak TLS with those of the given ones."""
        return [ReloadingTLSListener(listener, self) for listener in listeners]

    def _load(self) -> ssl.SSLContext:
        """Return a new context with the files as they are now."""
        for option, path in (("cert", self._cert), ("key", self._key)):
            try:
                read_regular_file(path, MAX_SIZE)
            except OSError as error:
                why = os_error_text(error)
                raise StartError(f"cannot read --tls-{option} {path!r}: {why}") from None
            except ValueError as error:
                raise StartError(f"--tls-{option} {path!r} {error}") from None
        context = new_context()
        try:
            self._load_into(context)
        except OSError as error:  # gone since it was opened, a moment ago
            raise StartError(
                f"cannot read the certificate or its key: {os_error_text(error)}"
            ) from None
        return context

    def _load_into(self, context: ssl.SSLContext) -> None:
        """Load the files into a context."""
        try:
            # It tells a bad certificate from a bad key.
            new_context().load_verify_locations(self._cert)
        except ssl.SSLError:
            raise StartError(
                f"--tls-cert {self._cert!r} holds no certificate in PEM form"
            ) from None
        try:
            context.load_cert_chain(self._cert, self._key, self._refuse_passphrase)
        except ssl.SSLError as error:
            problem = error.reason or ""
            if problem.endswith(("_TOO_SMALL", "_TOO_WEAK")):
                why = problem.replace("_", " ").lower()
                raise StartError(f"--tls-cert {self._cert!r} is too weak: {why}") from None
            raise StartError(
                f"--tls-key {self._key!r} holds no private key in PEM form that belongs to"
                f" --tls-cert {self._cert!r}"
            ) from None

    def _refuse_passphrase(self) -> str:
        """Refuse an encrypted key; without this, OpenSSL asks at the terminal, and waits."""
        raise StartError(f"--tls-key {self._key!r} needs a passphrase; give a key without one")


class ReloadingTLSListener(trio.abc.Listener[TLSSocket]):
    """A listener whose clients speak TLS with those of another one.

    The relay does the handshake when it reads the head, under the same time limit. It is not
    `trio.SSLListener`, whose context stays what it was, and could only be left from a callback for
    the name that a client asks for: a name that is not ASCII makes Python print it.
    """

    def __init__(
        self,
        transport_listener: trio.abc.Listener[trio.SocketStream],
        certificate: CertificateFiles,
    ) -> None:
        self.transport_listener = transport_listener
        self._files = certificate

    async def accept(self) -> TLSSocket:
        return TLSSocket(await self.transport_listener.accept(), self._files.context)

    async def aclose(self) -> None:
        await self.transport_listener.aclose()


def new_context() -> ssl.SSLContext:
    """Return a context for a server, for TLS 1.2 and newer, without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    # Who resumes what a ticket holds sees no certificate, and so not the new one; and a ticket is
    # worth little where connections last.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    return context
