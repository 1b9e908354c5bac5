"""Peers that arc-relay is compared with: their installation and their commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.children import Pairing, PeerError
from benchmarks.gate import OURS
from benchmarks.workloads import Workload

_HERE = Path(__file__).parent
BALANCER = _HERE / "balancer.cfg"
"""Configuration of HAProxy in front of several relays, without the lines of the relays."""
_BUILD = _HERE.parents[1] / "build" / "benchmarks"
_INSTALL_SECONDS = 180.0
_GO_SOURCES = "/usr/share/gocode"
_WS, _BUN = "ws@8.18", "bun@1.4"


@dataclass(frozen=True)
class Peer:
    """One relay to measure.

    `prepare` installs what it needs, once a run, and returns the command that starts
    it; it raises PeerError where the toolchain is absent. The command is the same for
    plain connections and TLS, which the environment turns on.
    """

    name: str
    title: str
    prepare: Callable[[], list[str]]
    pairing: Pairing = Pairing.QUERY
    inherits_listener: bool = False
    serves_plain: bool = True
    serves_tls: bool = True

    def serves(self, workload: Workload) -> bool:
        """Return True if the peer has the pairing and the transport of a workload."""
        has_transport = self.serves_tls if workload.tls else self.serves_plain
        return has_transport and self.pairing in workload.pairings


def _python(script: str, *modules: str) -> Callable[[], list[str]]:
    def prepare() -> list[str]:
        _require_modules(*modules)
        return [sys.executable, str(_HERE / script)]

    return prepare


def _ours() -> list[str]:
    _require_modules("relay")
    return [sys.executable, "-m", "relay", "start", "--host", "127.0.0.1", "--port", "0"]


def _node() -> list[str]:
    node, packages = _require_program("node"), _npm(_WS)
    return [node, str(_HERE / "relay.mjs"), str(packages)]


def _bun() -> list[str]:
    return [str(_npm(_BUN) / "node_modules/.bin/bun"), str(_HERE / "relay_bun.mjs")]


def _npm(package: str) -> Path:
    # A directory for each: npm removes what a directory has besides.
    npm, directory = _require_program("npm"), _BUILD / package
    if not (directory / "node_modules").is_dir():
        directory.mkdir(parents=True, exist_ok=True)
        _install([npm, "install", "--no-save", "--prefix", str(directory), package])
    return directory


def _go() -> list[str]:
    go, built = _require_program("go"), _BUILD / "relay-go"
    if not Path(_GO_SOURCES, "src/github.com/gorilla/websocket").is_dir():
        raise PeerError("golang-github-gorilla-websocket-dev is not installed")
    _install(
        [go, "build", "-o", str(built), str(_HERE / "relay.go")],
        GO111MODULE="off",
        GOPATH=_GO_SOURCES,
    )
    return [str(built)]


def _wormhole() -> list[str]:
    _require_modules("wormhole_transit_relay")
    return [sys.executable, "-m", "twisted", "transitrelay", "--port=tcp:0:interface=127.0.0.1"]


def _haproxy() -> list[str]:
    return [_require_program("haproxy"), "-db", "-q", "-f", str(_HERE / "haproxy.cfg")]


def _proxied(program: str, template: str, *arguments: str) -> Callable[[], list[str]]:
    def prepare() -> list[str]:
        launcher = [sys.executable, str(_HERE / "proxied.py"), str(_HERE / template)]
        return [*launcher, _require_program(program), *arguments]

    return prepare


def _require_modules(*names: str) -> None:
    for name in names:
        if find_spec(name) is None:
            raise PeerError(f"the Python package {name} is not installed")


def _require_program(name: str) -> str:
    # Debian keeps daemons where an ordinary person's path does not look.
    if found := shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"):
        return found
    raise PeerError(f"{name} is not installed")


def _install(command: list[str], **environment: str) -> None:
    try:
        subprocess.run(  # noqa: S603 - the commands are ours, above
            command,
            env=os.environ | environment,
            capture_output=True,
            check=True,
            text=True,
            timeout=_INSTALL_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        raise PeerError((error.stderr.strip() or "failed").splitlines()[-1]) from error
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"not installed within {_INSTALL_SECONDS:.0f} s") from error


PEERS = (
    Peer(OURS, "arc-relay", _ours),
    Peer("node-ws", "Node ws", _node),
    Peer("bun", "Bun", _bun),
    Peer("go-gorilla", "Go gorilla", _go),
    Peer(
        "websockets-uvloop",
        "websockets + uvloop",
        _python("uvloop_websockets.py", "uvloop", "websockets"),
    ),
    Peer(
        "trio-websocket",
        "trio-websocket loop",
        _python("trio_websocket_loop.py", "trio_websocket"),
    ),
    Peer(
        "nginx",
        "nginx + arc-relay",
        _proxied("nginx", "nginx.conf", "-e", "stderr", "-c", "@CONFIG@"),
        serves_plain=False,
    ),
    Peer(
        "caddy",
        "Caddy + arc-relay",
        _proxied("caddy", "Caddyfile", "run", "--adapter", "caddyfile", "--config", "@CONFIG@"),
        serves_plain=False,
    ),
    Peer("wormhole", "wormhole transit", _wormhole, Pairing.LINE, serves_tls=False),
    Peer("trio-splice", "trio raw splice", _python("trio_splice.py", "trio"), Pairing.SPLICE),
    Peer("haproxy", "HAProxy raw splice", _haproxy, Pairing.SPLICE, inherits_listener=True),
)
REFERENCE = "node-ws"
LIMITS = ("haproxy", "trio-splice")
"""Peers that only copy bytes: the first measured one shows the maximum speed of the load."""
