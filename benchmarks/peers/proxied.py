"""arc-relay on a unix socket behind a proxy that ends TLS.

Arguments: a configuration file of the proxy, and its command. The command and the file have
@NAMES@ in place of paths and the port.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def fill(text: str, names: Mapping[str, object]) -> str:
    """Replace each @NAME@ of a text."""
    for name, value in names.items():
        text = text.replace(f"@{name}@", str(value))
    return text


@contextmanager
def running(command: Sequence[str], connect: Callable[[], None]) -> Iterator[None]:
    """Run a program from the moment that it accepts connections until the block ends."""
    # The relay would serve TLS itself.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ARC_RELAY_")}
    with subprocess.Popen(command, env=environment) as child:  # noqa: S603 - of the benchmark
        try:
            while True:
                try:
                    connect()
                    break
                except OSError:
                    if child.poll() is not None:
                        sys.exit(f"{command[0]} ended with status {child.returncode}")
                    time.sleep(0.02)
            yield
        finally:
            child.terminate()


def connect_unix(path: Path) -> None:
    """Connect to a unix socket and close the connection."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def main(template: str, *command: str) -> None:
    """Run the relay and the proxy until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        relay, config, port = directory / "relay", directory / "config", free_port()
        names = {
            "CERT": os.environ["TLS_CERT"],
            "KEY": os.environ["TLS_KEY"],
            "PORT": port,
            "RELAY": relay,
            "CONFIG": config,
            "DIRECTORY": directory,
        }
        config.write_text(fill(Path(template).read_text(encoding="ascii"), names), "ascii")
        start = [sys.executable, "-m", "relay", "start", "--unix-socket", str(relay)]
        stack.enter_context(running(start, lambda: connect_unix(relay)))
        proxy = [fill(argument, names) for argument in command]
        stack.enter_context(
            running(proxy, lambda: socket.create_connection(("127.0.0.1", port)).close())
        )
        print(f"listening on 127.0.0.1:{port}")
        signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    main(*sys.argv[1:])
