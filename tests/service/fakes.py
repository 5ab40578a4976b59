"""Stand-ins for the networks: quick, deterministic, and exact where a test needs to tell codes."""

import threading
import time
from dataclasses import dataclass

import numpy as np
import torch

from model_core.alignment.face_search import FaceSearch
from model_core.alignment.sightings import DetectedFace
from model_core.inversion.polisher import Polished
from model_core.latents.latent import Detail, Latent, blend
from model_core.runtime.precision import FLOAT32


@dataclass(frozen=True)
class FakeQuality:
    psnr: float = 20.0
    ssim: float = 0.5
    lpips: float = 0.4
    lpips_net: str = "st-lpips-alex"
    identity_similarity: float | None = 0.9
    same_person: bool | None = True


class FakePolishing:
    """A brighter code after the first step; steps take their time, as real ones do."""

    STEP_S = 0.01

    def __init__(self, predictor, ws):
        self._predictor, self._ws, self._steps = predictor, ws, 0

    @property
    def result(self):
        return Polished(self._ws + 0.1 if self._steps else self._ws, self._steps)

    def go_on(self, end_s, pause=lambda: False):
        self._predictor._work("polish", 1)
        while time.monotonic() + self.STEP_S < end_s:
            time.sleep(self.STEP_S)
            self._steps += 1
            if pause():
                return time.monotonic() + self.STEP_S >= end_s
        return True


class FakePredictor:
    """A code is the face's mean colour in every element; an image shows the code's first rows."""

    num_ws, w_dim, img_resolution = 18, 512, 64
    generator_name, backend, precision = "fake", "eager", FLOAT32
    fingerprint = "f" * 64
    identity_judge = "faceres"
    detail_shape, detail_digest = (2, 4, 4), "d" * 64
    found = FakeQuality()

    def __init__(self, delay_s=0.0, batched=True):
        self.weight_digests = {"fake.safetensors": "a" * 64}
        self.delay_s, self.batched = delay_s, batched
        self.calls = []
        self.failure = None

    def _work(self, op, size):
        self.calls.append((op, size))
        time.sleep(self.delay_s)
        if self.failure is not None:
            raise self.failure

    def embed(self, faces):
        self._work("embed", len(faces))
        means = torch.from_numpy(faces).float().mean((1, 2, 3)) / 255
        return means[:, None, None].expand(-1, 18, 512).clone()

    def merge(self, identity, attribute):
        """The identity's mean colour in the even elements, the attribute's in the odd ones."""
        self._work("merge", len(identity))
        ws = self.embed(identity)
        ws[..., 1::2] = self.embed(attribute)[..., 1::2]
        return ws

    def spread(self, directions):
        return torch.full((len(directions),), 0.5)

    def encode_detail(self, faces, ws):
        """The face's mean colour again, halved."""
        self._work("detail", len(faces))
        means = torch.from_numpy(faces).float().mean((1, 2, 3)) / 510
        return means[:, None, None, None].expand(-1, *self.detail_shape).half()

    def blend(self, a, b, lam, ws):
        self._work("blend", 1)
        tensor = blend(*(each.detail and each.detail.tensor for each in (a, b)), lam)
        return Latent(ws, None if tensor is None else Detail(tensor, ws))

    def render(self, latents):
        """A latent with detail has a white corner of one pixel."""
        images = self.synthesize(torch.stack([latent.ws for latent in latents]))
        for image, latent in zip(images, latents, strict=True):
            if latent.detail is not None:
                image[0, 0] = 255
        return images

    def synthesize(self, ws):
        self._work("synthesize", len(ws))
        shades = (ws[:, [0, 7, 8], 0] * 255).round().clamp(0, 255).byte().numpy()
        side = self.img_resolution
        return np.broadcast_to(shades[:, None, None], (len(ws), side, side, 3)).copy()

    def import_compiler(self):
        pass

    def start_compiling(self):
        pass

    def quality(self, faces, images):
        self._work("quality", len(faces))
        return [self.found] * len(faces)

    embeds = merges = polishes = True

    def polishing(self, faces, ws):
        return FakePolishing(self, ws)

    def batches(self, operation):
        return self.batched and operation not in ("polish", "sample")

    def sample(self, seed, psi):
        self._work("sample", 1)
        generator = torch.Generator().manual_seed(seed)
        return psi * torch.rand(1, 18, 512, generator=generator)


@dataclass(frozen=True)
class FakeAlignedFace:
    image: np.ndarray
    face: DetectedFace
    quad: np.ndarray


class FakeSearch(FaceSearch):
    """A search with given results."""

    def __init__(self, faces):
        self.faces = faces

    @property
    def largest(self):
        return next(iter(self.faces), None)


class FakeAligner:
    """Finds one face in every photo that is not black: the whole of it."""

    def find(self, photo):
        if not photo.any():
            return []
        height, width, _ = photo.shape
        return [DetectedFace((0.0, 0.0, float(width), float(height)), np.zeros((68, 2)), 1.5)]

    def search(self, photo, all_faces=False):
        self.was_for_all = all_faces
        return FakeSearch(self.find(photo))

    def align(self, photo, face, size=256):
        mean = photo.mean((0, 1)).round().astype(np.uint8)
        _, _, width, height = face.box
        quad = np.array([[0, 0], [0, height], [width, height], [width, 0]])
        return FakeAlignedFace(np.broadcast_to(mean, (size, size, 3)).copy(), face, quad)


def wait_until(condition, seconds=10.0):
    """Wait for a condition that something else brings about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


class Held(FakePredictor):
    """Stops in its next call, once told to, until let go."""

    def __init__(self):
        super().__init__()
        self.hold, self.go = False, threading.Event()

    def _work(self, op, size):
        if self.hold:
            self.go.wait(10)
        super()._work(op, size)


def in_background(function):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(function()))
    thread.start()
    return thread, answers
