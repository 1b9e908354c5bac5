"""Reload the certificate and the token of a running relay, at SIGHUP."""

from __future__ import annotations

from typing import Final

from structlog.typing import FilteringBoundLogger

from ..server.serve import RelayHandle
from .errors import StartError, start_problem
from .log_observer import log_not_reloaded, log_reloaded
from .tls import CertificateFiles

CERTIFICATE: Final = "certificate"
TOKEN: Final = "token"  # noqa: S105 - the name of a file, not its content


class Reloader:
    """Reloader of the files of a relay. If a reload fails, the old content stays in force."""

    def __init__(
        self, handle: RelayHandle, tls: CertificateFiles | None, log: FilteringBoundLogger
    ) -> None:
        self._handle = handle
        self._tls = tls
        self._log = log
        self.failures = {CERTIFICATE: 0, TOKEN: 0}
        """Number of failed reloads, by file."""
        self.failed: set[str] = set()
        """Files whose last reload failed."""

    @property
    def certificate_expiry(self) -> float | None:
        """Expiry of the certificate in force, as a Unix time; None if it has none or is unknown."""
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
            self._fail(TOKEN, start_problem(error))
        if done or not self.failed:
            log_reloaded(self._log, done or ["nothing"])

    def _fail(self, file: str, why: str) -> None:
        """Count and log a failed reload."""
        self.failures[file] += 1
        self.failed.add(file)
        log_not_reloaded(self._log, file, why)
