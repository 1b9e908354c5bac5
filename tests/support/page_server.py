"""HTTP server of a page under test, in a thread. Browsers trust localhost like https://."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self

import trio

ROOT: Final = Path(__file__).parents[2]


class PageServer:
    """Server of the files of the repository, of a task, and of what the page reports.

    Args:
        task: Body of ``/task``.
        report: Function that is called in trio for each body that is posted to ``/output``.
    """

    def __init__(self, task: str, report: Callable[[bytes], object]) -> None:
        self.task = task
        self._token = trio.lowlevel.current_trio_token()
        self._report = report
        handler = partial(Handler, self, directory=str(ROOT))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def report(self, body: bytes) -> None:
        """Call the function in trio."""
        self._token.run_sync_soon(partial(self._report, body))

    @property
    def url(self) -> str:
        """URL of the root of the repository."""
        return f"http://localhost:{self._server.server_port}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Handler(SimpleHTTPRequestHandler):
    """Handler of a request."""

    extensions_map = {  # noqa: RUF012 - as in the base class
        ".mjs": "text/javascript",
        ".html": "text/html",
    }

    def __init__(self, pages: PageServer, *arguments: Any, **options: Any) -> None:
        self._pages = pages
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        """Send the task or a file."""
        if self.path != "/task":
            return super().do_GET()
        body = self._pages.task.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def do_POST(self) -> None:
        """Report the body."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._pages.report(body)
        self.send_response(HTTPStatus.NO_CONTENT)
        self.end_headers()

    def log_message(self, format: str, *_: Any) -> None:
        """Log nothing."""
