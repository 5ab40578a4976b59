"""How close an image of a face comes to its photo."""

from model_core.shapes import Pixels
from service.handlers.context import RequestContext
from service.handlers.faces import FaceCrop
from service.wire.options import Options
from service.wire.schemas import REFINE_ABOVE_LPIPS, QualityObject


async def compare(
    context: RequestContext[Options], crop: FaceCrop, pixels: Pixels
) -> QualityObject:
    """Compare a rendered face with the photo's, at 256 px."""
    answer = await context.runtime.engine.quality(crop.input, pixels, context.deadline_s)
    quality = context.timings.take("quality", answer)
    return QualityObject(
        psnr=quality.psnr,
        ssim=quality.ssim,
        lpips=quality.lpips,
        lpips_net=quality.lpips_net,
        identity_similarity=quality.identity_similarity,
        same_person=quality.same_person,
        refine_recommended=quality.lpips > REFINE_ABOVE_LPIPS,
    )
