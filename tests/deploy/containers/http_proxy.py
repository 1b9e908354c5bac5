"""A forward proxy for a container without a network, for apt and pip.

The proxy listens inside the network namespace of the container. It connects to the mirrors from the
namespace of the tests, because a socket stays in the namespace in which it was made.
"""

from __future__ import annotations

import http.client
import select
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Final
from urllib.parse import urlsplit

from .podman import network_of

PROXY: Final = ("127.0.0.1", 3142)
SECONDS: Final = 60
CHUNK: Final = 1 << 16
HOP_BY_HOP: Final = {"connection", "proxy-connection", "keep-alive", "transfer-encoding"}


class Handler(BaseHTTPRequestHandler):
    """Forward one request."""

    protocol_version = "HTTP/1.1"
    timeout = SECONDS

    def do_CONNECT(self) -> None:
        """Open a tunnel, and copy bytes in both directions until one end closes it."""
        host, _, port = self.path.rpartition(":")
        self.close_connection = True
        try:
            upstream = socket.create_connection((host, int(port)), SECONDS)
        except OSError:
            self.send_error(502)
            return
        self.send_response(200)
        self.end_headers()
        ends = {self.connection: upstream, upstream: self.connection}
        with upstream, suppress(OSError):
            while True:
                for readable in select.select([*ends], [], [], SECONDS)[0]:
                    if not (data := readable.recv(CHUNK)):
                        return
                    ends[readable].sendall(data)

    def do_GET(self) -> None:
        """Forward a request for an absolute URL, and its response."""
        url = urlsplit(self.path)
        headers = {
            name: text for name, text in self.headers.items() if name.lower() not in HOP_BY_HOP
        }
        upstream = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=SECONDS)
        self.close_connection = True
        try:
            upstream.request("GET", url._replace(scheme="", netloc="").geturl(), headers=headers)
            response = upstream.getresponse()
        except OSError:
            self.send_error(502)
            return
        with closing(upstream), response, suppress(OSError):
            self.send_response_only(response.status)
            for name, text in response.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, text)
            self.send_header("Connection", "close")
            self.end_headers()
            shutil.copyfileobj(response, self.wfile, CHUNK)

    def log_message(self, *_: object) -> None:
        """Write no log."""


@contextmanager
def forward_proxy(process: int) -> Iterator[str]:
    """Serve in the network of a process; return the URL of the proxy."""
    with network_of(process):
        server = ThreadingHTTPServer(PROXY, Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{PROXY[0]}:{PROXY[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
