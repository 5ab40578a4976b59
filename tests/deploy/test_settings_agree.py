"""Variables, ports, paths and names are the same in the code, the image, compose and Kubernetes."""

import re
from urllib.parse import urlsplit

import pytest
import yaml

from service.app import create_app
from service.jobs.worker.metrics import WorkerTelemetry
from service.process import read_settings
from service.redis_keys import GROUP, STREAM
from service.settings import PREFIX, ExposedError, Settings, check_exposure, check_names
from tests.deploy.manifests import (
    COMPOSE,
    DOCKER,
    ROOT,
    compose,
    container,
    image_environment,
    instructions,
    kubernetes_environment,
    of_kind,
    pods,
)

SERVERS = ("api", "worker")
CLUSTERS = ("overlays/cpu", "overlays/gpu", "overlays/keda", "overlays/films")
PLACES = ("docker", "k8s", "docs", "service", "model_core", "benchmarks", ".ci")
CACHES = {"__pycache__", ".mypy_cache"}
PICTURES = {".jpg", ".png"}
URL = re.compile(r"http://127\.0\.0\.1:(\d+)(/\w*)")


def written():
    """All text that names settings to a user or to a machine; tests misspell them on purpose."""
    files = [path for place in PLACES for path in (ROOT / place).rglob("*") if path.is_file()]
    files += [ROOT / name for name in ("README.md", "Makefile", "docker-compose.yml")]
    texts = [path for path in files if path.suffix not in PICTURES]
    return {path: path.read_text() for path in texts if CACHES.isdisjoint(path.parts)}


def numbers(environment):
    return {int(environment[PREFIX + name]) for name in ("PORT", "METRICS_PORT")}


def environments():
    """Environment of every container that reads the settings."""
    image = image_environment()
    for variant in COMPOSE:
        for name in SERVERS:
            yield f"{variant} {name}", image | compose(variant)["services"][name]["environment"]
    for overlay in CLUSTERS:
        for name in SERVERS:
            yield f"{overlay} {name}", image | kubernetes_environment(overlay, name)


def test_every_variable_is_a_setting():
    names = {
        name for text in written().values() for name in re.findall(rf"{PREFIX}[A-Z0-9_]+", text)
    }
    assert len(names) > 15
    check_names(names)


@pytest.mark.parametrize(("where", "environment"), list(environments()), ids=lambda v: str(v)[:30])
def test_the_settings_are_accepted(where, environment, monkeypatch):
    for name, value in environment.items():
        if name.startswith(PREFIX):
            monkeypatch.setenv(name, str(value))
    settings = read_settings()
    if where.endswith("worker"):  # it serves its metrics alone, which keys would not guard
        assert not {PREFIX + "INSECURE", PREFIX + "API_KEYS"} & environment.keys()
    else:
        check_exposure(settings)
    assert urlsplit(settings.redis_url.get_secret_value())[1].rpartition("@")[2] == "valkey:6379"


def test_the_image_refuses_to_start_without_keys(monkeypatch):
    for name, value in image_environment().items():
        if name.startswith(PREFIX):
            monkeypatch.setenv(name, value)
    with pytest.raises(ExposedError):
        check_exposure(Settings())


@pytest.mark.parametrize("where", ["prod", *CLUSTERS])
def test_callers_from_elsewhere_need_a_key(where):
    if where in COMPOSE:
        stack = compose(where)
        api = stack["services"]["api"]
        environment, folder = api["environment"], "/run/secrets/"
        assert {folder + name for name in api["secrets"]} == {environment["WPLUS_API_KEYS"]}
        assert environment["WPLUS_INSECURE"] == "0"
        assert set(api["secrets"]) <= stack["secrets"].keys()
    else:
        environment = kubernetes_environment(where, "api")
        mounts = [mount["mountPath"] for mount in container(where, "api")["volumeMounts"]]
        assert environment["WPLUS_API_KEYS"].rpartition("/")[0] in mounts
        assert "WPLUS_INSECURE" not in environment


def test_the_image_exposes_the_configured_ports():
    (exposed,) = (argument for word, argument in instructions("app") if word == "EXPOSE")
    assert {int(port) for port in exposed.split()} == numbers(image_environment())


def test_compose_publishes_and_probes_the_configured_ports():
    services, ports = compose()["services"], image_environment()
    assert services["api"]["ports"] == [f"127.0.0.1:8000:{ports['WPLUS_PORT']}"]
    scraped = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())
    jobs = [config["dns_sd_configs"][0] for config in scraped["scrape_configs"]]
    assert {job["port"] for job in jobs} == {int(ports["WPLUS_METRICS_PORT"])}
    assert {name for job in jobs for name in job["names"]} == set(SERVERS)


@pytest.mark.parametrize("overlay", CLUSTERS)
def test_kubernetes_uses_the_configured_ports(overlay):
    ports = image_environment()
    named = {p["name"]: p["containerPort"] for p in container(overlay, "api")["ports"]}
    assert named == {"http": int(ports["WPLUS_PORT"]), "metrics": int(ports["WPLUS_METRICS_PORT"])}
    (metrics,) = container(overlay, "worker")["ports"]
    assert metrics == {"name": "metrics", "containerPort": int(ports["WPLUS_WORKER_METRICS_PORT"])}


def test_probes_use_existing_paths_and_ports():
    """HEALTHCHECK, compose's checks and Kubernetes' probes."""
    routes = create_app(Settings()).openapi()["paths"].keys()
    assert "/metrics" in routes
    (image,) = (argument for word, argument in instructions("app") if word == "HEALTHCHECK")
    services, ports = compose()["services"], image_environment()
    checks = {"api": [image], "worker": []}
    for name in SERVERS:
        checks[name].append(" ".join(services[name]["healthcheck"]["test"]))
    liveness = container("overlays/cpu", "worker")["livenessProbe"]["exec"]["command"]
    checks["worker"].append(" ".join(liveness))
    for name, port in (("api", "WPLUS_PORT"), ("worker", "WPLUS_WORKER_METRICS_PORT")):
        asked = {URL.search(check).groups() for check in checks[name]}
        assert {number for number, _ in asked} == {ports[port]}
        assert {path for _, path in asked} <= routes
    probes = [
        container("overlays/cpu", name)[f"{kind}Probe"]
        for name, kind in (
            ("api", "startup"),
            ("api", "liveness"),
            ("api", "readiness"),
            ("worker", "startup"),
        )
    ]
    asked = [(probe["httpGet"]["path"], probe["httpGet"]["port"]) for probe in probes]
    assert asked == [
        ("/readyz", "http"),
        ("/livez", "http"),
        ("/readyz", "http"),
        ("/metrics", "metrics"),
    ]
    assert {path for path, _ in asked} <= routes


def test_the_workers_probe_reads_a_metric_that_is_exposed():
    (name,) = (
        word
        for word in compose()["services"]["worker"]["healthcheck"]["test"]
        if word.startswith("wplus_")
    )
    assert name in container("overlays/cpu", "worker")["livenessProbe"]["exec"]["command"]
    assert name in {family.name for family in WorkerTelemetry().registry.collect()}


def test_keda_reads_the_queue():
    (scaled,) = of_kind("overlays/keda", "ScaledObject")
    rules = [trigger["metadata"] for trigger in scaled["spec"]["triggers"]]
    assert {(rule["stream"], rule["consumerGroup"]) for rule in rules} == {(STREAM, GROUP)}
    assert [set(rule) - {"address", "stream", "consumerGroup"} for rule in rules] == [
        {"lagCount"},
        {"pendingEntriesCount"},
    ]


def test_grace_periods_exceed_the_shutdown_time():
    grace_s = Settings().shutdown_grace_s
    assert int(compose()["services"]["api"]["stop_grace_period"].removesuffix("s")) > grace_s
    for overlay in CLUSTERS:
        (api,) = (d for d in of_kind(overlay, "Deployment") if d["metadata"]["name"] == "api")
        pod = api["spec"]["template"]["spec"]
        pause_s = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        own_s = int(kubernetes_environment(overlay, "api")["WPLUS_SHUTDOWN_GRACE_S"])
        assert pod["terminationGracePeriodSeconds"] >= pause_s + own_s + 5


@pytest.mark.parametrize("where", ["plain", "overlays/films"])
def test_the_api_and_its_workers_share_a_folder_of_films_that_the_image_has(where):
    folders = set()
    for name in SERVERS:
        if where in COMPOSE:
            service = compose(where)["services"][name]
            volumes = [each.split(":") for each in service["volumes"]]
            mounts = {path: volume for volume, path, *_ in volumes}
            folder = service["environment"]["WPLUS_FILMS"]
            assert mounts[folder] in compose(where)["volumes"]
        else:
            folder = kubernetes_environment(where, name)["WPLUS_FILMS"]
            mounts = {m["mountPath"]: m["name"] for m in container(where, name)["volumeMounts"]}
            pod = pods(where)[name]["spec"]
            claims = {v["name"]: v.get("persistentVolumeClaim", {}) for v in pod["volumes"]}
            assert claims[mounts[folder]] == {"claimName": "films"}
        folders.add((folder, mounts[folder]))
    ((folder, _),) = folders
    made = next(
        argument for word, argument in instructions("app") if "install --directory" in argument
    )
    assert folder in made.split()


@pytest.mark.parametrize("overlay", ["overlays/cpu", "overlays/gpu", "overlays/keda"])
def test_films_are_off_where_no_folder_is_shared(overlay):
    assert {kubernetes_environment(overlay, name)["WPLUS_FILMS"] for name in SERVERS} == {"off"}
