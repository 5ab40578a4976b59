"""What is deployed, as data: Dockerfile, compose files, rendered Kubernetes manifests."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
OVERLAYS = ("overlays/cpu", "overlays/gpu", "overlays/keda", "overlays/films", "train", "batch")
COMPOSE = {
    "plain": (),
    "gpu": ("compose.gpu.yaml",),
    "prod": ("compose.prod.yaml",),
}


def merged(base, over):
    """Merge one compose file over another, as far as ours go: lists are replaced."""
    if isinstance(base, dict) and isinstance(over, dict):
        return base | {k: merged(base[k], v) if k in base else v for k, v in over.items()}
    return over


def interpolated(text):
    """Put defaults for a compose file's variables, and `given` for those that have none."""
    text = re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", text)
    return re.sub(r"\$\{\w+(:\?[^}]*)?\}", "given", text)


def compose(variant="plain"):
    """The stack as `docker compose` reads it with no variables but those that it insists on."""
    files = [ROOT / "docker-compose.yml", *(DOCKER / name for name in COMPOSE[variant])]
    stack = {}
    for file in files:
        stack = merged(stack, yaml.safe_load(interpolated(file.read_text())))
    return stack


@cache
def rendered(overlay):
    """The documents that `kubectl kustomize` makes of an overlay."""
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run(
        [kubectl, "kustomize", ROOT / "k8s" / overlay],
        capture_output=True,
        text=True,
        check=True,
    )
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def of_kind(overlay, *kinds):
    return [document for document in rendered(overlay) if document["kind"] in kinds]


def pods(overlay):
    """Pod templates by the name of what makes them."""
    makers = of_kind(overlay, "Deployment", "StatefulSet", "Job")
    found = {maker["metadata"]["name"]: maker["spec"]["template"] for maker in makers}
    for job in of_kind(overlay, "RayJob"):
        cluster = job["spec"]["rayClusterSpec"]
        found["submitter"] = job["spec"]["submitterPodTemplate"]
        found["head"] = cluster["headGroupSpec"]["template"]
        found |= {group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]}
    return found


def container(overlay, name):
    (only,) = pods(overlay)[name]["spec"]["containers"]
    return only


def dockerfile_stages(name="Dockerfile"):
    """Instructions of each stage: pairs of word and argument."""
    text = re.sub(r"^#.*\n", "", (DOCKER / name).read_text(), flags=re.M)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    pairs = [tuple(line.split(None, 1)) for line in lines if line.strip()]
    stages, current = {}, None
    for word, argument in pairs:
        if word == "FROM":
            parent, _, current = argument.split()
            stages[current] = [("FROM", parent)]
        elif current is not None:
            stages[current].append((word, argument.strip()))
    return stages


def instructions(stage):
    """Instructions of a stage, those of the stages that it stands on first."""
    stages = dockerfile_stages()
    own = stages[stage]
    parent = own[0][1]
    return (instructions(parent) if parent in stages else []) + own[1:]


def image_environment(stage="app"):
    """Environment variables that the image sets."""
    found = {}
    for word, argument in instructions(stage):
        if word == "ENV":
            found |= dict(re.findall(r"(\w+)=(\S+)", argument))
    return found


def kubernetes_environment(overlay, name):
    """Environment of a container that has a value in the manifest."""
    rows = container(overlay, name).get("env", [])
    return {row["name"]: row["value"] for row in rows if "value" in row}
