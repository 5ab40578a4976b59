import subprocess
import sys

import numpy as np
import pytest
import torch

from model_core.embedder import Embedder
from model_core.loading import load_embedding_network, load_generator


@pytest.fixture(scope="module")
def network(cache, network_file):
    generator, fingerprint = load_generator(cache)
    return load_embedding_network(network_file, cache, generator, fingerprint)


@pytest.fixture(scope="module")
def faces():
    return 2 * torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0)) - 1


def test_identity_comes_from_one_face_and_attributes_from_the_other(network, faces):
    a, b = faces.split(1)
    found = Embedder(network, compiled=False)(a, b)
    with torch.inference_mode():
        expected = network(b, a)
    assert (found - expected).std() < 0.02 * expected.std()  # bfloat16
    assert (found - network(a)).std() > 0.1 * expected.std()


COMPILED = """
import sys, numpy, torch
from pathlib import Path
from model_core.embedder import Embedder
from model_core.loading import load_embedding_network, load_generator
cache, network_file, faces, before, after = map(Path, sys.argv[1:])
generator, fingerprint = load_generator(cache)
network = load_embedding_network(network_file, cache, generator, fingerprint)
embedder = Embedder(network, compiled=True, at_once=True)
faces = torch.from_numpy(numpy.load(faces))
numpy.save(before, embedder(faces, faces).numpy())
embedder.hasten()
embedder._merge._swap.wait()
assert embedder._merge._swap.swapped
numpy.save(after, embedder(faces, faces).numpy())
"""


@pytest.mark.slow
def test_compiled_it_gives_the_same_codes(cache, network_file, faces, tmp_path):
    files = [tmp_path / name for name in ("faces.npy", "before.npy", "after.npy")]
    np.save(files[0], faces.numpy())
    # In a process of its own: the compiler cannot read functions whose shapes are checked.
    command = [sys.executable, "-c", COMPILED, cache, network_file, *files]
    subprocess.run(command, check=True, timeout=600)
    before, after = np.load(files[1]), np.load(files[2])
    assert after.shape == (2, 18, 512)
    assert (after - before).std() < 0.02 * before.std()
