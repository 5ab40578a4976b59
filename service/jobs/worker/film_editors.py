"""What edits films on a worker: networks that are loaded for the first film and then kept."""

import json
import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from model_core.films.editing import FilmEditor
from model_core.latents.directions.available import read_directions
from model_core.output.provenance import system_version
from service.jobs.worker.film_marks import FilmMarker
from service.jobs.worker.held import BadJobError
from service.serving.aligner_loader import load_aligner
from service.serving.predictor_loader import load_predictor
from service.settings import Settings
from service.wire.signing import ContentSigner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model_core.alignment.ffhq import FaceAligner
    from model_core.latents.directions.library import Direction
    from model_core.predictor import Predictor

logger = logging.getLogger("service.jobs.worker")


class FilmEditors:
    """Makes the editors of films; blocking.

    Args:
        settings: The worker's settings.
        root: Folder of films.
        signer: Signs films; None without a certificate.
    """

    def __init__(self, settings: Settings, root: Path, signer: ContentSigner | None) -> None:
        self._settings, self.root, self._signer = settings, root, signer

    def editor(self, fields: "Mapping[str, str]") -> FilmEditor:
        """Make the editor that a job asks for.

        Args:
            fields: The job's hash.

        Raises:
            BadJobError: If the job belongs to another generator.
        """
        wanted = fields.get("fingerprint")
        if wanted != self.predictor.fingerprint:
            raise BadJobError(
                f"job must be for the generator {self.predictor.fingerprint[:12]}, got {wanted}"
            )
        return FilmEditor(
            self.predictor,
            self._aligner,
            json.loads(fields["directions"]),
            blend=fields["blend"],  # type: ignore[arg-type]  # checked by the service, and here
            face=int(fields["face"]),
            unsafe=bool(int(fields["unsafe"])),
            library=self._library,
        )

    @cached_property
    def predictor(self) -> "Predictor":
        """The networks."""
        logger.info("loading the networks for films")
        return load_predictor(self._settings)

    @property
    def max_bytes(self) -> int:
        """Most bytes of a film's files while it is edited."""
        return self._settings.max_films_bytes

    @property
    def marker(self) -> FilmMarker:
        """What marks edited films."""
        return FilmMarker(system_version(self.predictor.generator_name), self._signer)

    def check_device(self) -> None:
        """Find out whether the device still computes.

        Raises:
            RuntimeError: If it does not.
        """
        torch.zeros(1, device=self._settings.device).sum().item()

    @cached_property
    def _aligner(self) -> "FaceAligner":
        return load_aligner(self._settings)

    @cached_property
    def _library(self) -> "Mapping[str, Direction]":
        return read_directions(self._settings.directions, self.predictor)
