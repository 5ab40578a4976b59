import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

COMPILED = """
import sys, numpy, torch
from pathlib import Path
from model_core.networks.loading import load_identity, load_stlpips
from model_core.runtime.execution import Execution
from model_core.metrics.quality import Comparison
cache, pictures, figures = map(Path, sys.argv[1:])
faces, images = (torch.from_numpy(stored) for stored in numpy.load(pictures).values())
lpips, identity = load_stlpips(cache), load_identity(cache)
execution = Execution.choose()
compare = Comparison(lpips, identity, 512, execution)
row = lambda quality: (quality.psnr, quality.ssim, quality.lpips, quality.identity_similarity)
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
    assert before.shape == (2, 4)
    assert after == pytest.approx(before, rel=0.001)
    assert not np.allclose(before[0], before[1], rtol=0.001)
