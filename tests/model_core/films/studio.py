"""Films to read, made on the spot, and quick stand-ins for the networks."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import skimage.data
import torch
from PIL import Image

from model_core.predictor import Predictor

SIDE = 160
RATE = 25
TICKS = Fraction(1, 12800)


def face_frame(x=0.0, y=0.0, side=SIDE):
    """The astronaut's face, 80 px wide of 160, shifted."""
    image = Image.fromarray(skimage.data.astronaut())
    scale = 200 / side
    matrix = (scale, 0, 125 + x * scale, 0, scale, 5 + y * scale)
    return np.array(
        image.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    )


def hidden_frame(x=0.0, y=0.0):
    """The same with the face blurred beyond recognition, as if it had turned away: no cut."""
    frame = face_frame(x, y)
    place = slice(10, 120), slice(20, 130)
    frame[place] = cv2.GaussianBlur(frame, (0, 0), 6)[place]
    return frame


def empty_frame(side=SIDE):
    """The background of such a film: a slope of grey."""
    row = np.linspace(90, 150, side).astype(np.uint8)
    return np.broadcast_to(row[None, :, None], (side, side, 3)).copy()


def moving(count):
    """Frames in which the face drifts."""
    return [face_frame(0.8 * i, 0.4 * i) for i in range(count)]


def write_film(
    target,
    frames,
    *,
    pts=None,
    codec="libx264",
    form=None,
    pix_fmt="yuv420p",
    sound=None,
    rotation=0,
    mirrored=False,
    prepare=lambda stream: None,
    options=None,
    container_options=None,
):
    """Encode frames, with a tone if the sound's codec is given."""
    with av.open(str(target), "w", format=form, options=container_options) as out:
        crisp = {"crf": "8", "preset": "ultrafast"} if codec == "libx264" else {}
        stream = out.add_stream(codec, rate=RATE, options=crisp | (options or {}))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.time_base = stream.codec_context.time_base = TICKS
        if rotation or mirrored:
            stream.set_display_rotation(rotation, hflip=mirrored)
        prepare(stream)
        noise = out.add_stream(sound, rate=48000, layout="mono") if sound else None
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels))
            frame.pts, frame.time_base = pts[i] if pts else i * 512, TICKS
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if noise is not None:
            add_tone(out, noise, len(frames) / RATE)
    return target


def add_tone(out, stream, seconds):
    form = stream.codec_context.format.name
    size = stream.codec_context.frame_size or 960
    resampler = av.AudioResampler(form, "mono", 48000, frame_size=size)
    for i in range(int(seconds * 48000 / size)):
        wave = 0.3 * np.sin((np.arange(size) + i * size) * 0.06)[None].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
        frame.rate, frame.pts, frame.time_base = 48000, i * size, Fraction(1, 48000)
        for each in resampler.resample(frame):
            out.mux(stream.encode(each))
    out.mux(stream.encode())


def read_frames(path):
    """Return the times and RGB pixels of all frames."""
    with av.open(str(path)) as film:
        frames = list(film.decode(video=0))
        times = [frame.pts * frame.time_base for frame in frames]
        return times, [frame.to_ndarray(format="rgb24") for frame in frames]


def read_packets(path, kind):
    """Return the times and bytes of all packets of the first picture or sound."""
    with av.open(str(path)) as film:
        packets = [each for each in film.demux(**{kind: 0}) if each.dts is not None]
        return [(each.pts * each.time_base, bytes(each)) for each in packets]


class StandInPredictor(Predictor):
    """A code is the crop's brightness; a render is the plain shade of its code; nothing is slow."""

    def __init__(self, batched=False):  # the networks are what is left out
        self.num_ws, self.w_dim, self.img_resolution = 18, 512, 64
        self.generator_name, self.fingerprint = "stand-in", "f" * 64
        self.weight_digests = {"stand-in.safetensors": "a" * 64}
        self.device = "cpu"
        self._batched = batched

    detail_shape = None

    def batches(self, operation):
        return self._batched

    def embed(self, faces):
        means = torch.from_numpy(faces).float().mean((1, 2, 3)) / 255
        return means[:, None, None].expand(-1, 18, 512).clone()

    def synthesize(self, ws, details=None):
        shades = (ws[:, 0, 0] * 255).round().clamp(0, 255).byte().numpy()
        return np.broadcast_to(shades[:, None, None, None], (len(ws), 64, 64, 3)).copy()

    def describe(self, faces):
        """Persons differ by the colour of their faces."""
        small = np.stack([cv2.resize(face[64:192, 64:192], (2, 2)) for face in faces])
        features = torch.from_numpy(small.reshape(len(faces), -1)).float() - 100
        return torch.nn.functional.normalize(features)


def brighter():
    """A direction that brightens."""
    from model_core.latents.directions.calibration import Calibration
    from model_core.latents.directions.library import Direction

    return {"light": Direction(torch.full((18, 512), 0.2), Calibration("light"))}


def unlike(a, b):
    """Mean difference in bytes."""
    return float(np.abs(np.asarray(a, np.int16) - b).mean())


def stale(folder: Path):
    return [each.name for each in folder.iterdir() if each.name.endswith(".partial")]
