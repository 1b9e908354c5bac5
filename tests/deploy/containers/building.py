"""Base image without a registry, and the image of the relay on top of it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .podman import Podman

ROOT: Final = Path(__file__).parents[3]

# What stands for docker.io/library/python:3.13-slim. systemd and podman are for the tests of units:
# those run the relay's image, too, as a machine. Quadlet is not in the podman of older
# distributions than this.
SUITE: Final = "trixie"
PACKAGES: Final = "python3,python3-venv,systemd,procps,podman,runc"
BASE_PATH: Final = "ENV PATH=/usr/local/bin:/usr/bin:/bin"

AUTHORITIES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_SETTINGS: Final = {"index-url", "proxy", "timeout", "trusted-host"}


def build_base(podman: Podman, folder: Path) -> str:
    """Return a new image with Python; the folder is for temporary files."""
    archive = folder / "base.tar"
    run(
        *("mmdebstrap", "--variant=minbase", "--format=tar", f"--include={PACKAGES}"),
        *(SUITE, str(archive), apt_mirror()),
    )
    image = podman("import", "--quiet", "--change", BASE_PATH, archive)
    archive.unlink()
    return image.removeprefix("sha256:")


def build_image(podman: Podman, base: str, folder: Path) -> str:
    """Return a new image of the relay.

    The build gets the pip configuration of this machine, which stays out of the image.
    """
    name = folder / "image"
    podman(
        *("build", "--format=docker", "--layers=false", "--isolation=chroot", "--network=host"),
        *("--pull=never", f"--from={base}", "--build-arg=REVISION=a1b2c3"),
        *(f"--iidfile={name}", *pip_mounts(folder), str(ROOT)),
    )
    return name.read_text().removeprefix("sha256:")


def pip_mounts(folder: Path) -> Sequence[str]:
    """Return options that mount this machine's authorities and pip configuration into a build."""
    settings = folder / "pip.conf"
    kept = pip_settings()
    settings.write_text(
        "\n".join(["[global]", *(f"{name} = {kept[name]}" for name in PIP_SETTINGS & kept.keys())])
    )
    mounts = [f"--volume={settings}:/etc/pip.conf:ro"]
    if authorities().exists():
        mounts.append(f"--volume={authorities()}:{AUTHORITIES}:ro")
    return mounts


def apt_mirror() -> str:
    """Return the URL of the Debian mirror that this machine uses."""
    indexes = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
    return indexes.split()[0]


def authorities() -> Path:
    """Return the path of the certificate authorities that this machine trusts."""
    return Path(os.environ.get("SSL_CERT_FILE", AUTHORITIES))


def pip_settings() -> dict[str, str]:
    """Return the settings of this machine's pip, by their short names."""
    lines = run(sys.executable, "-m", "pip", "config", "list").splitlines()
    pairs = (line.partition("=")[::2] for line in lines)
    # Settings of the environment come first, and beat those of files.
    return {name.rpartition(".")[2]: shlex.split(value)[0] for name, value in reversed([*pairs])}


def run(*command: str) -> str:
    """Return the output of a command, which must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
