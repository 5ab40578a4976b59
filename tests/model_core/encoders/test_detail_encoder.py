import torch

from model_core.encoders.detail_encoder import CELL_PX, DetailEncoder, DetailEncoderConfig

CONFIG = DetailEncoderConfig(
    blocks=2,
    features=16,
    features_px=16,
    bottleneck=8,
    width=8,
    half_width=8,
    quarter_width=8,
    first_row=5,
    rows=2,
    w_dim=16,
)


def inputs():
    torch.manual_seed(1)
    photo = torch.rand(2, 3, 16 * CELL_PX, 16 * CELL_PX) * 2 - 1
    return photo, torch.randn(2, 16, 16, 16), torch.randn(2, 10, 16)


def make_encoder(trained=True):
    torch.manual_seed(0)
    encoder = DetailEncoder(CONFIG, torch.zeros(16), torch.ones(16))
    if trained:
        for parameter in encoder.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return encoder.eval().requires_grad_(False)


def test_an_untrained_encoder_gives_zero_detail():
    encoder = make_encoder(trained=False)
    detail = encoder(*inputs())
    assert detail.shape == (2, 8, 16, 16)
    assert not detail.any()
    assert not encoder.decode(detail).any()


def test_it_sees_photo_features_and_the_rows_above_them():
    encoder, (photo, features, ws) = make_encoder(), inputs()
    detail = encoder(photo, features, ws)
    assert detail.std() > 0.01
    assert not torch.equal(encoder(-photo, features, ws), detail)
    assert not torch.equal(encoder(photo, -features, ws), detail)
    for row in range(10):
        other = ws.clone()
        other[:, row] += 1
        assert torch.equal(encoder(photo, features, other), detail) == (row not in (5, 6))


def test_a_batch_is_its_items():
    encoder, (photo, features, ws) = make_encoder(), inputs()
    detail = encoder(photo, features, ws)
    for i in range(2):
        item = encoder(photo[i : i + 1], features[i : i + 1], ws[i : i + 1])
        assert torch.allclose(item[0], detail[i], atol=1e-5)


def test_reordered_it_takes_and_gives_features_in_another_order():
    encoder, reordered, (photo, features, ws) = make_encoder(), make_encoder(), inputs()
    order = torch.randperm(16)
    reordered.reorder(order)
    detail = encoder(photo, features, ws)
    assert torch.allclose(reordered(photo, features[:, order], ws), detail, atol=1e-5)
    assert torch.equal(reordered.decode(detail), encoder.decode(detail)[:, order])


def test_rescaled_it_takes_and_gives_features_in_other_units():
    encoder, rescaled, (photo, features, ws) = make_encoder(), make_encoder(), inputs()
    unit = torch.linspace(0.1, 4, 16)
    detail = encoder(photo, features, ws)
    rescaled.rescale(unit)
    assert torch.allclose(rescaled(photo, features / unit[:, None, None], ws), detail, atol=1e-4)
    expected = encoder.decode(detail) / unit[:, None, None]
    assert torch.allclose(rescaled.decode(detail), expected, atol=1e-5)
