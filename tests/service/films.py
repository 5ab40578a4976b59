"""Films to send, made on the spot, and stand-ins for the networks that edit them."""

import io
import math
import time
from fractions import Fraction

import av
import numpy as np
import torch

from model_core.alignment.ffhq import DetectedFace, FaceAligner
from model_core.films import editing, seeing, segments
from model_core.predictor import Predictor
from service.jobs.worker.film_editors import FilmEditors
from tests.service.fakes import FakeAligner, FakePredictor

SIZE = (128, 96)
RATE = 25


def landmarks(center=(64.0, 48.0), radius=16.0):
    """68 points of an upright face, as far as the crop needs them: a ring, eyes and a mouth."""
    x, y = center
    angles = np.linspace(0, math.pi, 68)
    points = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], 1)
    points[36:42] = (x - radius / 2, y - radius / 3)
    points[42:48] = (x + radius / 2, y - radius / 3)
    points[48:60] = (x, y + radius / 2)
    points[48], points[54] = (x - radius / 3, y + radius / 2), (x + radius / 3, y + radius / 2)
    return points


FACE = DetectedFace((44.0, 28.0, 84.0, 68.0), landmarks(), 1.5)


class FilmAligner(FakeAligner, FaceAligner):
    """Finds one face, always in the same place."""

    def __init__(self):
        pass  # loads nothing

    def find_in(self, grey):
        return [FACE]

    def glance(self, grey):
        return [FACE]

    def follow(self, grey, face):
        return face


class Blind(FilmAligner):
    """Finds no face."""

    def find_in(self, grey):
        return []

    def glance(self, grey):
        return []


class FilmPredictor(FakePredictor, Predictor):
    """Knows everybody as the same person; each frame takes its time, as a real one does."""

    detail_shape = None
    weight_digests = None

    def describe(self, faces):
        return torch.ones(len(faces), 4) / 2

    def _work(self, op, size):
        if op == "embed":
            time.sleep(self.delay_s)


class FakeFilmEditors(FilmEditors):
    """Edits films with the stand-ins."""

    def __init__(self, settings, root, signer=None, *, delay_s=0.0, aligner=FilmAligner):
        super().__init__(settings, root, signer)
        self.__dict__["predictor"] = FilmPredictor(delay_s)
        self.__dict__["_aligner"] = aligner()


def shorten_parts(frames=10):
    """Make parts of films short, so that few frames make several."""
    segments.SEGMENT_FRAMES = editing.SEGMENT_FRAMES = seeing.PART_FRAMES = frames


def film(frames=12, *, sound="aac", form="mp4", seed=0, codec="libx264"):
    """A film of a brightening square on noise, with a tone."""
    out = io.BytesIO()
    background = np.random.default_rng(seed).integers(60, 90, (SIZE[1], SIZE[0], 3), np.uint8)
    with av.open(out, "w", format=form) as container:
        stream = container.add_stream(codec, rate=RATE, options={"preset": "ultrafast"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        tone = container.add_stream(sound, rate=16000) if sound else None
        for index in range(frames):
            pixels = background.copy()
            pixels[28:68, 44:84] = 100 + index % 100
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            wave = np.sin(np.arange(16000 * frames // RATE) / 5).astype(np.float32)[None]
            samples = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            if sound != "aac":
                wave = (30_000 * wave).astype(np.int16)
                samples = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            samples.sample_rate, samples.pts = 16000, 0
            container.mux(tone.encode(samples))
            container.mux(tone.encode(None))
    return out.getvalue()


def decoded(data):
    """All frames of a film, (frames, height, width, 3), and whether it has sound."""
    with av.open(io.BytesIO(data)) as container:
        has_sound = bool(container.streams.audio)
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    return np.stack(frames), has_sound
