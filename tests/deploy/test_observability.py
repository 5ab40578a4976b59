"""Dashboard and alert rules: they name what is exposed, and do what they say."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from service.jobs.worker.metrics import WorkerTelemetry
from service.observability.metrics import Telemetry

DOCKER = Path(__file__).parents[2] / "docker"
RULES = DOCKER / "prometheus" / "rules.yml"
DASHBOARD = DOCKER / "grafana" / "wplus.json"
NAME = re.compile(r"\b(?:wplus|process)_[a-z0-9_]+")
RECORDED = re.compile(r"\bwplus:[a-z0-9_:]+")
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool (Debian: apt install prometheus)"
)


def exposed():
    """Names of all samples that can be scraped, of the API and of workers."""
    text = Telemetry().exposition() + generate_latest(WorkerTelemetry().registry)
    rows = re.findall(r"^# TYPE (\S+) (\S+)", text.decode(), re.MULTILINE)
    names = {name for name, kind in rows if kind != "histogram"}
    for name, kind in rows:
        if kind == "histogram":
            names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return names


def dashboard():
    return json.loads(DASHBOARD.read_text())


def expressions():
    return [
        target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())
    ]


def test_the_dashboard_names_only_what_is_exposed():
    named = {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(named) > 20
    assert named - exposed() == set()


def test_the_rules_name_only_what_is_exposed():
    lines = re.sub(r"^\s*(#|- (alert|record):|summary:).*$", "", RULES.read_text(), flags=re.M)
    assert set(NAME.findall(lines)) - exposed() == set()


def test_every_recorded_series_that_is_used_is_defined():
    recorded = set(re.findall(r"- record: (\S+)", RULES.read_text()))
    read = {name for expression in expressions() for name in RECORDED.findall(expression)}
    assert read <= recorded


def test_every_alert_has_a_unit_test():
    alerts = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    tested = re.findall(r"alertname: (\w+)", RULES.with_name("rules_test.yml").read_text())
    assert alerts == set(tested)


def test_panels_have_their_own_ids_and_places():
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


@needs_promtool
@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("test", "rules", "rules_test.yml")],
    ids=lambda arguments: arguments[0],
)
def test_promtool_agrees(arguments):
    ended = subprocess.run(
        ["promtool", *arguments], cwd=RULES.parent, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
