"""The compared embedding methods, by name."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from model_core.evaluation.baselines import (
    IMAGE2STYLEGAN,
    NOISE,
    NOISE_SHARE,
    CodeSearch,
    NoiseSearch,
    mean_code,
    random_code,
)
from model_core.evaluation.detailed import DetailedSearch
from model_core.evaluation.networks import EvaluationNetworks
from model_core.evaluation.recorder import Recorder
from model_core.evaluation.records import Record
from model_core.inversion.detail_iterator import DETAIL
from model_core.inversion.iterator import IteratorConfig, Render
from model_core.inversion.two_stage import EARLY_STEPS
from model_core.shapes import SingleCode, SingleImage

YARDSTICK = IteratorConfig(alpha=1.0, lr=0.05, betas=(0.9, 0.999), eps=1e-8)
"""The reference iterator: no schedule, no preconditioning, full generator."""

VARIANTS = ("mse", "mse-lpips", "mse-lpips-tuned", "single-resnet", "collaborative")
"""Ablation networks, all trained on one budget; the last one is trained as in the paper."""

TUNED = "mse-lpips-tuned"
"""The variant that comes with its own generator."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The parts of an embedding method.

    Attributes:
        start: "mean", "random" or the name of a network.
        loss: Perceptual distance of the optimisation; None for one-pass methods.
        config: Adam's settings and alpha.
        noise: Whether noise maps are optimised after the code.
        head: Whether the first steps render with the generator's image head.
        detail: Whether the code is rendered with the face's detail, which an optimisation then
            continues on.
    """

    start: str
    loss: str | None = None
    config: IteratorConfig = YARDSTICK
    noise: bool = False
    head: bool = False
    detail: bool = False


RECIPES = {
    "mean": Recipe("mean"),
    "network": Recipe("network"),
    "network+detail": Recipe("network", detail=True),
    "iterator": Recipe("mean", "st-lpips-alex"),
    "iterator-from-network": Recipe("network", "st-lpips-alex"),
    "iterator-from-random": Recipe("random", "st-lpips-alex"),
    "iterator-head-first": Recipe("mean", "st-lpips-alex", head=True),
    "iterator-head-first-from-network": Recipe("network", "st-lpips-alex", head=True),
    "iterator+detail": Recipe("network", "st-lpips-alex", head=True, detail=True),
    "iterator-mse": Recipe("mean", "none"),
    "iterator-mse-vgg": Recipe("mean", "vgg-features"),
    "image2stylegan": Recipe("mean", "vgg-features", IMAGE2STYLEGAN),
    "image2stylegan++": Recipe("mean", "vgg-features", IMAGE2STYLEGAN, noise=True),
    "stylegan-encoder": Recipe("single-resnet", "vgg-features", IMAGE2STYLEGAN),
}
METHODS = tuple(RECIPES)


@dataclass(frozen=True, slots=True)
class Method:
    """One embedding method.

    Attributes:
        name: One of METHODS or VARIANTS.
        start: Returns the first code of a face, given the face and its index.
        search: Optimises that code; zero steps for one-pass methods.
        noise: Optimises noise maps afterwards, or None.
        facts: Everything its results depend on, as JSON.
        detail: Returns a renderer of a face's codes with its detail, given the face and its first
            code; None renders codes without detail.
        detailed: Optimises code and detail in place of `search`, or None.
    """

    name: str
    start: Callable[[SingleImage, int], SingleCode]
    search: CodeSearch
    noise: NoiseSearch | None
    facts: dict[str, Any]
    detail: Callable[[SingleImage, SingleCode], Render] | None = None
    detailed: DetailedSearch | None = None

    @property
    def one_pass(self) -> bool:
        """Whether the method takes no steps."""
        return self.search.steps == 0

    @property
    def steps(self) -> int:
        """Total number of steps."""
        return self.search.steps + (self.noise.steps if self.noise else 0)

    def shortened(self) -> "Method":
        """Return a copy with one or two steps, enough to run every part once."""
        fewest = 2 if self.search.head or self.detailed else 1
        search = dataclasses.replace(self.search, steps=min(self.search.steps, fewest))
        noise = dataclasses.replace(self.noise, steps=1) if self.noise else None
        return dataclasses.replace(self, search=search, noise=noise)

    def run(self, face: SingleImage, index: int, recorder: Recorder) -> Record:
        """Embed one face."""
        start = self.start(face, index).float()
        if self.detailed:
            recorder.started()
            return recorder.record(self.detailed(face, start, self.search.steps, recorder))
        true, head = self.search.render, self.search.head
        if self.detail:
            true = self.detail(face, start)
        recorder.started()
        if head:
            head = dataclasses.replace(head, render=recorder.wrap(head.render, true))
        search = dataclasses.replace(self.search, render=recorder.wrap(true), head=head)
        ws = search(face, start, recorder.on_step)
        if self.noise:
            recorder.next_leg(search.steps)
            images = recorder.wrap(self.noise.images)
            dataclasses.replace(self.noise, images=images)(face, ws, recorder.on_step)
        return recorder.record(ws)


def make_method(name: str, nets: EvaluationNetworks, steps: int) -> Method:
    """Build an embedding method by name.

    Args:
        name: One of METHODS or VARIANTS.
        nets: The networks.
        steps: Steps of the code optimisation, if it has one.

    Raises:
        InvalidInputError: If a network or image head it needs was not given.
    """
    recipe = RECIPES.get(name, Recipe(name))
    distance = nets.distance(recipe.loss or "none")
    render = nets.tuned_render() if name == TUNED else nets.render
    head = nets.head_render if recipe.head else None
    search = CodeSearch(render, distance, recipe.config, steps if recipe.loss else 0, head)
    facts: dict[str, Any] = {
        "name": name,
        "backend": nets.backend,
        "dtype": nets.precision.name,
        "weights": [nets.digests.get(part) for part in ("generator", recipe.start)],
        "steps": search.steps,
    }
    if recipe.loss:
        facts |= {"loss": distance.name, "iterator": dataclasses.asdict(recipe.config)}
    if nets.device != "cpu":  # records made on the CPU keep their old keys
        facts["device"] = nets.device_name
    if head:
        facts["head"] = {
            "weights": nets.digests["head"],
            "size_px": head.size_px,
            "steps": EARLY_STEPS,
        }
    if name == TUNED:
        facts["tuned_generator"] = nets.digests["tuned generator"]
    detail = detailed = None
    if recipe.detail:
        facts["detail"] = nets.detail_renderer.fingerprint
        if recipe.loss:
            detailed = DetailedSearch(
                render,
                nets.detail_render,
                nets.detail_renderer.encode,
                nets.show_detail,
                distance,
                recipe.config,
                head,
            )
            facts["detail iterator"] = dataclasses.asdict(DETAIL)
        else:
            detail = nets.render_with_detail
    noise = None
    if recipe.noise:
        images, own = nets.noisy_images()
        noise = NoiseSearch(images, own, max(1, round(NOISE_SHARE * steps)))
        facts["noise"] = dataclasses.asdict(NOISE) | {"steps": noise.steps}
    return Method(name, _start(recipe.start, nets), search, noise, facts, detail, detailed)


def _start(name: str, nets: EvaluationNetworks) -> Callable[[SingleImage, int], SingleCode]:
    if name == "mean":
        code = mean_code(nets.generator).to(nets.device)
        return lambda _face, _index: code
    if name == "random":
        return lambda _face, index: random_code(nets.generator, index).to(nets.device)
    embed = nets.embedder(name)
    return lambda face, _index: embed(face)
