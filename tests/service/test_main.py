"""The port of metrics alone, of the service and of workers."""

import re
import socket

import httpx2 as httpx
import pytest
from prometheus_client import CollectorRegistry, Gauge

from service.process import serve_metrics
from service.settings import Settings

FIELDS = ("metrics_port", "worker_metrics_port")


@pytest.mark.parametrize("field", FIELDS)
def test_metrics_are_served_where_the_setting_says(field, caplog):
    caplog.set_level("INFO")
    registry = CollectorRegistry()
    Gauge("seven", "", registry=registry).set(7)
    serve_metrics(Settings(), field, registry)
    assert caplog.text == ""
    serve_metrics(Settings(**{field: 0}), field, registry)
    url = re.search(r"metrics on (http://127\.0\.0\.1:\d+/metrics)", caplog.text)[1]
    assert "\nseven 7.0\n" in httpx.get(url).text


@pytest.mark.parametrize("field", FIELDS)
def test_a_port_that_is_taken_is_named(field):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(**{field: taken.getsockname()[1]})
        with pytest.raises(SystemExit, match=f"WPLUS_{field.upper()} must be free"):
            serve_metrics(settings, field, CollectorRegistry())
