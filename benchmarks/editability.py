"""Measure identity and strength of edits with and without detail: python benchmarks/editability.py.

Faces are embedded and edited as the service does, by the code alone and with its detail, and
compared with their photos by the identity judge. Directions are tried at the ends of their safe
ranges and halfway there; the change of the attribute is measured on the results, against the
photo's reconstruction.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from faces import add_options, choose_faces
from jaxtyping import UInt8
from networks import WEIGHTS, small_images
from tables import show

from model_core.images import FACE_PX, to_float, to_uint8
from model_core.latents.directions.library import load_directions
from model_core.latents.directions.measuring import Measurer, column
from model_core.latents.directions.wanted import WANTED
from model_core.latents.editing import colorize, move
from model_core.latents.latent import Detail, Latent
from model_core.metrics.identity import SAME_PERSON_SIMILARITY
from model_core.networks.loading import load_generator, load_judge
from model_core.predictor import Predictor
from model_core.runtime.execution import Execution
from model_core.runtime.identity_judge import IdentityJudge
from model_core.weights.cache import cache_folder

MEASURES = {each.name: each.measures for each in WANTED}

Pixels = UInt8[np.ndarray, "height width 3"]
Edit = Callable[[int], torch.Tensor]


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser, 20)
    options = parser.parse_args()
    cache = cache_folder(None)
    generator, _ = load_generator(cache)
    photos = to_uint8(choose_faces(options, generator, small_images(generator, FACE_PX), cache))
    faces = photos.permute(0, 2, 3, 1).numpy()
    predictor = Predictor.load(
        cache,
        WEIGHTS / "embedding.safetensors",
        backend="openvino",
        detail=WEIGHTS / "detail.safetensors",
    )
    network = load_judge(cache)
    if network is None:
        raise SystemExit("faceres is not in the cache: run `wplus pull`")
    judge = IdentityJudge(network, Execution(backend="openvino"))
    measurer = Measurer(cache)
    directions = load_directions(WEIGHTS / "directions", predictor)
    latents = [embed(predictor, face) for face in faces]

    def list_edits() -> dict[str, tuple[Edit, str | None]]:
        """Return, by name, each edit's function and the attribute it changes."""
        found: dict[str, tuple[Edit, str | None]] = {
            "none": (lambda i: latents[i].ws, None),
            "colorize": (
                lambda i: colorize(latents[i].ws[None], latents[i - 1].ws[None])[0],
                None,
            ),
        }
        for name, direction in directions.items():
            low, high = direction.calibration.held
            for strength in (low, low / 2, high / 2, high):
                found[f"{name} {strength:+g}"] = (
                    lambda i, step=direction.step, strength=strength: move(
                        latents[i].ws[None], step, strength
                    )[0],
                    name,
                )
        return found

    rows = []
    for edit, (change, attribute) in list_edits().items():
        row: dict[str, object] = {"edit": edit}
        for variant in ("code alone", "with detail"):
            before, after = [], []
            for i, latent in enumerate(latents):
                kept = latent if variant == "with detail" else Latent(latent.ws)
                if attribute:
                    before.append(predictor.render([kept])[0])
                after.append(predictor.render([kept.moved_to(change(i))])[0])
            alike = torch.stack([compare(judge, *pair) for pair in zip(faces, after, strict=True)])
            row[f"{variant}: similarity"] = float(alike.mean())
            row[f"{variant}: same person"] = float((alike >= SAME_PERSON_SIMILARITY).float().mean())
            moved = None
            if attribute:
                moved = measure(measurer, attribute, after) - measure(measurer, attribute, before)
            row[f"{variant}: change"] = "" if moved is None else float(np.nanmean(moved))
        rows.append(row)
    show(f"editability {'photos' if options.photos else 'public faces'}", rows)


def embed(predictor: Predictor, face: Pixels) -> Latent:
    """Embed a face with its detail."""
    ws = predictor.embed(face[None])
    return Latent(ws[0], Detail(predictor.encode_detail(face[None], ws)[0], ws[0]))


def compare(judge: IdentityJudge, a: Pixels, b: Pixels) -> torch.Tensor:
    """Return the identity similarity of two images."""
    images = (to_float(torch.from_numpy(each.copy()).permute(2, 0, 1)[None]) for each in (a, b))
    return judge(*images)[0]


def measure(measurer: Measurer, attribute: str, images: list[Pixels]) -> np.ndarray:
    """Measure an attribute of faces; NaN where none is found."""
    return column(np.stack([measurer(image).values for image in images]), *MEASURES[attribute])


if __name__ == "__main__":
    main()
