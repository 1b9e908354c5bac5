"""Reload the certificate and the token of a running relay, on SIGHUP."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

from structlog.typing import FilteringBoundLogger

from ..server.serve import RelayHandle
from ..server.token_file import token_weaknesses
from .errors import StartError, start_problem
from .process_log import log_certificate, log_not_reloaded, log_reloaded, log_weak_token
from .tls import CertificateFiles

CERTIFICATE: Final = "certificate"
TOKEN: Final = "token"  # noqa: S105 - the name of a file, not its content


class Reloader:
    """Reloader of a relay's certificate and token.

    If a file cannot be reloaded, its previous content stays in force.

    ``token_file`` is the path of the token file; "" if the relay has no token. ``option`` is the
    flag or the variable that set this path, for error messages.
    """

    def __init__(
        self,
        handle: RelayHandle,
        tls: CertificateFiles | None,
        log: FilteringBoundLogger,
        token_file: str = "",
        option: str = "--token-file",
    ) -> None:
        self._handle = handle
        self._tls = tls
        self._log = log
        self._token_file = token_file
        self._option = option
        self.failures = {CERTIFICATE: 0, TOKEN: 0}
        """Number of failed reloads, by file."""
        self.failed: set[str] = set()
        """Files whose last reload failed."""

    @property
    def certificate_expiry(self) -> float | None:
        """Expiry of the certificate in force, as a Unix time.

        None if there is no certificate or its expiry is unknown.
        """
        certificate = self._tls and self._tls.certificate
        return certificate.expiry if certificate else None

    def reload(self) -> None:
        """Reload the certificate and the token, and log the result of each."""
        done = []
        self.failed.clear()
        if self._tls is not None:
            try:
                self._tls.reload()
                done.append(CERTIFICATE)
            except StartError as error:
                self._fail(CERTIFICATE, str(error))
        try:
            if self._handle.reload_token():
                done.append(TOKEN)
        except (OSError, ValueError) as error:
            self._fail(TOKEN, start_problem(error, self._option))
        if done or not self.failed:
            log_reloaded(self._log, done or ["nothing"])
        if done:
            self.log_files()

    def log_files(self) -> None:
        """Log the names and the expiry of the certificate, and the weaknesses of the token."""
        if self._tls is not None and self._tls.certificate is not None:
            log_certificate(self._log, self._tls.certificate, time.time())
        if self._token_file:
            with suppress(OSError, ValueError):  # the old token stays in force
                log_weak_token(self._log, token_weaknesses(self._token_file))

    def _fail(self, file: str, why: str) -> None:
        """Count and log a failed reload."""
        self.failures[file] += 1
        self.failed.add(file)
        log_not_reloaded(self._log, file, why)
