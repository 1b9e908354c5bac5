"""The names and the expiry of a certificate are read from the context that serves it."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from relay.daemon.certificate_expiry import Certificate, read_certificate
from relay.daemon.tls import CertificateFiles, new_context
from tests.support import certificates

BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
END = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)


def read(folder: Path, chain: bytes, key: bytes) -> Certificate | None:
    """Write a certificate and its key, and return the facts about it."""
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(chain)
    key_file.write_bytes(key)
    context = new_context()
    context.load_cert_chain(cert_file, key_file)
    return read_certificate(context, str(cert_file))


def self_signed(
    folder: Path, *extensions: x509.ExtensionType, expiry: datetime = END
) -> Certificate | None:
    """Return the facts about a self-signed certificate with these extensions."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "relay")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, BEGIN, expiry)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return read(
        folder,
        builder.sign(key, SHA256()).public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def test_of_an_authority(tmp_path: Path) -> None:
    """Names are hosts and addresses; the certificate of the authority is not in the file."""
    authority = trustme.CA().create_child_ca()
    leaf = authority.issue_cert("relay.example", "*.relay.example", "192.0.2.1", not_after=END)
    chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
    assert chain.count(b"BEGIN CERTIFICATE") == 2
    found = read(tmp_path, chain, leaf.private_key_pem.bytes())
    assert found == (("relay.example", "*.relay.example", "192.0.2.1"), END.timestamp())


@pytest.mark.parametrize("expiry", [END, BEGIN + timedelta(days=1)])
def test_self_signed(tmp_path: Path, expiry: datetime) -> None:
    """A certificate may have no authority and no names, and may have expired."""
    assert self_signed(tmp_path, expiry=expiry) == ((), expiry.timestamp())
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("::1"))])
    found = self_signed(tmp_path, names, expiry=expiry)
    assert found == (("0:0:0:0:0:0:0:1",), expiry.timestamp())


def test_names_of_other_kinds(tmp_path: Path) -> None:
    """Only host names and addresses are names: the value of another kind may be no text."""
    person = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "person")])
    names = [x509.DirectoryName(person), x509.DNSName("relay.example"), x509.RFC822Name("a@b.c")]
    found = self_signed(tmp_path, x509.SubjectAlternativeName(names))
    assert found == (("relay.example",), END.timestamp())


def test_tls_1_2(tmp_path: Path) -> None:
    """A certificate is also read from a context that only speaks TLS 1.2."""
    certificate = certificates.Certificate(tmp_path)
    context = new_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate.cert, certificate.key)
    found = read_certificate(context, str(certificate.cert))
    assert found is not None
    assert found.names == ("localhost", "127.0.0.1")


def test_not_for_servers(tmp_path: Path) -> None:
    """A certificate that every client refuses is not read, which is no error."""
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    assert self_signed(tmp_path, usage) is None


def test_no_certificate() -> None:
    """A context without a certificate, and a file that is gone, are no errors."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert read_certificate(context, "/nowhere") is None


def test_reload(tmp_path: Path) -> None:
    """A reload reads the new certificate."""
    certificate = certificates.Certificate(tmp_path)
    files = CertificateFiles(str(certificate.cert), str(certificate.key))
    before = files.certificate
    assert before is not None
    assert before.names == ("localhost", "127.0.0.1")
    certificate.renew(expiry=END)
    files.reload()
    assert files.certificate == (before.names, END.timestamp())
