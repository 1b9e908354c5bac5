"""The alerts and the dashboard are consistent, as far as a test can see without running them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from http import HTTPStatus
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from relay import Outcome, RelaySettings
from relay.daemon.settings import DaemonSettings
from relay.fields import iter_fields
from relay.protocol import response
from relay.transport.tls_failure import TlsFailure

from .test_documents import ROOT, anchor, section

SHIPPED = ROOT / "deploy" / "observability"
COPY = "https://arc-relay.example/"
"""Address of a copy of the documents, which an operator replaces."""
ALERTS = (SHIPPED / "alerts.yaml").read_text()
ALERT = re.compile(
    r"""      - alert: (?P<name>\w+)
        expr: (?:.+|\|(?:\n {10}.+)+)
        for: \d+[mh]
        labels: {severity: (?P<severity>critical|warning)}
        annotations:
          summary: (?P<summary>.+)
          description: >-
(?P<description>(?: {12}.+\n)+)          runbook_url: https://arc-relay\.example/(?P<runbook>.+)
"""
)
FOUND = list(ALERT.finditer(ALERTS))
DASHBOARD = json.loads((SHIPPED / "dashboard.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
CHARTS = [panel for panel in PANELS if panel["type"] != "row"]
TARGETS: list[dict[str, str]] = [target for chart in CHARTS for target in chart["targets"]]
QUERIES = [target["expr"] for target in TARGETS]
VALUES = {
    "kind": {kind.value for kind in TlsFailure},
    "outcome": {outcome.label for outcome in Outcome},
    "reason": {it.body for it in vars(response).values() if isinstance(it, response.Response)},
    "status": {str(status.value) for status in HTTPStatus},
}


def anchors(path: str) -> list[str]:
    """Return the anchors of the headings of a document."""
    return [*map(anchor, re.findall(r"^#+ (.*)$", (ROOT / path).read_text(), re.MULTILINE))]


def promtool(*arguments: str | Path) -> None:
    """Run promtool on the shipped files."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not here: install Debian's package prometheus")
    done = subprocess.run(
        [program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    assert done.returncode == 0, done.stdout.decode()


def test_promtool() -> None:
    """The rules and their templates are valid, and the configuration includes them."""
    promtool("check", "rules", SHIPPED / "alerts.yaml")
    promtool("check", "config", SHIPPED / "prometheus.yaml")


TESTS = sorted(SHIPPED.glob("*.test.yaml"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_rules(path: Path) -> None:
    """Each alert fires in its scenario, and none for a healthy relay without traffic."""
    promtool("test", "rules", path)


def test_each_alert_is_tested() -> None:
    """Each alert has a scenario in which it fires, and all its fields."""
    fired = {
        name for path in TESTS for name in re.findall(r"'{alertname=\"(\w+)\"", path.read_text())
    }
    complete = [alert["name"] for alert in FOUND]
    assert complete == re.findall(r"- alert: (\w+)", ALERTS)
    assert set(complete) == fired


@pytest.mark.parametrize(("label", "known"), VALUES.items())
def test_values_of_labels(label: str, known: set[str]) -> None:
    """A label value in an alert or a panel is one that the relay may have."""
    matchers = re.findall(rf'\b{label}(=~|!~|!=|=)"([^"]*)"', "\n".join([ALERTS, *QUERIES]))
    assert matchers
    for operator, value in matchers:
        assert set(value.split("|") if "~" in operator else [value]) <= known


def test_alerts_in_the_document() -> None:
    """The table has all alerts, in order, with their severity."""
    rows = re.findall(
        r"^\| `(\w+)` \| (critical|warning) \|", section("Alerts and dashboard"), re.MULTILINE
    )
    assert rows == [alert.group("name", "severity") for alert in FOUND]


def test_links_of_alerts() -> None:
    """Each alert links to an existing section, and uses the names of existing settings."""
    settings = {it.name for kind in (DaemonSettings, RelaySettings) for it in iter_fields(kind)}
    for alert in FOUND:
        path, _, wanted = alert["runbook"].partition("#")
        assert wanted in anchors(path), alert["runbook"]
        assert set(re.findall(r"\b[a-z]+_[a-z_]+\b", alert["description"])) <= settings


def test_links_of_the_dashboard() -> None:
    """The first row has single numbers, and each link of the dashboard leads to a section."""
    first = [panel for panel in PANELS if panel["gridPos"]["y"] == 1]
    assert PANELS[0]["type"] == "row"
    assert {panel["type"] for panel in first} == {"stat"}
    for place in (DASHBOARD, *first):
        assert place["links"]
        for link in place["links"]:
            path, _, wanted = link["url"].removeprefix(COPY).partition("#")
            assert wanted in anchors(path), link


def test_layout_of_panels() -> None:
    """Panels have unique numbers, do not overlap, and lie within the grid."""
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    places = [
        {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        for place in (panel["gridPos"] for panel in PANELS)
    ]
    assert max(x for place in places for x, _ in place) == 23
    assert not any(one & other for one, other in combinations(places, 2))


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart["title"])
def test_fields_of_panels(chart: dict[str, Any]) -> None:
    """Each panel has a description, a unit, and the selected data source."""
    assert chart["description"].endswith(".")
    assert chart["fieldConfig"]["defaults"]["unit"]
    assert chart["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert [target["refId"] for target in chart["targets"]] == list("ABC")[: len(chart["targets"])]
    for target in chart["targets"]:
        assert 'instance=~"$instance"' in target["expr"]
        assert target["legendFormat"]


def test_variables_of_the_dashboard() -> None:
    """All variables that are used are defined, except Grafana's own, and the reverse.

    No query has another data source than the selected one.
    """
    text = json.dumps(DASHBOARD)
    own = {"__all", "__range", "__rate_interval"}
    defined = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", text)) - own == defined
    assert set(re.findall(r'"uid": "(.*?)"', text)) == {DASHBOARD["uid"], "${datasource}"}
