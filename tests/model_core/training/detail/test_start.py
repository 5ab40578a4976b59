import torch
from torch.nn import functional as F

from model_core.encoders.detail_encoder import CELL_PX
from model_core.images import to_float
from model_core.training.detail.start import begin
from tests.model_core.training.detail import tiny


@torch.no_grad()
def test_the_sketch_is_the_image_as_far_as_features_say_it_and_units_are_spreads(tmp_path):
    generator = tiny.make_generator()
    path, encoder = tiny.make_path(generator), tiny.make_encoder(generator)
    photos = tiny.make_faces(tmp_path / "photos").read_first(6)
    begin(encoder, path, photos)

    ws, features = path.embed(to_float(photos))
    rows = features.permute(1, 0, 2, 3).flatten(1)
    assert torch.allclose(rows.std(dim=1, correction=0), torch.ones(16), atol=1e-3)

    wanted = F.pixel_unshuffle(path.render(features, ws).clamp(-1, 1), CELL_PX)
    mean = wanted.mean((0, 2, 3), keepdim=True)
    error = (encoder.sketch(features) - wanted).square().mean()
    assert error < 0.7 * (mean - wanted).square().mean()
    for _ in range(3):  # least squares: no other weights are better
        change = 0.02 * torch.randn_like(encoder.sketch.weight)
        other = F.conv2d(features, encoder.sketch.weight + change, encoder.sketch.bias)
        assert (other - wanted).square().mean() > error
    assert not encoder(to_float(photos), features, ws).any()  # no detail yet
