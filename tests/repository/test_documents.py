"""The operators' documents name existing things, and name all that they should list."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import relay.daemon.log_observer
import relay.daemon.process_log
from relay import Outcome, RelaySettings, RelayStatistics, TlsFailure
from relay.cli.endpoint.options import (
    SECRET_VARIABLES,
    ForwardOptions,
    Options,
    PipeOptions,
    ShareOptions,
)
from relay.cli.options import flags_of, variable_of
from relay.daemon.effective_limits import LIMITS, effective_limits
from relay.daemon.process_metrics import ProcessStatistics
from relay.daemon.prometheus_export import MetricsObserver
from relay.daemon.settings import DaemonSettings
from relay.fields import Definition, iter_fields

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/*.md")]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
SETTINGS = [*iter_fields(DaemonSettings), *iter_fields(RelaySettings)]
NAMES = {name for name, _, _ in SETTINGS}


def section(title: str) -> str:
    """Return the text of a section of docs/operations.md."""
    return OPERATIONS.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def anchor(heading: str) -> str:
    """Return the anchor of a heading."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links(document: Path) -> None:
    """A link inside the repository has an existing file, and an existing heading in it."""
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        if "://" in target:
            continue
        name, _, wanted = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), target
        if wanted:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert wanted in map(anchor, headings), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_flags_and_variables(document: Path) -> None:
    """Each flag of `arc-relay start`, and each variable, in a document exists."""
    text = document.read_text()
    flags = {flag for name, _, about in SETTINGS for flag in flags_of(name, about)}
    for line in re.findall(r"arc-relay start (.*(?:\\\n.*)*)", text):
        assert set(re.findall(r"--[a-z][a-z-]*", line)) <= flags | {"--check", "--help"}
    variables = {variable_of(name) for name in NAMES} | SECRET_VARIABLES
    assert set(re.findall(r"ARC_RELAY_[A-Z_]+", text)) <= variables


@pytest.mark.parametrize("definition", SETTINGS, ids=lambda definition: definition.name)
def test_settings(definition: Definition) -> None:
    """Every setting is described, by its name or its flag."""
    flag = flags_of(definition.name, definition.field)[0]
    assert f"`{definition.name}`" in OPERATIONS or re.search(rf"{flag}\b", OPERATIONS)


def test_metrics() -> None:
    """The table has all metrics, with their types, and no others."""
    settings: dict[str, Any] = dict.fromkeys(LIMITS, 1)
    limits = effective_limits(RelaySettings(**settings), 1)
    process = ProcessStatistics(limits=limits, certificate_expiry=1.0)
    metrics = MetricsObserver(RelayStatistics, lambda: process, version="1")
    rendered = metrics.render().decode()
    families = dict(re.findall(r"^# TYPE (\S+) (\S+)$", rendered, re.MULTILINE))
    rows = re.findall(r"^\| (`.*?) \| (\w+) \|", section("Metrics"), re.MULTILINE)
    shown = {name: kind for cell, kind in rows for name in re.findall(r"`(\w+)", cell)}
    assert shown.items() >= families.items()
    assert {name for name in shown if name not in families} <= {
        "process_cpu_seconds_total",  # these depend on the system
        "process_max_fds",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_virtual_memory_bytes",
    }


def test_log_lines() -> None:
    """The table has every line of the log, with its possible fields."""
    paths = (relay.daemon.log_observer.__file__, relay.daemon.process_log.__file__)
    source = "".join(Path(path).read_text() for path in paths)
    lines = section("Logs")
    events = re.findall(r"(?:log\.\w+\(|_log\.\w+,|log\.\w+\)\()\s*\"([a-z ]+)\"", source)
    assert len(events) == 18
    for event in [*events, "refused", "log lines lost"]:
        assert f"\n| `{event}` |" in lines
    assert all(f"`{name}`" in lines for name in re.findall(r"\b(\w+)=", source) if name[0] != "_")


def test_outcomes() -> None:
    """The table has all outcomes."""
    rows = re.findall(r"^\| `(\w+)` \|", section("Outcomes"), re.MULTILINE)
    assert rows == [outcome.label for outcome in Outcome]


def test_kinds_of_failed_handshakes() -> None:
    """The table has all kinds of failed handshakes."""
    rows = re.findall(r"^\| `(\w+)` \|", section("TLS handshakes"), re.MULTILINE)
    assert rows == [kind.value for kind in TlsFailure]


@pytest.mark.parametrize(
    ("command", "kind"),
    [("share", ShareOptions), ("pipe", PipeOptions), ("forward", ForwardOptions)],
)
def test_options_of_endpoints(command: str, kind: type[Options]) -> None:
    """The flags of an endpoint's command in the documents exist, and share.md has all of them."""
    names = {it.name for it in fields(kind)} - ARGUMENTS
    flags = {f"--{name.replace('_', '-')}" for name in names}
    for document in DOCUMENTS:
        for line in re.findall(rf"arc-relay {command} (.*)", document.read_text()):
            named = line.partition(" -- ")[0].partition("|")[0]
            assert set(re.findall(r"--[a-z][a-z-]+", named)) <= flags, line
    assert set(re.findall(r"--[a-z][a-z-]+", SHARE)) >= flags


ARGUMENTS = {"target", "link", "local"}
SHARE = (ROOT / "docs" / "share.md").read_text()
