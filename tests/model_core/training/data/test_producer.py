import multiprocessing
import os
import signal

import pytest
import torch

from model_core.errors import WplusError
from model_core.training.config import TrainConfig
from model_core.training.data.pairs import RENDER_CHUNK
from model_core.training.data.producer import PairProducer

CONFIG = TrainConfig(window=8, batch=2, checkpoint_every=1, compile=False)


def test_a_dead_child_is_an_error(generator, tmp_path):
    with PairProducer(CONFIG, tmp_path, generator, torch.device("cpu")) as producer:
        (child,) = multiprocessing.active_children()
        child.kill()
        child.join()
        with pytest.raises(WplusError, match="pair producer died with exit code -9"):
            producer.wait_for(1)


@pytest.mark.slow
def test_an_interrupt_leaves_the_child_to_its_parent(generator, tmp_path):
    with PairProducer(CONFIG, tmp_path, generator, torch.device("cpu")) as producer:
        producer.wait_for(1)
        (child,) = multiprocessing.active_children()
        os.kill(child.pid, signal.SIGINT)
        wanted = producer.ring.count + 3 * RENDER_CHUNK
        producer.wait_for(wanted)
        assert producer.ring.count >= wanted
        assert child.is_alive()
