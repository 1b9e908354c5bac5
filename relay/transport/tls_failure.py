"""Classify failed TLS handshakes for logs and metrics.

Pure. The result depends only on the reason code of the OpenSSL error. OpenSSL has a fixed table of
reason codes, so the result contains no data from the client.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class TlsFailure(StrEnum):
    """Cause of a failed TLS handshake."""

    PLAIN_HTTP = "plain_http"
    """The client sent an HTTP request without TLS."""
    NOT_TLS = "not_tls"
    """The client sent bytes that are neither TLS nor HTTP."""
    NO_SHARED_VERSION = "no_shared_version"
    """The client offered no TLS version that the relay accepts."""
    NO_SHARED_CIPHER = "no_shared_cipher"
    """The client and the relay share no cipher suite, no group or no signature algorithm."""
    CERTIFICATE_REFUSED = "certificate_refused"
    """The client sent an alert because it does not accept the relay's certificate."""
    CLIENT_ALERT = "client_alert"
    """The client sent an alert for another reason."""
    ENDED = "ended"
    """The client ended the connection before the handshake was complete."""
    RESET = "reset"
    """The connection was reset before the handshake was complete."""
    TIMEOUT = "timeout"
    """The handshake was not complete within ``handshake_timeout``."""
    OTHER = "other"
    """A message of the handshake was malformed or out of order."""


class HandshakeFailure(NamedTuple):
    """Kind of a failed TLS handshake, and the reason from OpenSSL; "" if there is no reason."""

    kind: TlsFailure
    detail: str = ""


KIND_OF_REASON: Final = {
    "HTTP_REQUEST": TlsFailure.PLAIN_HTTP,
    "HTTPS_PROXY_REQUEST": TlsFailure.PLAIN_HTTP,
    "WRONG_VERSION_NUMBER": TlsFailure.NOT_TLS,
    "UNSUPPORTED_PROTOCOL": TlsFailure.NO_SHARED_VERSION,
    "UNKNOWN_PROTOCOL": TlsFailure.NO_SHARED_VERSION,
    "VERSION_TOO_LOW": TlsFailure.NO_SHARED_VERSION,
    "NO_SHARED_CIPHER": TlsFailure.NO_SHARED_CIPHER,
    "NO_SUITABLE_KEY_SHARE": TlsFailure.NO_SHARED_CIPHER,
    "NO_SHARED_GROUPS": TlsFailure.NO_SHARED_CIPHER,
    "NO_SUITABLE_SIGNATURE_ALGORITHM": TlsFailure.NO_SHARED_CIPHER,
    "NO_SHARED_SIGNATURE_ALGORITHMS": TlsFailure.NO_SHARED_CIPHER,
    "UNEXPECTED_EOF_WHILE_READING": TlsFailure.ENDED,
}

ALERT: Final = "_ALERT_"
"""Part of a reason code that marks an alert of the client, as in TLSV1_ALERT_UNKNOWN_CA."""

VERSION_ALERTS: Final = {"PROTOCOL_VERSION"}
CERTIFICATE_ALERTS: Final = {
    "BAD_CERTIFICATE",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_REVOKED",
    "CERTIFICATE_UNKNOWN",
    "UNKNOWN_CA",
    "UNSUPPORTED_CERTIFICATE",
}


def classify_failure(error: BaseException | None) -> HandshakeFailure:
    """Return the kind and the reason of a failure. An error without a reason counts as a reset."""
    if error is None or not hasattr(error, "reason"):
        return HandshakeFailure(TlsFailure.RESET)
    reason = error.reason or ""
    detail = reason.replace("_", " ").lower()
    _, is_alert, alert = reason.partition(ALERT)
    if not is_alert:
        return HandshakeFailure(KIND_OF_REASON.get(reason, TlsFailure.OTHER), detail)
    if alert in CERTIFICATE_ALERTS:
        return HandshakeFailure(TlsFailure.CERTIFICATE_REFUSED, detail)
    if alert in VERSION_ALERTS:
        return HandshakeFailure(TlsFailure.NO_SHARED_VERSION, detail)
    return HandshakeFailure(TlsFailure.CLIENT_ALERT, detail)
