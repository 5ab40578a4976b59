"""Store the faces seen in a part of a film in a file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model_core.atomic_file import partial_file, publish
from model_core.films.observing import SeenFace, SeenFrame


def write_seen(target: Path, frames: Sequence[SeenFrame]) -> None:
    """Write frames, which are on disk when this returns."""
    faces = [face for frame in frames for face in frame.faces]
    described = [face.descriptor for face in faces if face.descriptor is not None]
    last = frames[-1].thumbnail
    columns = {
        "pts": np.array([frame.pts for frame in frames], np.int64),
        "change": np.array([frame.change for frame in frames], np.float64),
        "faces": np.array([len(frame.faces) for frame in frames], np.int64),
        "boxes": np.array([face.box for face in faces], np.float64).reshape(-1, 4),
        "landmarks": np.array([face.landmarks for face in faces], np.float64).reshape(-1, 68, 2),
        "scores": np.array([face.score for face in faces], np.float64),
        "described": np.array([face.descriptor is not None for face in faces], bool),
        "descriptors": np.array(described, np.float32),
        "thumbnail": np.zeros(0, np.float32) if last is None else last,
    }
    with partial_file(target) as file:
        np.savez(file, **columns)  # type: ignore[arg-type]
        publish(file, target)


def read_seen(source: Path) -> list[SeenFrame]:
    """Read frames; the last one has its thumbnail."""
    with np.load(source, allow_pickle=False) as columns:
        data = {name: columns[name] for name in columns.files}
    frames: list[SeenFrame] = []
    descriptors = iter(data["descriptors"])
    thumbnail = data["thumbnail"] if data["thumbnail"].size else None
    first = 0
    for i, count in enumerate(data["faces"].tolist()):
        faces = [
            SeenFace(
                tuple(data["boxes"][j].tolist()),
                data["landmarks"][j],
                float(data["scores"][j]),
                next(descriptors) if data["described"][j] else None,
            )
            for j in range(first, first + count)
        ]
        first += count
        is_last = i == len(data["faces"]) - 1
        pts, change = int(data["pts"][i]), float(data["change"][i])
        frames.append(SeenFrame(pts, change, faces, thumbnail if is_last else None))
    return frames


def read_times(source: Path) -> list[int]:
    """Read only when frames are shown, in the film's time base."""
    with np.load(source, allow_pickle=False) as columns:
        times: list[int] = columns["pts"].tolist()
    return times
