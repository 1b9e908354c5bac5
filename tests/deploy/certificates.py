"""Temporary authority, and a certificate for the host name in the shipped files."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme

__all__ = ["HOST", "Certificate"]

HOST = "relay.example"


@dataclass(frozen=True)
class Certificate:
    """Files of a certificate, and the authority that a client must trust."""

    chain: Path
    key: Path
    both: Path
    """Chain and key in one file, for HAProxy."""
    authority: Path
    """Certificate of the authority."""
    trust: ssl.SSLContext

    @classmethod
    def issue(cls, directory: Path) -> Certificate:
        """Return a new certificate, with its files in a directory."""
        authority = trustme.CA()
        issued = authority.issue_cert(HOST)
        chain, key, both, root = (
            directory / f"{name}.pem" for name in ("chain", "key", "both", "root")
        )
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(chain, append=number > 0)
        issued.private_key_pem.write_to_path(key)
        issued.private_key_and_cert_chain_pem.write_to_path(both)
        authority.cert_pem.write_to_path(root)
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        return cls(chain, key, both, root, trust)
