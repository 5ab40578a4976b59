"""An engine on a stand-in predictor, and what to send it."""

import numpy as np

from service.observability.metrics import Telemetry
from service.serving.engine import Engine


def face(shade):
    return np.full((256, 256, 3), shade, np.uint8)


async def start(predictor, **options):
    engine = Engine(lambda: predictor, Telemetry(), **options)
    await engine.start()
    return engine
