"""ComfyUI nodes over `wplus_client`: embed, edit, morph, colorize, refine.

ComfyUI's IMAGE is float32 (batch, height, width, 3) in [0, 1]. WPLUS_FACE is a client's `Face`,
whose code and detail the service keeps under its latent id.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from wplus_client import Client, Face, Job, ServiceError

CATEGORY = "wplus"
FACE = "WPLUS_FACE"
DEFAULT_URL = "http://127.0.0.1:8000"
POLL_S = 0.5
T = TypeVar("T")

Input = dict[str, Any]
"""Inputs of a node as ComfyUI describes them: type and options, by name."""


def connect(url: str) -> Client:
    """Make a client of the service.

    WPLUS_API_KEY goes to the service at WPLUS_URL alone: the url of a node comes from a workflow,
    which may be a stranger's.
    """
    own = os.environ.get("WPLUS_URL", DEFAULT_URL)
    key = os.environ.get("WPLUS_API_KEY") if url == own else None
    return Client(url, key=key)


def with_codes(call: Callable[..., T], *faces: Face) -> T:
    """Call with faces, and again with their codes if the service has forgotten them."""
    try:
        return call(*faces)
    except ServiceError as err:
        if err.code != "unknown-latent":
            raise
        return call(*(replace(face, latent_id=None) for face in faces))


def to_image(face: Face) -> Tensor:
    """Convert a face's image to (1, height, width, 3) in [0, 1]."""
    pixels = np.asarray(face.pil().convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(pixels)[None]


def to_photo(image: Tensor) -> np.ndarray:
    """Convert an image, a batch of one, to bytes, (height, width, 3).

    Raises:
        ValueError: If it is not one image of RGB.
    """
    if image.ndim != 4 or image.shape[-1] != 3 or len(image) != 1:
        raise ValueError(f"image must be one, (1, height, width, 3), got {tuple(image.shape)}")
    return (image[0].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


class _Node:
    """What all nodes share."""

    CATEGORY = CATEGORY
    FUNCTION = "run"
    RETURN_TYPES: ClassVar[tuple[str, ...]] = (FACE, "IMAGE")
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("face", "image")
    REQUIRED: ClassVar[Input]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Input]:  # noqa: N802 - ComfyUI's name
        """Describe the inputs: the node's own, and where the service is."""
        return {"required": cls.REQUIRED, "optional": {"url": ("STRING", {"default": DEFAULT_URL})}}


class WplusEmbed(_Node):
    """A photo to its face: the code, and the reconstruction."""

    REQUIRED: ClassVar[Input] = {
        "image": ("IMAGE",),
        "face": ("INT", {"default": 0, "min": 0, "max": 100}),
    }

    def run(self, image: Tensor, face: int = 0, url: str = DEFAULT_URL) -> tuple[Face, Tensor]:
        """Embed the photo's largest face, or the one of that rank."""
        with connect(url) as client:
            found = client.embed(to_photo(image), face=face, format="png")
        return found, to_image(found)


class WplusEdit(_Node):
    """Change attributes of a face."""

    REQUIRED: ClassVar[Input] = {
        "face": (FACE,),
        "directions": ("STRING", {"default": "smile:1.5", "multiline": False}),
    }

    def run(self, face: Face, directions: str, url: str = DEFAULT_URL) -> tuple[Face, Tensor]:
        """Move a face along directions, such as `smile:1.5,pose:-1`."""
        with connect(url) as client:
            values = read_directions(directions)
            edited = with_codes(lambda it: client.edit(it, directions=values, format="png"), face)
        return edited, to_image(edited)


class WplusMorph(_Node):
    """Blend two faces: one image, or the frames of an animation as a batch."""

    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("IMAGE",)
    RETURN_NAMES: ClassVar[tuple[str, ...]] = ("frames",)

    REQUIRED: ClassVar[Input] = {
        "first": (FACE,),
        "second": (FACE,),
        "frames": ("INT", {"default": 1, "min": 1, "max": 60}),
        "lam": ("FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.05}),
    }

    def run(
        self, first: Face, second: Face, frames: int = 1, lam: float = 0.5, url: str = DEFAULT_URL
    ) -> tuple[Tensor]:
        """Blend with the share `lam` of the first, or from the first to the second in frames."""
        with connect(url) as client:
            if frames == 1:
                half = with_codes(lambda a, b: client.morph(a, b, lam, format="png"), first, second)
                return (to_image(half),)
            faces = with_codes(
                lambda a, b: client.morph(a, b, steps=frames, format="png"), first, second
            )
        return (torch.cat([to_image(face) for face in faces]),)


class WplusColorize(_Node):
    """Give a grey face the colours of another."""

    REQUIRED: ClassVar[Input] = {"gray": (FACE,), "color": (FACE,)}

    def run(self, gray: Face, color: Face, url: str = DEFAULT_URL) -> tuple[Face, Tensor]:
        """Keep the first face's structure and take the second's colours."""
        with connect(url) as client:
            colored = with_codes(lambda a, b: client.colorize(a, b, format="png"), gray, color)
        return colored, to_image(colored)


class WplusRefine(_Node):
    """Bring a code nearer to its photo by many optimisation steps."""

    REQUIRED: ClassVar[Input] = {
        "image": ("IMAGE",),
        "steps": ("INT", {"default": 100, "min": 1, "max": 5000}),
    }

    def run(self, image: Tensor, steps: int = 100, url: str = DEFAULT_URL) -> tuple[Face, Tensor]:
        """Start a job, show its progress, and cancel it if ComfyUI is interrupted."""
        with connect(url) as client:
            refined = follow(client.refine(to_photo(image), steps=steps), steps)
        return refined, to_image(refined)


def read_directions(text: str) -> dict[str, float]:
    """Read `smile:1.5,pose:-1`.

    Raises:
        ValueError: If it is not of that form.
    """
    try:
        pairs = [part.split(":") for part in text.split(",") if part.strip()]
        directions = {name.strip(): float(amount) for name, amount in pairs}
    except ValueError:
        directions = {}
    if not directions:
        raise ValueError(f"directions must be like smile:1.5,pose:-1, got {json.dumps(text)}")
    return directions


def follow(job: Job, steps: int) -> Face:
    """Wait for a job with ComfyUI's progress bar; an interruption cancels it."""
    report, check = _comfyui(steps)
    try:
        while (status := job.status())["state"] in ("queued", "running", "cancelling"):
            report(status["progress"]["step"] or 0)
            check()
            time.sleep(POLL_S)
    except BaseException:
        job.cancel()
        raise
    return job.result()


def _comfyui(steps: int) -> tuple[Callable[[int], object], Callable[[], object]]:
    """Return how to report a step and how to check for an interruption; nothing outside ComfyUI."""
    try:
        from comfy.model_management import (  # type: ignore[import-not-found]
            throw_exception_if_processing_interrupted,
        )
        from comfy.utils import ProgressBar  # type: ignore[import-not-found]
    except ImportError:
        return (lambda _step: None), (lambda: None)
    return ProgressBar(steps).update_absolute, throw_exception_if_processing_interrupted


NODE_CLASS_MAPPINGS = {
    "WplusEmbed": WplusEmbed,
    "WplusEdit": WplusEdit,
    "WplusMorph": WplusMorph,
    "WplusColorize": WplusColorize,
    "WplusRefine": WplusRefine,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "WplusEmbed": "Embed face (wplus)",
    "WplusEdit": "Edit face (wplus)",
    "WplusMorph": "Morph faces (wplus)",
    "WplusColorize": "Colorize face (wplus)",
    "WplusRefine": "Refine face (wplus)",
}
