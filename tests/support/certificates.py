"""Certificates of relays under test, from an authority that their clients trust."""

from __future__ import annotations

import base64
import hashlib
import ssl
from datetime import datetime
from functools import cache
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate


@cache
def authority() -> trustme.CA:
    """Return the authority of all tests."""
    return trustme.CA()


class Certificate:
    """Certificate for localhost and 127.0.0.1, in files that can be replaced."""

    def __init__(self, folder: Path) -> None:
        self.cert = folder / "cert.pem"
        self.key = folder / "key.pem"
        self.renew()

    def renew(self, *, expiry: datetime | None = None) -> None:
        """Write a new certificate and its key."""
        leaf = authority().issue_cert(
            "localhost", "127.0.0.1", key_type=trustme.KeyType.ECDSA, not_after=expiry
        )
        self.cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        self.key.write_bytes(leaf.private_key_pem.bytes())

    @property
    def options(self) -> list[str]:
        """Options of a relay that uses this certificate."""
        return ["--tls-cert", str(self.cert), "--tls-key", str(self.key)]

    @property
    def key_fingerprint(self) -> str:
        """SHA-256 of the public key, in base64, as Chromium names it in options."""
        key = load_pem_x509_certificate(self.cert.read_bytes()).public_key()
        encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(encoded).digest()).decode()

    def matches(self, shown: bytes | None) -> bool:
        """Return True if a certificate in DER form is the one in the file."""
        pem = self.cert.read_text().partition("-----END CERTIFICATE-----")
        return shown == ssl.PEM_cert_to_DER_cert(pem[0] + pem[1])


def client_context() -> ssl.SSLContext:
    """Return a client context that trusts only the authority of the tests."""
    # Without cadata, the context would load the authorities of the system too, which takes 20 ms.
    return ssl.create_default_context(cadata=authority().cert_pem.bytes().decode())
