"""The certificate of every peer over TLS, and the contexts of the load.

openssl.cnf limits the load, and every peer on OpenSSL, to one cipher suite and one group. A
server chooses among those that the client offers, so each peer does the same cryptography.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import ssl
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import trustme

OPENSSL_CONF = str(Path(__file__).parent / "peers" / "openssl.cnf")


@dataclass(frozen=True)
class TLS:
    """A certificate for 127.0.0.1, and the contexts of the load.

    `environment` has the paths of its files for the peers. The client does not verify
    certificates. The server is side B of a splice.
    """

    environment: dict[str, str]
    client: ssl.SSLContext
    server: ssl.SSLContext


@functools.cache
def make_tls() -> TLS:
    """Return the certificate of this run; its files are removed at the end of the process."""
    directory = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, directory)
    issued = trustme.CA().issue_cert("127.0.0.1")
    cert, key, both = (directory / name for name in ("cert.pem", "key.pem", "both.pem"))
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    issued.private_key_and_cert_chain_pem.write_to_path(both)
    client, server = (
        ssl.SSLContext(protocol) for protocol in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER)
    )
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    server.load_cert_chain(both)
    for context in (client, server):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    environment = {
        "TLS_CERT": str(cert),
        "TLS_KEY": str(key),
        "TLS_BOTH": str(both),
        "ARC_RELAY_TLS_CERT": str(cert),
        "ARC_RELAY_TLS_KEY": str(key),
    }
    return TLS(environment, client, server)


def restart_with_openssl_conf() -> None:
    """Restart this process with openssl.cnf, which OpenSSL reads only once, when it is loaded."""
    if os.environ.get("OPENSSL_CONF") != OPENSSL_CONF:
        environment = os.environ | {"OPENSSL_CONF": OPENSSL_CONF}
        command = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, command, environment)  # noqa: S606 - this program again
