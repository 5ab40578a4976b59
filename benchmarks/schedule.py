"""The iterator's learning rate and how it falls: python benchmarks/schedule.py [--photos DIR ...].

From the embedding network's code, as `POST /refine` runs it (first steps by the image head at 256
px), one face after the other: equation 1, MSE and st-lpips-vgg of true output at 256 px for the
best code, means over faces.
"""

import argparse
from pathlib import Path

import torch
from faces import add_options, choose_faces
from tables import show

from model_core.checkpoints.layout import cache_folder
from model_core.fast_path import FastIterator, HeadRender
from model_core.heap import keep_freed_memory
from model_core.iterator import IteratorConfig, IteratorState
from model_core.loading import (
    load_embedding_network,
    load_generator,
    load_image_head,
    load_stlpips,
)
from model_core.rendering import SmallImages

WEIGHTS = Path(__file__).parents[1] / "weights"
FACE_PX = 256
WAYS = {
    "lr .05": IteratorConfig(),
    "lr .05, last quarter falls": IteratorConfig(decay_share=0.25),
    "lr .05, last half falls": IteratorConfig(decay_share=0.5),
    "lr .05, last three quarters fall": IteratorConfig(decay_share=0.75),
    "lr .1, last half falls": IteratorConfig(lr=0.1, decay_share=0.5),
    "lr .03": IteratorConfig(lr=0.03),
}


def main() -> None:
    """Run the measurement from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser, count=4)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--ways", type=int, default=len(WAYS), help="only the first ones")
    options = parser.parse_args()
    keep_freed_memory()
    cache = cache_folder(None)
    generator, fingerprint = load_generator(cache)
    network = load_embedding_network(
        WEIGHTS / "embedding.safetensors", cache, generator, fingerprint
    )
    image_head = load_image_head(WEIGHTS / "image_head_256.safetensors", fingerprint)
    render = torch.compile(SmallImages(generator, FACE_PX))
    head = HeadRender(torch.compile(SmallImages(generator, FACE_PX, image_head)), FACE_PX)
    lpips, vgg = load_stlpips(cache).bfloat16(), load_stlpips(cache, "vgg")
    faces = choose_faces(options, generator, render, cache)
    with torch.no_grad():
        starts = network(faces).float()
    rows: list[dict[str, object]] = []
    for name, config in list(WAYS.items())[: options.ways]:
        iterator, found = FastIterator(render, lpips, config, head), []
        for face, ws in zip(faces.split(1), starts.split(1), strict=True):
            state = iterator.run(IteratorState.start(ws), face, options.steps)
            with torch.no_grad():
                img = render(state.best_ws).clamp(-1, 1)
                far = vgg.distance(vgg.features(img), vgg.features(face))
            error = (img - face).square().mean()
            found.append([state.best_loss.item(), error.item(), far.item()])
        loss, mse, distance = torch.tensor(found).mean(dim=0).tolist()
        rows.append({"way": name, "equation 1": loss, "MSE": mse, "st-lpips-vgg": distance})
    show("schedule photos" if options.photos else "schedule", rows)


if __name__ == "__main__":
    main()
