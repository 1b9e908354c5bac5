"""TLS with certificates from files, which change during connections."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from relay.daemon import tls
from relay.daemon.errors import StartError
from relay.daemon.listeners import open_tcp
from relay.daemon.tls import CertificateFiles
from relay.transport.accepted_socket import AcceptedSocket
from relay.transport.wrap import wrap_stream
from tests.support.certificates import Certificate, client_context

AUTHORITY = trustme.CA()
RSA, EC = trustme.KeyType.RSA, trustme.KeyType.ECDSA
CERTS = {
    kind: [AUTHORITY.issue_cert("localhost", key_type=kind) for _ in range(2)] for kind in (RSA, EC)
}

# A ClientHello with a version, a random, no session, two suites, one of them for TLS 1.1, no
# compression, and the extensions that say which signatures and curves the client knows.
HELLO = """
    160301 0041 01 00003d 03{minor} {random} 00 0004 c02f c013 01 00
    0010 000d 0004 0002 0804 000a 0004 0002 0017
"""


class Files:
    """Paths of a certificate and its key."""

    def __init__(self, folder: Path) -> None:
        self.cert = folder / "cert.pem"
        self.key = folder / "key.pem"

    def write(self, cert: trustme.LeafCert) -> None:
        """Write a certificate and its key."""
        self.cert.write_bytes(b"".join(pem.bytes() for pem in cert.cert_chain_pems))
        self.key.write_bytes(cert.private_key_pem.bytes())

    def load(self) -> CertificateFiles:
        """Load the files."""
        return CertificateFiles(str(self.cert), str(self.key))

    def refused(self) -> str:
        """Return the error message for the files, with CERT and KEY for their paths."""
        with pytest.raises(StartError) as caught:
            self.load()
        return self.shorten(caught.value)

    def shorten(self, error: StartError) -> str:
        """Return an error message with CERT and KEY for the paths."""
        return str(error).replace(repr(str(self.cert)), "CERT").replace(repr(str(self.key)), "KEY")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Return the files of an RSA certificate."""
    files = Files(tmp_path)
    files.write(CERTS[RSA][0])
    return files


class Server:
    """Listener with TLS that echoes the bytes of each client."""

    def __init__(
        self, certificate: CertificateFiles, listener: trio.SocketListener, nursery: trio.Nursery
    ) -> None:
        self.files = certificate
        self._nursery = nursery
        self.port = listener.socket.getsockname()[1]
        self.left = trio.Event()
        self.failures = 0
        [self.listener] = certificate.wrap([listener])

    async def serve(self) -> None:
        """Serve until cancelled."""
        await trio.serve_listeners(self._echo, [self.listener])

    async def _echo(self, accepted: AcceptedSocket) -> None:
        transport = wrap_stream(accepted, self._nursery)
        try:
            await transport.handshake()
            while data := await transport.receive_some(1000):
                await transport.send_all(data)
        except trio.BrokenResourceError:
            self.failures += 1
        await transport.aclose()
        self.left.set()

    async def connect(
        self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, protocol: str = "http/1.1"
    ) -> trio.SSLStream[trio.SocketStream]:
        """Return a connection of a client with one version and one protocol."""
        context = ssl.create_default_context()
        context.maximum_version = version
        context.set_alpn_protocols([protocol])
        AUTHORITY.configure_trust(context)
        tcp = await trio.open_tcp_stream("127.0.0.1", self.port)
        return trio.SSLStream(tcp, context, server_hostname="localhost", https_compatible=True)


@pytest.fixture
async def server(files: Files, nursery: trio.Nursery, time_limit: None) -> AsyncIterator[Server]:
    """Run a server with these files."""
    [listener] = await open_tcp("127.0.0.1", 0)
    server = Server(files.load(), listener, nursery)
    nursery.start_soon(server.serve)
    yield server
    nursery.cancel_scope.cancel()


async def echo(stream: trio.SSLStream[trio.SocketStream]) -> bytes:
    """Send and receive bytes, and return the certificate of the server."""
    await stream.send_all(b"hello")
    assert await stream.receive_some(10) == b"hello"
    found = stream.getpeercert(binary_form=True)
    assert isinstance(found, bytes)
    return found


def der(cert: trustme.LeafCert) -> bytes:
    """Return a certificate in the form of `echo`."""
    return ssl.PEM_cert_to_DER_cert(cert.cert_chain_pems[0].bytes().decode())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("before", [RSA, EC])
@pytest.mark.parametrize("after", [RSA, EC])
async def test_reload(
    files: Files,
    server: Server,
    version: ssl.TLSVersion,
    before: trustme.KeyType,
    after: trustme.KeyType,
) -> None:
    """New connections get the new certificate, of any kind; an old connection goes on."""
    first, second = CERTS[before][0], CERTS[after][1]
    files.write(first)
    server.files.reload()
    async with await server.connect(version) as old:
        assert await echo(old) == der(first)
        files.write(second)
        server.files.reload()
        async with await server.connect(version) as new:
            assert await echo(new) == der(second)
        assert await echo(old) == der(first)


async def test_bad_reload(files: Files, server: Server) -> None:
    """Unusable files change nothing, and are named."""
    files.cert.write_bytes(CERTS[RSA][1].cert_chain_pems[0].bytes())  # and still the old key
    with pytest.raises(StartError) as caught:
        server.files.reload()
    assert files.shorten(caught.value) == (
        "--tls-key KEY holds no private key in PEM form that belongs to --tls-cert CERT"
    )
    async with await server.connect() as stream:
        assert await echo(stream) == der(CERTS[RSA][0])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_protocol(server: Server, version: ssl.TLSVersion) -> None:
    """A client that offers HTTP/1.1 gets it; a client with other protocols gets none."""
    async with await server.connect(version) as stream:
        await echo(stream)
        assert stream.selected_alpn_protocol() == "http/1.1"
        assert stream.version() == ("TLSv1.2" if version == ssl.TLSVersion.TLSv1_2 else "TLSv1.3")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_no_tickets(server: Server, version: ssl.TLSVersion) -> None:
    """No client can resume a session, and so miss a new certificate."""
    async with await server.connect(version) as stream:
        await echo(stream)
        found = stream.session
        assert found is None or not found.has_ticket


async def test_ends_as_https_does(server: Server) -> None:
    """A client that ends TCP without close_notify has left, and is no failure."""
    client = await server.connect()
    await echo(client)
    await trio.aclose_forcefully(client)
    await server.left.wait()
    assert not server.failures


@pytest.mark.parametrize(("minor", "answer"), [("02", b"\x15\x03\x02"), ("03", b"\x16\x03\x03")])
async def test_old_versions(server: Server, minor: str, answer: bytes) -> None:
    """The same hello gets a response with TLS 1.2, and an alert with TLS 1.1."""
    async with await trio.open_tcp_stream("127.0.0.1", server.port) as client:
        await client.send_all(bytes.fromhex(HELLO.format(minor=minor, random="00" * 32)))
        assert await client.receive_some(3) == answer


@pytest.mark.parametrize("option", ["cert", "key"])
def test_no_file(files: Files, option: str) -> None:
    """A file that cannot be read is named in the error, with the reason."""
    path: Path = getattr(files, option)
    path.unlink()
    shown = option.upper()
    assert files.refused() == f"cannot read --tls-{option} {shown}: No such file or directory"
    path.mkdir()
    assert files.refused() == f"--tls-{option} {shown} is a directory, not a regular file"


@pytest.mark.parametrize("option", ["cert", "key"])
def test_no_regular_file(files: Files, option: str) -> None:
    """A pipe, such as ``<(command)`` of a shell, and an endless file are refused."""
    path: Path = getattr(files, option)
    content = path.read_bytes()
    path.write_bytes(content + b"\n" * (1 << 20))
    assert files.refused() == f"--tls-{option} {option.upper()} is larger than 1048576 bytes"
    path.unlink()
    os.mkfifo(path)
    why = "is a FIFO or pipe, not a regular file"
    assert files.refused() == f"--tls-{option} {option.upper()} {why}"


@pytest.mark.parametrize("size", [0, 100, 500])
@pytest.mark.parametrize("option", ["cert", "key"])
def test_truncated(files: Files, option: str, size: int) -> None:
    """An empty or truncated file is named in the error."""
    path: Path = getattr(files, option)
    path.write_bytes(path.read_bytes()[:size])
    assert (
        files.refused()
        == {
            "cert": "--tls-cert CERT holds no certificate in PEM form",
            "key": "--tls-key KEY holds no private key in PEM form that belongs to --tls-cert CERT",
        }[option]
    )


def test_garbage(files: Files) -> None:
    """Files with other content are named in the error, the certificate first."""
    files.key.write_bytes(bytes(range(256)))
    assert files.refused() == (
        "--tls-key KEY holds no private key in PEM form that belongs to --tls-cert CERT"
    )
    files.cert.write_bytes(bytes(range(256)))
    assert files.refused() == "--tls-cert CERT holds no certificate in PEM form"


@pytest.mark.parametrize("kind", [RSA, EC])
def test_key_of_another_certificate(files: Files, kind: trustme.KeyType) -> None:
    """A key of another certificate is refused, of any kind."""
    files.key.write_bytes(CERTS[kind][1].private_key_pem.bytes())
    assert files.refused() == (
        "--tls-key KEY holds no private key in PEM form that belongs to --tls-cert CERT"
    )


def test_passphrase(files: Files) -> None:
    """An encrypted key is refused without a prompt for its passphrase."""
    key = load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )
    assert files.refused() == "--tls-key KEY needs a passphrase; give a key without one"


def test_weak(files: Files) -> None:
    """A certificate that clients would refuse is refused."""
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is what is wrong with it
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(1))
    files.cert.write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert files.refused() == "--tls-cert CERT is too weak: ee key too small"


async def test_name_that_is_not_ascii(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], nursery: trio.Nursery
) -> None:
    """A client with an unusual server name appears in no output."""
    certificate = Certificate(tmp_path)
    files = CertificateFiles(str(certificate.cert), str(certificate.key))
    (listener,) = files.wrap(await open_tcp("127.0.0.1", 0))
    assert isinstance(listener.transport_listener, trio.SocketListener)
    address = listener.transport_listener.socket.getsockname()
    hello, incoming = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(incoming, hello, server_hostname="canary--.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    async with listener:
        async with await trio.open_tcp_stream(*address) as stream:
            await stream.send_all(hello.read().replace(b"canary--", b"canary\xff\xfe"))
        async with wrap_stream(await listener.accept(), nursery) as transport:
            with pytest.raises(trio.BrokenResourceError):
                await transport.handshake()
    assert capfd.readouterr() == ("", "")


class Gone:
    """Context for files that are missing."""

    def load_verify_locations(self, path: str) -> None:
        """Raise the error for a missing file."""
        raise FileNotFoundError(2, "No such file or directory", path)


def test_files_that_go_while_they_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload while the files are being replaced fails with a message."""
    certificate = Certificate(tmp_path)
    files = CertificateFiles(str(certificate.cert), str(certificate.key))
    context = files.context
    monkeypatch.setattr(tls, "new_context", Gone)
    with pytest.raises(StartError, match="No such file"):
        files.reload()
    assert files.context is context
