"""The refine job of the service as an embedder: code first, then detail."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from model_core.evaluation.recorder import Recorder
from model_core.inversion.detail_iterator import DetailIterator, DetailRender
from model_core.inversion.detailed import (
    DetailedIterator,
    EncodeDetail,
    RefineState,
    code_steps,
)
from model_core.inversion.iterator import IteratorConfig, Render, StepReport
from model_core.inversion.two_stage import HeadRender
from model_core.perceptual.stlpips import Perceptual
from model_core.shapes import Codes, Details, SingleCode, SingleImage


@dataclass(frozen=True, slots=True)
class DetailedSearch:
    """Optimise code and detail of one face.

    Whatever the steps see, the image of code and detail at full size, brought to the face's size by
    area, is measured.

    Attributes:
        render: Codes to true output.
        upper: Renders details.
        encode: The detail encoder.
        show: Codes and details to the images that are measured.
        distance: The perceptual part of the loss.
        config: Adam's values and alpha, for the code.
        head: Renders the steps on the code, if there is one.
    """

    render: Render
    upper: DetailRender
    encode: EncodeDetail
    show: Callable[[Codes, Details], SingleImage]
    distance: Perceptual
    config: IteratorConfig
    head: HeadRender | None

    def __call__(
        self, face: SingleImage, start: SingleCode, steps: int, recorder: Recorder
    ) -> SingleCode:
        """Return the code, after so many steps on it and the detail."""

        def show_code(ws: Codes) -> SingleImage:
            return self.show(ws, self.encode(face, ws))

        def show_detail(_features: Tensor, details: Tensor, ws: Codes) -> SingleImage:
            return self.show(ws, details.half())

        head, upper = self.head, self.upper
        if head:
            head = replace(head, render=recorder.wrap(head.render, show_code))
        if upper.head is not None:
            upper = replace(upper, head=recorder.wrap(upper.head, show_detail))
        else:
            upper = replace(upper, true=recorder.wrap(upper.true, show_detail))
        iterator = DetailedIterator(
            recorder.wrap(self.render, show_code),
            self.distance,
            DetailIterator(upper, self.distance),
            self.encode,
            self.config,
            head,
        )
        state = RefineState.start(start)

        def on_step(report: StepReport) -> bool:
            goes_on = recorder.on_step(report)
            if report.phase == "code" and report.step == code_steps(steps):
                recorder.next_leg(0)  # reports of the detail count on
            return goes_on

        iterator.run(state, face, steps, on_step)
        return state.codes.best_ws
