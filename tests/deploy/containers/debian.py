"""A new Debian system with systemd, as a container, for the commands of the documents.

Three things differ from a new machine. apt and pip use a proxy of the tests, because the container
has no network. Certificates come from a local authority. The container images that the commands
would pull from a registry are there already.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.deploy.certificates import HOST
from tests.deploy.programs import find_program

from .building import ROOT, apt_mirror, authorities, pip_settings, run
from .http_proxy import forward_proxy
from .machine import boot
from .podman import SETTINGS, Container, Podman

__all__ = ["Debian", "build_debian", "start_debian", "write_images"]

# runc, because this container may not run the crun of Debian: see podman.SETTINGS.
PACKAGES: Final = "systemd,systemd-sysv,dbus,procps,iproute2,ca-certificates,runc"
CLONE: Final = (
    *("Containerfile", ".containerignore", "LICENSE", "README.md", "pyproject.toml"),
    *("requirements.txt", "requirements-build.txt", "relay", "deploy"),
)
DIRECTORY: Final = "https://authority.example:9443/acme/local/directory"
AUTHORITY: Final = """
{
    admin off
    skip_install_trust
    auto_https disable_redirects
}
https://authority.example:9443 {
    tls internal
    acme_server
}
"""
# Mounted into every container of the inner podman, and into its builds.
INNER_SETTINGS: Final = """
netns = "host"
volumes = ["/etc/pip.conf:/etc/pip.conf:ro", "/share/authorities.crt:/share/authorities.crt:ro",
  "/etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro"]
"""
PREPARE: Final = f"""
set -eu
echo 'Acquire::http::Proxy "PROXY"; Acquire::Languages "none";' >/etc/apt/apt.conf.d/99test
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/test
printf '[global]\\nproxy = PROXY\\ncert = /share/authorities.crt\\n' >/etc/pip.conf
cat /share/pip.conf >>/etc/pip.conf
mkdir -p /etc/containers ~/.config/letsencrypt
cp /share/containers.conf /etc/containers/
echo 'server = {DIRECTORY}' >~/.config/letsencrypt/cli.ini
echo 127.0.0.1 {HOST} authority.example >>/etc/hosts
systemd-run --quiet --unit=authority --setenv=HOME=/srv/authority \\
  /share/caddy run --adapter caddyfile --config /share/authority
root=/srv/authority/.local/share/caddy/pki/authorities/local/root.crt
for attempt in $(seq 100); do
  journalctl --quiet --unit=authority | grep --quiet 'serving initial configuration' && break
  sleep 0.1
done
cp $root /usr/local/share/ca-certificates/authority.crt
update-ca-certificates >/dev/null
cp -r /share/clone /srv/arc-relay
"""
RUN: Final = """
cd /srv/arc-relay
[ ! -e /srv/variables ] || . /srv/variables
set -ex
{commands}
declare -p host mail >/srv/variables
"""


def build_debian(podman: Podman, suite: str, folder: Path) -> str:
    """Return a new image of a Debian suite."""
    archive = folder / f"{suite}.tar"
    run(
        *("mmdebstrap", "--variant=minbase", "--format=tar", f"--include={PACKAGES}"),
        *("--dpkgopt=force-unsafe-io", suite, str(archive), apt_mirror()),
    )
    image = podman("import", "--quiet", archive)
    archive.unlink()
    return image.removeprefix("sha256:")


class Debian:
    """A running system, with a clone of the repository as the current directory."""

    def __init__(self, container: Container) -> None:
        self.container = container

    def run(self, commands: str, seconds: float = 200) -> subprocess.CompletedProcess[str]:
        """Run commands in a shell that has the variables of earlier commands."""
        limit = f"--kill-after=5 {seconds}".split()
        script = RUN.format(commands=commands)
        return self.container.attempt("timeout", *limit, "bash", "-c", script)

    def load_images(self) -> None:
        """Load the images of `write_images`; podman must be installed."""
        entry = '["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]'
        changes = (
            f"CMD {entry}",
            "ENV PATH=/usr/bin",
            "ENV XDG_DATA_HOME=/data",
            "ENV HOME=/config",
        )
        options = [f"--change={change}" for change in changes]
        image = "docker.io/library/caddy:2"
        self.container.do("podman", "load", "--quiet", "--input=/share/base.tar")
        self.container.do("podman", "import", "--quiet", *options, "/share/caddy.tar", image)


@contextmanager
def start_debian(podman: Podman, image: str, share: Path) -> Iterator[Debian]:
    """Start a system from an image of `build_debian`, with a folder for the files that it needs."""
    write_share(share)
    options = (f"--volume={share}:/share:ro", "--volume=/var/lib/containers")
    with boot(podman, image, *options) as container, forward_proxy(container.process) as url:
        container.do("bash", "-c", PREPARE.replace("PROXY", url))
        yield Debian(container)


def write_share(share: Path) -> None:
    """Write a clone, settings, and the files of the authority."""
    clone = share / "clone"
    clone.mkdir()
    for name in CLONE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, clone / name)
    substitute(clone / "Containerfile", r"(?m)^FROM docker\.io/\S+", "FROM localhost/base")
    substitute(clone / "deploy/proxy/Caddyfile", r"\n\{\n", f"\n{{\n\tacme_ca {DIRECTORY}\n")
    settings = pip_settings()
    kept = (f"{name} = {settings[name]}\n" for name in ("index-url", "timeout") if name in settings)
    (share / "pip.conf").write_text("".join(kept))
    shutil.copy(authorities(), share / "authorities.crt")
    inner = SETTINGS.replace("[engine]", INNER_SETTINGS + "[engine]")
    (share / "containers.conf").write_text(inner)
    (share / "authority").write_text(AUTHORITY)
    shutil.copy(find_program("caddy"), share / "caddy")


def write_images(podman: Podman, base: str, share: Path) -> None:
    """Write the images that a registry would provide: one with Python, and one with Caddy."""
    with tarfile.open(share / "caddy.tar", "w") as archive:
        archive.add(share / "caddy", "usr/bin/caddy")
    podman("tag", base, "localhost/base:latest")
    podman("save", "--quiet", f"--output={share / 'base.tar'}", "localhost/base:latest")
    podman("untag", base, "localhost/base:latest")


def substitute(path: Path, pattern: str, replacement: str) -> None:
    """Replace the only match of a pattern in a file."""
    text, count = re.subn(pattern, replacement, path.read_text())
    assert count == 1, path
    path.write_text(text)
