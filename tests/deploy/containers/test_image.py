"""Image of the Containerfile."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Final

import pytest
import trio

from .building import ROOT
from .clients import exchange, expect_exchange, join
from .podman import Container, Podman

LOCKED_DOWN: Final = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--memory=256m",
)
LABELS: Final = "org.opencontainers.image"


def without_shell(work: Path) -> list[str]:
    """Return options that replace each shell by a file that cannot be executed."""
    nothing = work / "nothing"
    nothing.touch(mode=0o444)
    return [f"--volume={nothing}:/usr/bin/{shell}:ro" for shell in ("dash", "bash")]


async def healthy(container: Container) -> None:
    """Wait until the image's own health check succeeds."""
    with trio.fail_after(20):
        while container.podman.attempt("healthcheck", "run", container.name).returncode:
            await trio.sleep(0.1)


def test_linter(hadolint: str) -> None:
    """Hadolint finds no fault in the Containerfile."""
    done = subprocess.run([hadolint, ROOT / "Containerfile"], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_metadata(podman: Podman, image: str) -> None:
    """The image has labels and an unprivileged user, and starts its programs without a shell."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    config = podman.inspect(image)["Config"]
    labels = config["Labels"]
    assert [labels[f"{LABELS}.title"]] == [*project["scripts"]]
    assert labels[f"{LABELS}.description"] == project["description"]
    assert labels[f"{LABELS}.version"] == project["version"]
    assert labels[f"{LABELS}.licenses"] == project["license"]
    assert labels[f"{LABELS}.revision"] == "a1b2c3"
    assert config["User"] == "65532:65532"
    assert config["ExposedPorts"] == {"8765/tcp": {}}
    assert config["StopSignal"] == "SIGTERM"
    assert [*config["Entrypoint"], *config["Cmd"]] == ["arc-relay", "start"]
    assert podman.inspect(image)["Healthcheck"]["Test"] == ["CMD", "arc-relay", "health"]


def test_nothing_of_the_build_is_left(podman: Podman, base: str, image: str) -> None:
    """The image adds one folder and two variables to the base, and nothing of the build."""
    changes = podman("image", "diff", image).splitlines()
    assert all(line == "C /opt" or line.startswith("A /opt/arc-relay") for line in changes)
    assert any(line.endswith("/bin/arc-relay") for line in changes)
    assert not any("/site-packages/pip" in line for line in changes)
    assert {line.partition("=")[0] for line in podman.inspect(image)["Config"]["Env"]} == {
        "PATH",
        "PYTHONFAULTHANDLER",
    }


async def test_life(podman: Podman, image: str, work: Path, time_limit: None) -> None:
    """Read-only, without capabilities and a shell, the relay works, and stops within 2 s."""
    with podman.run(*LOCKED_DOWN, *without_shell(work), image) as container:
        await healthy(container)
        assert container.do("arc-relay", "health") == "healthy: 0 pairs"
        assert container.attempt("sh", "-c", "true").returncode != 0
        async with await join(container) as a, await join(container) as b:
            await exchange(a, b)
            async with trio.open_nursery() as nursery:
                with trio.fail_after(2):
                    nursery.start_soon(container.stop)
                    for client in (a, b):
                        assert await client.closed() == (1001, "relay stopping")
                    while nursery.child_tasks:
                        await trio.sleep(0.01)
        state = container.state()
        assert (state["Status"], state["ExitCode"]) == ("exited", 0)


async def test_variables(podman: Podman, image: str, time_limit: None) -> None:
    """Variables set the options of the relay and of its health check."""
    with podman.run(*LOCKED_DOWN, "--env=ARC_RELAY_PORT=9000", image) as container:
        await healthy(container)
        await expect_exchange(container, port=9000)


@pytest.mark.parametrize("argument", ["--env=ARC_RELAY_PORT=many", "--env=ARC_RELAY_PROT=1"])
def test_wrong_variable(podman: Podman, image: str, argument: str) -> None:
    """An invalid variable ends the container with status 2, and is named."""
    done = podman.attempt("run", "--rm", "--network=none", *LOCKED_DOWN, argument, image)
    assert done.returncode == 2
    assert argument.split("=")[1] in done.stderr
    assert "Traceback" not in done.stderr
