import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from model_core.metrics.identity import is_same_person
from model_core.metrics.quality import Comparison
from model_core.networks.loading import load_stlpips
from model_core.runtime.execution import Execution
from model_core.runtime.identity_judge import IdentityJudge
from tests.model_core.judges import seeded_judge

COMPILED = """
import sys, numpy, torch
from pathlib import Path
from model_core.networks.loading import load_stlpips
from model_core.runtime.execution import Execution
from model_core.metrics.quality import Comparison
cache, pictures, figures = map(Path, sys.argv[1:])
faces, images = (torch.from_numpy(stored) for stored in numpy.load(pictures).values())
lpips = load_stlpips(cache)
execution = Execution.choose()
compare = Comparison(lpips, None, execution)
row = lambda quality: (quality.psnr, quality.ssim, quality.lpips)
before = [row(quality) for quality in compare(faces, images)]
execution.queue.start()
execution.queue.wait()
assert compare._figures.compiled
after = [row(quality) for quality in compare(faces, images)]
numpy.savez(figures, before=before, after=after)
"""


@pytest.mark.slow
def test_compiled_it_gives_the_same_figures(cache, predictor, tmp_path):
    codes = torch.cat([predictor.sample(seed, 0.5) for seed in range(3)])
    rendered = torch.from_numpy(predictor.synthesize(codes)).permute(0, 3, 1, 2) / 127.5 - 1
    pictures, figures = tmp_path / "pictures.npz", tmp_path / "figures.npz"
    faces = F.adaptive_avg_pool2d(rendered[:2], 256)
    np.savez(pictures, faces=faces, images=F.adaptive_avg_pool2d(rendered[1:], 512))
    # In a process of its own: the compiler cannot read functions whose shapes are checked.
    subprocess.run(
        [sys.executable, "-c", COMPILED, cache, pictures, figures], check=True, timeout=600
    )
    before, after = np.load(figures).values()
    assert before.shape == (2, 3)
    assert after == pytest.approx(before, rel=0.001)
    assert not np.allclose(before[0], before[1], rtol=0.001)


def test_identity_needs_a_judge(cache, tmp_path):
    random = torch.Generator().manual_seed(0)
    faces = torch.rand(2, 3, 256, 256, generator=random) * 2 - 1
    execution = Execution(backend="eager")
    judge = IdentityJudge(seeded_judge(tmp_path), execution)
    lpips = load_stlpips(cache)
    judged, plain = (Comparison(lpips, j, execution)(faces, faces) for j in (judge, None))
    for quality in judged:
        assert quality.identity_similarity == pytest.approx(1, abs=1e-4)
        assert quality.same_person is True
    assert [(q.identity_similarity, q.same_person) for q in plain] == [(None, None)] * 2
    assert [q.lpips for q in plain] == [q.lpips for q in judged]


@pytest.mark.parametrize("size_px", [64, 256, 1024])
def test_identity_is_that_of_the_images_as_they_are(cache, tmp_path, size_px):
    random = torch.Generator().manual_seed(0)
    faces = torch.rand(1, 3, 256, 256, generator=random) * 2 - 1
    images = F.interpolate(torch.rand(1, 3, 16, 16, generator=random), (size_px, size_px))
    execution = Execution(backend="eager")
    judge = IdentityJudge(seeded_judge(tmp_path), execution)
    (quality,) = Comparison(load_stlpips(cache), judge, execution)(faces, images)
    assert quality.identity_similarity == pytest.approx(judge(faces, images).item(), abs=1e-6)


@pytest.mark.parametrize(("similarity", "same"), [(0.541, True), (0.5409, False), (None, None)])
def test_one_person_is_what_reaches_the_threshold(similarity, same):
    assert is_same_person(similarity) is same
