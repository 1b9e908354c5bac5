"""Run the commands of README.md as a new user does, in a clone.

Usage: `readme.py run` for the commands that share and run, and the smoke test; `readme.py test` for
the tests.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Thread
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
LISTENING = re.compile(r"arc-relay listening on ws://127\.0\.0\.1:(\d+) ")
START_TIMEOUT = 300.0
"""Seconds for an installation and a start on a busy machine."""


def blocks(heading: str) -> list[str]:
    """Return the shell blocks below a heading of README.md."""
    text = (ROOT / "README.md").read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    if not found:
        raise SystemExit(f"README.md has no shell block below {heading!r}")
    return found


def block(heading: str) -> str:
    """Return the first shell block below a heading of README.md."""
    return blocks(heading)[0]


def clone(folder: Path) -> tuple[Path, dict[str, str]]:
    """Return a clone of this checkout, and an environment whose python3 is this Python."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(sys.executable)
    subprocess.run(["git", "clone", "-q", ROOT, folder / "clone"], check=True)
    return folder / "clone", os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}


def wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Return the port that the relay prints; raise SystemExit if it does not start."""
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        if found := LISTENING.search(log.read_text()):
            return int(found[1])
        time.sleep(0.2)
    raise SystemExit(f"the README's command started no relay:\n{log.read_text()}")


def relay_of(shell: int) -> int:
    """Return the PID of the relay: the child of the shell, or the shell itself after exec."""
    children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
    return int(children[0]) if children else shell


def run(folder: Path) -> None:
    """Start the relay with its command, exchange messages, share a port, and stop it."""
    checkout, variables = clone(folder)
    local = variables | {"ARC_RELAY_HOST": "127.0.0.1", "ARC_RELAY_PORT": "0"}
    # The relay reads the files of its test page, which the wheel must contain, at the start.
    local["ARC_RELAY_TEST_PAGE"] = "true"
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-c", block("Run it for others")],
            cwd=checkout,
            env=local,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        port = wait_for_port(process, log)
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as response:
            health = response.read()
        if health != b'{"ok":true,"pairs":0}':
            raise SystemExit(f"/health answered {health!r}")
        exchange = block("Try it").replace(":8765", f":{port}")
        said = subprocess.run(
            ["bash", "-c", exchange], cwd=checkout, check=True, capture_output=True, text=True
        ).stdout
        if said != "b'hello from the phone'\nb'hello from home'\n":
            raise SystemExit(f"the smoke test printed {said!r}")
        use(checkout, folder, local, port)
        os.kill(relay_of(process.pid), signal.SIGTERM)
        status = process.wait(30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        print(log.read_text(), end="")
    if status:
        raise SystemExit(f"the relay stopped with status {status}")
    print("health, an exchange, a session, and a stop with status 0")


def use(checkout: Path, folder: Path, variables: dict[str, str], port: int) -> None:
    """Run the commands that share the ssh server and reach it, with an echo server in its place.

    The program ssh is replaced by a script that runs its ProxyCommand and nothing else.
    """
    install, share, paste, connect = blocks("Use it")
    subprocess.run(["bash", "-c", install], cwd=checkout, env=variables, check=True)
    ssh = folder / "bin/ssh"
    ssh.write_text('#!/bin/sh\nexec sh -c "${2#ProxyCommand=}"\n')
    ssh.chmod(0o755)
    away = folder / "away"
    away.mkdir()
    (away / ".venv").symlink_to(checkout / ".venv")
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=echo_once, args=(server,), daemon=True).start()
        target = f"share :{server.getsockname()[1]} "
        share = share.replace("share ssh ", target)
        share = share.replace("wss://relay.example/", f"ws://127.0.0.1:{port}/")
        host = subprocess.Popen(["bash", "-c", f"exec {share}"], cwd=checkout, env=variables)
        try:
            deadline = time.monotonic() + START_TIMEOUT
            file = checkout / "home.link"
            # The file is empty for a moment.
            while not (file.exists() and file.stat().st_size) and time.monotonic() < deadline:
                time.sleep(0.2)
            link = file.read_text()
            for command, text in ((paste, link), (connect, "hello from the laptop")):
                said = subprocess.run(
                    ["bash", "-c", command],
                    cwd=away,
                    env=variables,
                    check=True,
                    input=text,
                    capture_output=True,
                    text=True,
                    timeout=START_TIMEOUT,
                ).stdout
        finally:
            host.terminate()
            status = host.wait(30)
    if said != "hello from the laptop":
        raise SystemExit(f"the session through the relay printed {said!r}")
    if status != 128 + signal.SIGTERM:
        raise SystemExit(f"share stopped with status {status}")


def echo_once(server: socket.socket) -> None:
    """Accept one connection, and return what it sends."""
    connection, _ = server.accept()
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)


def test(folder: Path) -> None:
    """Run the test command."""
    checkout, variables = clone(folder)
    done = subprocess.run(
        ["bash", "-c", block("Test it")], cwd=checkout, env=variables, check=False
    )
    if done.returncode:
        raise SystemExit(f"the README's test command failed with status {done.returncode}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        {"run": run, "test": test}[sys.argv[1]](Path(temporary))
