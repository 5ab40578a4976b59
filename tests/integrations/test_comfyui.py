"""The ComfyUI nodes on a service with stand-ins; ComfyUI itself is not needed."""

import sys
import types

import pytest
import torch

from integrations.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS, nodes
from tests.service.conftest import client, serve  # noqa: F401 - fixtures
from wplus_client import Client

CONNECT = nodes.connect
PHOTO = torch.full((1, 320, 320, 3), 0.4)
DARK = torch.full((1, 320, 320, 3), 0.2)


@pytest.fixture(autouse=True)
def connected(client, monkeypatch):  # noqa: F811
    def connect(url):
        return Client("http://testserver", transport=client._transport)

    monkeypatch.setattr(nodes, "connect", connect)


def run(name, **inputs):
    return NODE_CLASS_MAPPINGS[name]().run(**inputs)


def shade(image):
    """The grey level of an image in the first rows, where stand-ins show the code."""
    return float(image[0, 2, 2].mean())


@pytest.mark.parametrize("name", NODE_CLASS_MAPPINGS)
def test_nodes_have_comfyuis_attributes(name):
    node = NODE_CLASS_MAPPINGS[name]
    inputs = node.INPUT_TYPES()
    assert name in NODE_DISPLAY_NAME_MAPPINGS
    assert callable(getattr(node(), node.FUNCTION))
    assert node.CATEGORY == "wplus"
    assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    for kind, *options in [*inputs["required"].values(), *inputs["optional"].values()]:
        assert kind in ("IMAGE", "INT", "FLOAT", "STRING", "WPLUS_FACE")
        assert all(isinstance(option, dict) for option in options)


def test_a_photo_becomes_a_face_for_other_nodes():
    face, image = run("WplusEmbed", image=PHOTO)
    assert (image.dtype, image.shape[0], image.shape[-1]) == (torch.float32, 1, 3)
    assert shade(image) == pytest.approx(0.4, abs=0.02)
    dark, _ = run("WplusEmbed", image=DARK)
    (half,) = run("WplusMorph", first=face, second=dark)
    assert shade(half) == pytest.approx(0.3, abs=0.02)
    (frames,) = run("WplusMorph", first=face, second=dark, frames=3)
    assert frames.shape[0] == 3
    assert shade(frames[2:]) == pytest.approx(0.2, abs=0.02)
    colored, image = run("WplusColorize", gray=face, color=dark)
    assert colored.code[-1, 0] == pytest.approx(0.2, abs=0.02)


def test_a_face_that_the_service_has_forgotten_goes_by_its_code(client):  # noqa: F811
    face, _ = run("WplusEmbed", image=PHOTO)
    client.runtime.latents._kept.clear()
    (half,) = run("WplusMorph", first=face, second=face)
    assert shade(half) == pytest.approx(0.4, abs=0.02)


def test_the_key_goes_to_the_own_service_alone(monkeypatch):
    asked = []
    monkeypatch.setattr(nodes, "Client", lambda url, key: asked.append((url, key)))
    monkeypatch.setenv("WPLUS_API_KEY", "secret")
    monkeypatch.setenv("WPLUS_URL", "http://ours:8000")
    for url in ("http://ours:8000", "http://theirs:8000"):
        CONNECT(url)
    assert asked == [("http://ours:8000", "secret"), ("http://theirs:8000", None)]


@pytest.mark.parametrize("shape", [(320, 320, 3), (1, 320, 320, 4), (2, 320, 320, 3)])
def test_an_array_that_is_not_an_rgb_image_is_refused(shape):
    with pytest.raises(ValueError, match="image must be one"):
        run("WplusEmbed", image=torch.zeros(shape))


@pytest.mark.parametrize("text", ["", "smile", "smile=2", "smile:much", ":,:"])
def test_directions_of_another_shape_are_refused(text):
    with pytest.raises(ValueError, match="directions must be like"):
        nodes.read_directions(text)


def test_directions_are_names_and_amounts():
    assert nodes.read_directions("smile:1.5, pose:-1,") == {"smile": 1.5, "pose": -1.0}


class Running:
    """A job that takes three looks."""

    def __init__(self):
        self.looks, self.cancelled = 0, False

    def status(self):
        self.looks += 1
        state = "running" if self.looks < 3 else "succeeded"
        return {"state": state, "progress": {"step": 5 * self.looks}}

    def cancel(self):
        self.cancelled = True

    def result(self):
        return "face"


@pytest.fixture
def comfyui(monkeypatch):
    """The two modules of ComfyUI that a long node uses."""
    management, utils = types.ModuleType("comfy.model_management"), types.ModuleType("comfy.utils")
    told = types.SimpleNamespace(steps=[], interrupted=False)

    class ProgressBar:
        def __init__(self, total):
            told.total = total

        def update_absolute(self, step):
            told.steps.append(step)

    def check():
        if told.interrupted:
            raise InterruptedError

    utils.ProgressBar = ProgressBar
    management.throw_exception_if_processing_interrupted = check
    monkeypatch.setitem(sys.modules, "comfy", types.ModuleType("comfy"))
    monkeypatch.setitem(sys.modules, "comfy.utils", utils)
    monkeypatch.setitem(sys.modules, "comfy.model_management", management)
    monkeypatch.setattr(nodes, "POLL_S", 0.0)
    return told


def test_progress_of_a_job_is_shown(comfyui):
    assert nodes.follow(Running(), 20) == "face"
    assert (comfyui.total, comfyui.steps) == (20, [5, 10])


def test_interrupting_cancels_the_job(comfyui):
    comfyui.interrupted, job = True, Running()
    with pytest.raises(InterruptedError):
        nodes.follow(job, 20)
    assert job.cancelled


def test_outside_comfyui_a_job_is_followed_in_silence(monkeypatch):
    monkeypatch.setattr(nodes, "POLL_S", 0.0)
    assert nodes.follow(Running(), 20) == "face"
