"""The alerts and the dashboard say what is so, as far as it can be seen without running them."""

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
    """Have Prometheus's own tool judge what is shipped."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not here: install Debian's package prometheus")
    done = subprocess.run(
        [program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    assert done.returncode == 0, done.stdout.decode()


def test_promtool_can_read_them() -> None:
    """The rules are rules, their templates too, and the configuration finds them."""
    promtool("check", "rules", SHIPPED / "alerts.yaml")
    promtool("check", "config", SHIPPED / "prometheus.yaml")


TESTS = sorted(SHIPPED.glob("*.test.yaml"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_what_fires_when(path: Path) -> None:
    """Each alert fires when it should, and none for a healthy relay with nothing to do."""
    promtool("test", "rules", path)


def test_each_alert_is_tested() -> None:
    """There is a scenario in which it fires, and no alert is there without all it should say."""
    fired = {
        name for path in TESTS for name in re.findall(r"'{alertname=\"(\w+)\"", path.read_text())
    }
    complete = [alert["name"] for alert in FOUND]
    assert complete == re.findall(r"- alert: (\w+)", ALERTS)
    assert set(complete) == fired


@pytest.mark.parametrize(("label", "known"), VALUES.items())
def test_values_of_labels(label: str, known: set[str]) -> None:
    """A value that an alert or a panel looks for is one that the relay may have."""
    matchers = re.findall(rf'\b{label}(=~|!~|!=|=)"([^"]*)"', "\n".join([ALERTS, *QUERIES]))
    assert matchers
    for operator, value in matchers:
        assert set(value.split("|") if "~" in operator else [value]) <= known


def test_alerts_in_the_document() -> None:
    """The table has the alerts that there are, in their order, with their severity."""
    rows = re.findall(
        r"^\| `(\w+)` \| (critical|warning) \|", section("Alerts and dashboard"), re.MULTILINE
    )
    assert rows == [alert.group("name", "severity") for alert in FOUND]


def test_where_alerts_point_to() -> None:
    """Each names a section that is there, and speaks of settings by names that they have."""
    settings = {it.name for kind in (DaemonSettings, RelaySettings) for it in iter_fields(kind)}
    for alert in FOUND:
        path, _, wanted = alert["runbook"].partition("#")
        assert wanted in anchors(path), alert["runbook"]
        assert set(re.findall(r"\b[a-z]+_[a-z_]+\b", alert["description"])) <= settings


def test_links_of_the_dashboard() -> None:
    """Its first row has single numbers, and each link leads to a section that there is."""
    first = [panel for panel in PANELS if panel["gridPos"]["y"] == 1]
    assert PANELS[0]["type"] == "row"
    assert {panel["type"] for panel in first} == {"stat"}
    for place in (DASHBOARD, *first):
        assert place["links"]
        for link in place["links"]:
            path, _, wanted = link["url"].removeprefix(COPY).partition("#")
            assert wanted in anchors(path), link


def test_panels_have_a_place_each() -> None:
    """No two have the same number, none lies over another, and all lie within the grid."""
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
def test_panels_explain_themselves(chart: dict[str, Any]) -> None:
    """Each says what to make of it, in which unit, and asks the source that was chosen."""
    assert chart["description"].endswith(".")
    assert chart["fieldConfig"]["defaults"]["unit"]
    assert chart["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert [target["refId"] for target in chart["targets"]] == list("ABC")[: len(chart["targets"])]
    for target in chart["targets"]:
        assert 'instance=~"$instance"' in target["expr"]
        assert target["legendFormat"]


def test_variables_of_the_dashboard() -> None:
    """Those that are used are defined, but for Grafana's own, and the other way round.

    Nothing asks another source than the one that was chosen.
    """
    text = json.dumps(DASHBOARD)
    own = {"__all", "__range", "__rate_interval"}
    defined = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", text)) - own == defined
    assert set(re.findall(r'"uid": "(.*?)"', text)) == {DASHBOARD["uid"], "${datasource}"}
