"""The images: layers, user, what they run, and the probe inside them."""

import ast
import importlib.util
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tests.deploy.manifests import COMPOSE, DOCKER, compose, dockerfile_stages, instructions

IMAGES = ("app", "app-weights", "train", "batch")
METRIC = "wplus_worker_last_heartbeat_timestamp_seconds"


@pytest.mark.parametrize("image", IMAGES)
def test_the_environment_is_one_layer_followed_by_few(image):
    layers = [argument for word, argument in instructions(image) if word in ("COPY", "RUN", "ADD")]
    environment = [layer for layer in layers if layer.startswith("--from=env")]
    assert environment == ["--from=env /opt/wplus /opt/wplus"]
    assert len(layers) - layers.index(environment[0]) - 1 <= 2


@pytest.mark.parametrize("image", IMAGES)
def test_images_run_as_composes_user(image):
    users = [argument for word, argument in instructions(image) if word == "USER"]
    assert set(users) == {"10001:10001"}
    assert {compose()["services"][name]["user"] for name in ("api", "worker", "train")} == set(
        users
    )


def test_programs_run_by_containers_exist():
    commands = [service.get("command", []) for service in compose()["services"].values()]
    commands += [
        ast.literal_eval(argument)
        for stage in dockerfile_stages().values()
        for word, argument in stage
        if word in ("CMD", "ENTRYPOINT") and "-m" in argument
    ]
    modules = {c[c.index("-m") + 1] for c in commands if "-m" in c}
    assert modules == {
        "service",
        "service.jobs.worker",
        "model_core.checkpoints",
        "model_core.training",
        "wplus",
    }
    assert all(importlib.util.find_spec(f"{module}.__main__") for module in modules)


@pytest.mark.parametrize("variant", COMPOSE)
def test_compose_services_have_few_privileges(variant):
    for name, service in compose(variant)["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"].split(":")[0] not in ("0", "root"), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name


@pytest.mark.parametrize("variant", COMPOSE)
def test_jobs_are_kept_and_out_of_reach(variant):
    stack = compose(variant)
    valkey = stack["services"]["valkey"]
    options = dict(zip(valkey["command"][1::2], valkey["command"][2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert ("--requirepass" in options) == (variant == "prod")
    assert "ports" not in valkey
    assert valkey["networks"] == ["inside"]
    assert stack["networks"]["inside"]["internal"]


def test_prometheus_shares_one_network_with_what_it_scrapes():
    """By two it would find each target twice."""
    services = compose()["services"]
    for name in ("api", "worker"):
        shared = set(services["prometheus"]["networks"]) & set(services[name]["networks"])
        assert len(shared) == 1


def test_a_gpu_is_requested_where_one_is_used():
    services = compose("gpu")["services"]
    for name in ("api", "worker", "train"):
        (device,) = services[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]
        assert services[name]["build"]["args"]["TORCH_INDEX"] == ""
    assert services["api"]["environment"]["WPLUS_DEVICE"] == "cuda"
    assert "deploy" not in services["weights"]


@pytest.fixture
def metrics():
    """A server; what it answers is an attribute."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(server.status)
            self.end_headers()
            self.wfile.write(server.text.encode())

        def log_message(self, *_arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.status, server.text = 200, ""
        server.url = f"http://127.0.0.1:{server.server_port}/metrics"
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def probe(*arguments):
    command = [sys.executable, DOCKER / "probe.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_the_probe_distinguishes_healthy_from_unhealthy(metrics):
    assert probe(metrics.url) == 0
    metrics.status = 503
    assert probe(metrics.url) == 1
    metrics.server_close()
    assert probe(metrics.url) == 1


def test_the_probe_distinguishes_fresh_from_stale_heartbeats(metrics):
    metrics.text = f"# TYPE {METRIC} gauge\n{METRIC} {time.time():.9e}\n"
    assert probe(metrics.url, METRIC, 60) == 0
    metrics.text = f"{METRIC} {time.time() - 100}\n"
    assert probe(metrics.url, METRIC, 60) == 1
    metrics.text = "other 1\n"
    assert probe(metrics.url, METRIC, 60) == 1
