"""TLS listeners whose certificate can be reloaded while the relay runs."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Final, Self

import trio

from ..server.regular_file import read_regular_file
from ..transport.accepted_socket import AcceptedSocket, Socket
from .certificate_expiry import read_certificate
from .errors import StartError, os_error_text
from .settings import DaemonSettings
from .unix_listener import UnixListener

MAX_SIZE: Final = 1 << 20
"""Maximum size of a certificate file or key file, in bytes. Typical files have a few KiB."""


class CertificateFiles:
    """Two PEM files: a certificate with its chain, and the private key of the certificate.

    Raises `StartError` if a file cannot be used. The message names the option that set the file.
    """

    def __init__(
        self, cert: str, key: str, options: tuple[str, str] = ("--tls-cert", "--tls-key")
    ) -> None:
        self._cert = cert
        self._key = key
        self._cert_name = f"{options[0]} {cert!r}"
        self._key_name = f"{options[1]} {key!r}"
        self.context = self._load()
        """TLS context for new connections, from the last successful load of the files."""
        self.certificate = read_certificate(self.context, cert)
        """Names and expiry of the certificate; None if they cannot be read."""

    @classmethod
    def of(cls, settings: DaemonSettings) -> Self | None:
        """Load the files that the settings name; return None if the settings name no files."""
        options = settings.option("tls_cert"), settings.option("tls_key")
        return cls(settings.tls_cert, settings.tls_key, options) if settings.tls_cert else None

    def reload(self) -> None:
        """Load the files again. New connections use the new context.

        Raises `StartError` if a file cannot be used. The old context then stays in use.
        """
        # If a context loads a second certificate with another type of key, the context keeps the
        # first certificate and may continue to serve it. So each load uses a new context.
        self.context = self._load()
        self.certificate = read_certificate(self.context, self._cert)

    def wrap(
        self, listeners: Iterable[trio.SocketListener | UnixListener]
    ) -> list[ReloadingTLSListener]:
        """Wrap each listener, so that it accepts TLS connections."""
        return [ReloadingTLSListener(listener, self) for listener in listeners]

    def _load(self) -> ssl.SSLContext:
        """Return a new context with the current content of the files."""
        for name, path in ((self._cert_name, self._cert), (self._key_name, self._key)):
            try:
                read_regular_file(path, MAX_SIZE)
            except OSError as error:
                raise StartError(f"cannot read {name}: {os_error_text(error)}") from None
            except ValueError as error:
                raise StartError(f"{name} {error}") from None
        context = new_context()
        try:
            self._load_into(context)
        except OSError as error:  # the file was removed after it was read above
            raise StartError(
                f"cannot read the certificate or its key: {os_error_text(error)}"
            ) from None
        return context

    def _load_into(self, context: ssl.SSLContext) -> None:
        """Load the files into a context."""
        try:
            # This call fails if the certificate is bad, so a later error concerns the key.
            new_context().load_verify_locations(self._cert)
        except ssl.SSLError:
            raise StartError(f"{self._cert_name} holds no certificate in PEM form") from None
        try:
            context.load_cert_chain(self._cert, self._key, self._refuse_passphrase)
        except ssl.SSLError as error:
            problem = error.reason or ""
            if problem.endswith(("_TOO_SMALL", "_TOO_WEAK")):
                why = problem.replace("_", " ").lower()
                raise StartError(f"{self._cert_name} is too weak: {why}") from None
            raise StartError(
                f"{self._key_name} holds no private key in PEM form that belongs to"
                f" {self._cert_name}"
            ) from None

    def _refuse_passphrase(self) -> str:
        """Refuse an encrypted key, so that OpenSSL does not prompt for a passphrase."""
        raise StartError(f"{self._key_name} needs a passphrase; give a key without one")


class ReloadingTLSListener(trio.abc.Listener[AcceptedSocket]):
    """TLS listener on top of a socket listener; each new connection uses the latest TLS context.

    The relay does the TLS handshake as part of reading the request head, under the same timeout.
    `trio.SSLListener` is not used, because its context is fixed. A callback for the server name
    (SNI) could replace the context, but if the server name were not ASCII, Python would print a
    traceback that quotes it.
    """

    def __init__(
        self, transport_listener: trio.SocketListener | UnixListener, certificate: CertificateFiles
    ) -> None:
        self.transport_listener = transport_listener
        self._files = certificate

    @property
    def socket(self) -> trio.socket.SocketType:
        """The listening socket."""
        return self.transport_listener.socket

    def accepted(self, sock: Socket) -> AcceptedSocket:
        """Wrap an accepted socket in a connection with the latest TLS context."""
        return AcceptedSocket(sock, self._files.context)

    async def accept(self) -> AcceptedSocket:
        stream = await self.transport_listener.accept()
        return self.accepted(stream.socket)

    async def aclose(self) -> None:
        await self.transport_listener.aclose()


def new_context() -> ssl.SSLContext:
    """Return a server context for TLS 1.2 and newer, without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    # A client that resumes a session by ticket does not see a reloaded certificate. Tickets save
    # little, because connections last long.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    return context
