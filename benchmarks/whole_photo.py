"""Whole photos with an edited face: python benchmarks/whole_photo.py FOLDER [--sheet FILE].

Asks a running service for `/edit` with output=photo of every photo in a folder, as PNG, and reports
errors, pixels that changed outside the box in the answer, the seam, whether FaceRes sees the same
person, and the time of a photo of 12 megapixels. The seam is the mean step between neighbouring
pixels across the line where the changes begin, in the answer, over that in the photo.
"""

import argparse
import base64
import io
import statistics
import time
from pathlib import Path

import cv2
import httpx2 as httpx
import numpy as np
import torch
from photos import jpeg
from PIL import Image
from tables import show

from model_core.alignment.ffhq import FaceAligner, ffhq_quad
from model_core.contact_sheet import draw_sheet
from model_core.images import to_float
from model_core.metrics.identity import SAME_PERSON_SIMILARITY
from model_core.networks.loading import load_judge
from model_core.photos.reader import PhotoLimits, read_photo
from model_core.runtime.execution import Execution
from model_core.runtime.identity_judge import IdentityJudge
from model_core.shapes import Pixels, SquarePixels
from model_core.weights.cache import LANDMARKS, cache_folder, verified_path

CELL_PX = 320
LARGE = (4000, 3000)


def main() -> None:
    """Run the measurement from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--direction", default="smile")
    parser.add_argument("--strength", type=float, default=1.5)
    parser.add_argument("--blend", default="auto")
    parser.add_argument("--count", type=int, help="most photos; all of them if unset")
    parser.add_argument("--sheet", type=Path, help="PNG or JPEG of photo and answer, face by face")
    options = parser.parse_args()
    cache = cache_folder(None)
    aligner = FaceAligner(verified_path(cache, LANDMARKS))
    judge = load_judge(cache)
    compares = IdentityJudge(judge, Execution.choose("cpu", "eager")) if judge else None
    fields = {
        "direction": options.direction,
        "strength": options.strength,
        "blend": options.blend,
        "output": "photo",
        "format": "png",
    }
    errors: dict[str, int] = {}
    outside, seams, similarities = 0, [], []
    blends: dict[str, int] = {}
    rows: list[list[SquarePixels]] = []
    largest: tuple[float, bytes] = (0.0, b"")
    for file in sorted(options.folder.iterdir())[: options.count]:
        data = file.read_bytes()
        answer = httpx.post(f"{options.url}/edit", files={"image": data}, data=fields, timeout=120)
        if answer.status_code != 200:
            code = answer.json().get("code", str(answer.status_code))
            errors[code] = errors.get(code, 0) + 1
            print(file.name, answer.json().get("detail"))
            continue
        body = answer.json()
        photo = read_photo(data, PhotoLimits(own_size=True)).pixels
        result = np.asarray(Image.open(io.BytesIO(base64.b64decode(body["image"]["data"]))))
        (pasted,) = body["pasted"]
        blends[pasted["blend"]] = blends.get(pasted["blend"], 0) + 1
        outside += changed_outside(photo, result, pasted.get("box"))
        if (step := seam(photo, result)) is not None:
            seams.append(step)
        face = aligner.search(photo).choose(0)
        crops = [aligner.align(image, face, 256).image for image in (photo, result)]
        similarity = float("nan")
        if compares is not None:
            pair = [to_float(torch.from_numpy(crop).permute(2, 0, 1)[None]) for crop in crops]
            similarity = float(compares(*pair)[0])
            similarities.append(similarity)
        largest = max(largest, (face.width / max(photo.shape), data))
        quad = ffhq_quad(face.landmarks)
        rows.append([view(image, quad) for image in (photo, result)])
        print(file.name, pasted["blend"], f"seam {step or 0:.2f}, similarity {similarity:.3f}")
    report: dict[str, object] = {
        "photos": len(rows),
        "errors": errors or "none",
        "blends": blends,
        "pixels changed outside the boxes": outside,
        "seam, median": statistics.median(seams),
        "seam, 95 % below": float(np.percentile(seams, 95)),
    }
    if similarities:
        same = sum(each >= SAME_PERSON_SIMILARITY for each in similarities)
        report["same person, %"] = 100 * same / len(similarities)
        report["similarity, median"] = statistics.median(similarities)
    report["12 MP, s"] = time_of_large(options.url, largest[1], fields)
    show("whole photos", [{"what": name, "figure": value} for name, value in report.items()])
    if options.sheet:
        # Four pairs a row.
        cells = [cell for row in rows for cell in row]
        draw_sheet([cells[i : i + 8] for i in range(0, len(cells), 8)], options.sheet)


def changed_outside(photo: Pixels, result: Pixels, box: list[int] | None) -> int:
    """Count the pixels outside a box that differ."""
    differs = (photo != result).any(2)
    if box is not None:
        left, top, right, bottom = box
        differs[top:bottom, left:right] = False
    return int(differs.sum())


def seam(photo: Pixels, result: Pixels) -> float | None:
    """Return the step across the line where changes begin over that in the photo; None without."""
    differs = (photo != result).any(2).astype(np.uint8)
    # Pixels inside that happen to be equal are no line.
    inside = cv2.morphologyEx(differs, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    inside = cv2.morphologyEx(inside, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8)) > 0
    steps = []
    for image in (photo, result):
        total, count = 0.0, 0
        for axis in (0, 1):
            across = np.diff(inside, axis=axis)
            jumps = np.abs(np.diff(image.astype(np.int16), axis=axis)).mean(2)
            total, count = total + float(jumps[across].sum()), count + int(across.sum())
        if not count:
            return None
        steps.append(total / count)
    return steps[1] / max(steps[0], 1e-6)


def view(image: Pixels, quad: np.ndarray) -> SquarePixels:
    """Cut out a face's surroundings, one and a half times its crop, as a cell of the sheet."""
    middle, side = quad.mean(0), 0.75 * float(np.linalg.norm(quad[1] - quad[0]))
    box = (*(middle - side).round().astype(int), *(middle + side).round().astype(int))
    cut = Image.fromarray(image).crop(tuple(int(edge) for edge in box))
    return np.asarray(cut.resize((CELL_PX, CELL_PX), Image.Resampling.LANCZOS, reducing_gap=3))


def time_of_large(url: str, data: bytes, fields: dict[str, object]) -> str:
    """Time a JPEG of 12 megapixels, upload and answer, after one warm-up call."""
    photo = Image.open(io.BytesIO(data)).convert("RGB")
    canvas = Image.new("RGB", LARGE, (120, 120, 120))
    factor = min(LARGE[0] / photo.width, LARGE[1] / photo.height)
    size = (round(photo.width * factor), round(photo.height * factor))
    canvas.paste(photo.resize(size), ((LARGE[0] - size[0]) // 2, 0))
    sent = jpeg(canvas)
    times = []
    for _ in range(4):
        started_s = time.perf_counter()
        answer = httpx.post(
            f"{url}/edit",
            files={"image": sent},
            data=fields,
            headers={"Accept": "image/jpeg"},
            timeout=120,
        )
        answer.raise_for_status()
        times.append(time.perf_counter() - started_s)
        print(answer.headers["Server-Timing"])
    return ", ".join(f"{each:.2f}" for each in times[1:])


if __name__ == "__main__":
    main()
