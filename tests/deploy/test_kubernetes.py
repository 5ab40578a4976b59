"""Kubernetes' manifests: by its schema, by the restricted profile, and among themselves."""

import re
import shlex
from pathlib import Path

import kubernetes_validate
import pytest
from jsonschema import Draft202012Validator
from torch.distributed.run import parse_args

from model_core.batch.__main__ import parse
from model_core.training.__main__ import main as train
from service.observability.metrics import Telemetry
from tests.deploy.manifests import OVERLAYS, ROOT, container, of_kind, pods, rendered

NO_SCHEMA = {"ScaledObject", "TriggerAuthentication", "RayJob"}  # KEDA's and KubeRay's own
SELECTING = ("Service", "PodDisruptionBudget", "NetworkPolicy")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_match_the_schema(overlay):
    checked = 0
    for document in rendered(overlay):
        if document["kind"] not in NO_SCHEMA:
            kubernetes_validate.validate(document, "1.31", strict=True)
            checked += 1
    for template in pods(overlay).values():  # those of a RayJob too
        document = {"apiVersion": "v1", "kind": "PodTemplate", "template": template}
        kubernetes_validate.validate(document, "1.31", strict=True)
    assert checked >= 3


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_meet_the_restricted_profile(overlay):
    assert pods(overlay)
    for name, template in pods(overlay).items():
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False, name
        security = pod["securityContext"]
        assert security["runAsNonRoot"], name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for one in pod["containers"]:
            assert one["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert {"cpu", "memory"} <= one["resources"]["requests"].keys(), name
            assert "memory" in one["resources"]["limits"], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_pods(overlay):
    labels = [template["metadata"]["labels"] for template in pods(overlay).values()]
    names = {label["app.kubernetes.io/name"] for label in labels}
    for document in of_kind(overlay, *SELECTING):
        spec = document["spec"]
        selector = spec.get("selector", spec.get("podSelector"))
        for rows in (selector, selector.get("matchLabels", {})):
            wanted = rows.get("app.kubernetes.io/name")
            assert wanted is None or wanted in names, document["metadata"]["name"]
        for row in selector.get("matchExpressions", ()):
            assert set(row["values"]) <= names


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_named_ports_are_ports_of_the_pods(overlay):
    named = {
        port["name"]
        for template in pods(overlay).values()
        for port in template["spec"]["containers"][0].get("ports", ())
    }
    used = {port["targetPort"] for s in of_kind(overlay, "Service") for port in s["spec"]["ports"]}
    for policy in of_kind(overlay, "NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            used |= {port["port"] for port in rule.get("ports", ())}
    assert {port for port in used if isinstance(port, str)} <= named
    assert used


def test_all_traffic_is_denied_by_default():
    policies = {p["metadata"]["name"]: p["spec"] for p in of_kind("overlays/cpu", "NetworkPolicy")}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, policy in policies.items():
        for rule in policy.get("egress", []):
            for block in (to["ipBlock"] for to in rule["to"] if "ipBlock" in to):
                assert "169.254.0.0/16" in block["except"], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_inserted_variables_are_defined_before(overlay):
    """Kubernetes leaves $(NAME) as it is where NAME comes later in the list."""
    for name in pods(overlay):
        known = {"JOB_COMPLETION_INDEX"}
        for row in container(overlay, name).get("env", []):
            assert set(re.findall(r"\$\((\w+)\)", row.get("value", ""))) <= known
            known.add(row["name"])
        command = " ".join(container(overlay, name).get("command", ()))
        assert set(re.findall(r"\$\((\w+)\)", command)) <= known


def test_one_scaler_for_each_deployment():
    replicas = {
        d["metadata"]["name"]: d["spec"].get("replicas")
        for d in of_kind("overlays/keda", "Deployment")
    }
    assert replicas == {"api": None, "worker": None}
    (hpa,) = of_kind("overlays/keda", "HorizontalPodAutoscaler")
    (scaled,) = of_kind("overlays/keda", "ScaledObject")
    assert hpa["spec"]["scaleTargetRef"]["name"] == "api"
    assert scaled["spec"]["scaleTargetRef"]["name"] == "worker"


def test_the_autoscaler_reads_a_metric_that_is_exposed():
    (hpa,) = of_kind("overlays/cpu", "HorizontalPodAutoscaler")
    (rule,) = hpa["spec"]["metrics"]
    exposed = {family.name for family in Telemetry().registry.collect()}
    assert rule["pods"]["metric"]["name"] in exposed


@pytest.mark.parametrize("overlay", ["overlays/gpu", "overlays/keda"])
@pytest.mark.parametrize("name", ["api", "worker"])
def test_each_gpu_pod_has_a_gpu_and_a_rollout_needs_no_more(overlay, name):
    assert container(overlay, name)["resources"]["limits"]["nvidia.com/gpu"] == 1
    (maker,) = (d for d in of_kind(overlay, "Deployment") if d["metadata"]["name"] == name)
    assert maker["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_eviction_of_sick_pods_is_allowed():
    (budget,) = of_kind("overlays/cpu", "PodDisruptionBudget")
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_training_reads_the_stacks_weights():
    claims = {c["metadata"]["name"] for c in of_kind("overlays/gpu", "PersistentVolumeClaim")}
    claims |= {c["metadata"]["name"] for c in of_kind("train", "PersistentVolumeClaim")}
    volumes = pods("train")["train"]["spec"]["volumes"]
    used = {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in volumes
        if "persistentVolumeClaim" in volume
    }
    assert used == claims == {"weights", "runs"}


def test_training_has_one_process_per_pod():
    (job,) = of_kind("train", "Job")
    command, arguments = (container("train", "train")[key] for key in ("command", "args"))
    assert job["spec"]["completionMode"] == "Indexed"
    count = job["spec"]["completions"]
    assert job["spec"]["parallelism"] == count
    assert f"--nnodes={count}" in command
    assert f"--shards={count}" in arguments
    (service,) = of_kind("train", "Service")
    assert f"--master-addr=train-0.{service['metadata']['name']}" in command
    assert job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]


def test_torchrun_and_the_training_accept_the_command():
    """Each has options of its own, and torchrun looks at all of them."""
    command, arguments = (container("train", "train")[key] for key in ("command", "args"))
    torchrun, *words = [word.replace("$(JOB_COMPLETION_INDEX)", "0") for word in command]
    assert torchrun == "torchrun"
    found = parse_args([*words, *arguments])
    assert (found.module, found.training_script) == (True, "model_core.training")
    assert found.training_script_args == arguments
    assert train([*found.training_script_args, "--dry-run"], Path("nowhere")) == 0


TEXT, WHOLE, YES = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEMPLATE = {"type": "object", "required": ["spec"]}  # Kubernetes' schema says the rest
FLAGS = {"type": "object", "additionalProperties": TEXT}
RAY_JOB = {
    # The fields of KubeRay's ray.io/v1 that are in use; it ignores those it does not know.
    "entrypoint": TEXT,
    "submissionMode": {"enum": ["K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode"]},
    "shutdownAfterJobFinishes": YES,
    "ttlSecondsAfterFinished": WHOLE,
    "backoffLimit": WHOLE,
    "submitterPodTemplate": TEMPLATE,
    "rayClusterSpec": {
        "type": "object",
        "additionalProperties": False,
        "required": ["headGroupSpec"],
        "properties": {
            "rayVersion": TEXT,
            "authOptions": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"mode": {"enum": ["disabled", "token"]}},
            },
            "headGroupSpec": {
                "type": "object",
                "additionalProperties": False,
                "required": ["template"],
                "properties": {"rayStartParams": FLAGS, "template": TEMPLATE},
            },
            "workerGroupSpecs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["groupName", "template"],
                    "properties": {
                        "groupName": TEXT,
                        "replicas": WHOLE,
                        "minReplicas": WHOLE,
                        "maxReplicas": WHOLE,
                        "rayStartParams": FLAGS,
                        "template": TEMPLATE,
                    },
                },
            },
        },
    },
}


def test_the_ray_job_has_known_fields_alone():
    (job,) = of_kind("batch", "RayJob")
    assert job["apiVersion"] == "ray.io/v1"
    schema = {"type": "object", "additionalProperties": False, "properties": RAY_JOB}
    Draft202012Validator(schema).validate(job["spec"])


def test_the_ray_job_runs_a_command_that_exists_on_what_its_pods_have():
    (job,) = of_kind("batch", "RayJob")
    python, module, name, *arguments = shlex.split(job["spec"]["entrypoint"].replace("-m ", ""))
    assert (python, module, name) == ("python", "wplus", "embed")
    options = parse(arguments)
    assert options.ray == "auto"
    resources = container("batch", "workers")["resources"]
    assert options.actor_cpus == int(resources["requests"]["cpu"])
    assert resources["limits"]["nvidia.com/gpu"] == 1
    assert options.device == "cuda"
    head = job["spec"]["rayClusterSpec"]["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"  # no actor
    for name in ("head", "workers"):
        mounts = {each["mountPath"]: each for each in container("batch", name)["volumeMounts"]}
        assert mounts[options.source]["readOnly"]
        assert any(options.target.startswith(f"{path}/") for path in mounts)


def test_the_ray_jobs_version_is_the_pinned_one():
    (job,) = of_kind("batch", "RayJob")
    pinned = (ROOT / "constraints.txt").read_text()
    assert f"\nray=={job['spec']['rayClusterSpec']['rayVersion']}\n" in pinned


def test_every_pod_of_the_ray_job_has_the_image_of_the_registry():
    images = {container("batch", name)["image"] for name in pods("batch")}
    assert images == {"REGISTRY/wplus-batch:0.1.0-cuda"}


def test_batches_read_the_stacks_weights():
    claims = {c["metadata"]["name"] for c in of_kind("overlays/gpu", "PersistentVolumeClaim")}
    claims |= {c["metadata"]["name"] for c in of_kind("batch", "PersistentVolumeClaim")}
    used = {
        volume["persistentVolumeClaim"]["claimName"]
        for template in pods("batch").values()
        for volume in template["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert used == {"weights", "photos", "results"} <= claims
