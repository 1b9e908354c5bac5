"""Proxies with a shipped configuration."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import ClassVar

from .proxy import LIMIT, Proxy

__all__ = ["PROXIES", "Caddy", "Envoy", "Haproxy", "Nginx"]

CERTIFICATE = "/etc/letsencrypt/live/relay.example"


class Nginx(Proxy):
    """nginx, which SIGHUP reloads."""

    name = "nginx"
    file = "nginx.conf"
    idle: ClassVar = {"read_timeout 1h": "read_timeout 2s", "send_timeout 1h": "send_timeout 2s"}

    def substitutions(self) -> Mapping[str, str]:
        return {
            "listen 443": f"listen {self.port}",
            "[::]:443": f"[::]:{self.port}",
            "listen 80;": f"listen {self.second_port};",
            "[::]:80;": f"[::]:{self.second_port};",
            f"{CERTIFICATE}/fullchain.pem": str(self.certificate.chain),
            f"{CERTIFICATE}/privkey.pem": str(self.certificate.key),
            "/var/log/nginx/": f"{self.directory}/nginx-",
            "/run/nginx.pid": f"{self.directory}/nginx.pid",
        }

    def command(self) -> list[str]:
        return [str(self.program), "-c", str(self.config), "-g", "daemon off;"]


class Haproxy(Proxy):
    """HAProxy, which logs to a socket; its first process remains after a reload."""

    name = "haproxy"
    file = "haproxy.cfg"
    idle: ClassVar = {"timeout tunnel 1h": "timeout tunnel 2s"}
    remembers = True
    learning = 6.0
    reload_signal = signal.SIGUSR2

    def substitutions(self) -> Mapping[str, str]:
        return {
            "bind :443": f"bind :{self.port}",
            "bind :::443": f"bind :::{self.port}",
            "127.0.0.1:8764": f"127.0.0.1:{self.second_port}",
            "/etc/haproxy/relay.example.pem": str(self.certificate.both),
            "/dev/log": str(self.directory / "log"),
        }

    def line(self, shipped: str, number: int, port: int) -> str:
        line = super().line(shipped, number, port)
        return line.replace("relay1", f"relay{number}").replace("id 1", f"id {number}")

    def command(self) -> list[str]:
        return [str(self.program), "-W", "-db", "-f", str(self.config)]

    async def start(self, relays: Sequence[int]) -> None:
        path = str(self.directory / "log")
        self.syslog = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.syslog.bind(path)
        os.chmod(path, 0o666)  # noqa: PTH101, S103 - HAProxy is somebody else by then
        self.logging = Thread(target=self.keep_log)
        self.logging.start()
        await super().start(relays)

    def keep_log(self) -> None:
        """Write the log to a file, until an empty line arrives."""
        with (self.directory / "haproxy-syslog.log").open("wb") as log:
            while line := self.syslog.recv(65536):
                log.write(line)

    def stop(self) -> None:
        if not self.processes:
            return
        super().stop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self.directory / "log"))
        self.logging.join()
        self.syslog.close()


class Caddy(Proxy):
    """Caddy, which its command `reload` reloads."""

    name = "caddy"
    file = "several.Caddyfile"

    def substitutions(self) -> Mapping[str, str]:
        return {
            "relay.example {": f"https://relay.example:{self.port} {{",
            "admin@relay.example": f"{self.certificate.chain} {self.certificate.key}",
            "/var/log/caddy/": f"{self.directory}/caddy-",
        }

    def environment(self) -> Mapping[str, str]:
        home = str(self.directory)
        return {
            "HOME": home,
            "XDG_CONFIG_HOME": home,
            "XDG_DATA_HOME": home,
            "CADDY_ADMIN": f"127.0.0.1:{self.second_port}",
        }

    def command(self) -> list[str]:
        return [str(self.program), "run", *self.arguments()]

    def arguments(self) -> list[str]:
        """Return the arguments of the start and of a reload."""
        return ["--adapter", "caddyfile", "--config", str(self.config)]

    def reload(self, relays: Sequence[int]) -> None:
        self.write(relays)
        with self.output.open("ab") as output:
            subprocess.run(
                [str(self.program), "reload", *self.arguments()],
                check=True,
                stdout=output,
                stderr=output,
                env=os.environ | self.environment(),
                timeout=LIMIT,
            )


class Envoy(Proxy):
    """Envoy, whose new process replaces the old one when the configuration changes."""

    name = "envoy"
    file = "envoy.yaml"
    relay = "address: 127.0.0.1, port_value: 8765"
    idle: ClassVar = {"stream_idle_timeout: 3600s": "stream_idle_timeout: 2s"}
    disturbed = 0.01

    def substitutions(self) -> Mapping[str, str]:
        return {
            "port_value: 443": f"port_value: {self.port}",
            f"{CERTIFICATE}/fullchain.pem": str(self.certificate.chain),
            f"{CERTIFICATE}/privkey.pem": str(self.certificate.key),
            "/var/log/envoy/": f"{self.directory}/envoy-",
        }

    def command(self) -> list[str]:
        options = {
            "-c": str(self.config),
            "--concurrency": "2",
            "--base-id": str(self.port),
            "--restart-epoch": str(len(self.processes)),
            "--drain-time-s": "1",
            "--parent-shutdown-time-s": "3600",
        }
        return [str(self.program), *(word for option in options.items() for word in option)]

    def reload(self, relays: Sequence[int]) -> None:
        self.write(relays)
        self.launch(self.command())

    def stop(self) -> None:
        super().stop()
        for left in Path("/dev/shm").glob(f"envoy_shared_memory_{self.port}?"):  # noqa: S108
            left.unlink()


PROXIES: tuple[type[Proxy], ...] = (Nginx, Haproxy, Caddy, Envoy)
