import pytest
import torch

from model_core.generators.image_head import ImageHead
from model_core.generators.sampling import sample_codes, seeded
from model_core.networks.loading import load_image_head
from model_core.training import head as command
from model_core.training.config import TrainConfig
from model_core.training.data.pairs import PairRing, make_render, render_all

BLOCKS = 4


@pytest.fixture
def pairs(tmp_path, generator, monkeypatch):
    """The folder of a run with twelve pairs, four of which are held out; nothing is compiled."""
    monkeypatch.setattr(command, "VALIDATION_PAIRS", 4)
    monkeypatch.setattr(command, "load_generator", lambda _: (generator, "f" * 64))
    monkeypatch.setattr(torch, "compile", lambda function, options: function)
    folder = tmp_path / "run"
    folder.mkdir()
    with torch.no_grad():
        ws = sample_codes(generator, TrainConfig(), 12, seeded(0, "pair", 0))
    render = make_render(generator, torch.device("cpu"), compiled=False)
    PairRing(folder, 12, (generator.num_ws, 16)).append(render_all(render, ws), ws)
    return folder


def call(pairs, out, *more):
    given = ["--pairs", pairs, "--out", out, "--blocks", BLOCKS, "--device", "cpu", *more]
    return command.main([str(part) for part in given], pairs)


@pytest.mark.slow
def test_fitting_improves_a_head_on_held_out_pairs(pairs, generator):
    head = ImageHead.above(generator, BLOCKS)
    torch.nn.init.constant_(head.to_img.bias, 0.5)  # far off: it begins close
    before = command.fit(head, generator, pairs, steps=1, batch=4, lr=1e-12)
    after = command.fit(head, generator, pairs, steps=20, batch=2, lr=0.05)
    assert after > before + 10


def test_the_command_writes_a_head_and_continues_from_it(pairs, tmp_path):
    out = tmp_path / "image_head_64.safetensors"
    assert call(pairs, out, "--steps", "2") == 0
    first = load_image_head(out, "f" * 64)
    assert (first.config.blocks, first.config.img_px) == (BLOCKS, 64)
    again = tmp_path / "again.safetensors"
    assert call(pairs, again, "--steps", "1", "--lr", "1e-12", "--start", out) == 0
    for name, value in load_image_head(again, "f" * 64).state_dict().items():
        assert torch.equal(value, first.state_dict()[name]), name


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--blocks", "6"], "--blocks must be between 1 and 5, got 6"),
        (["--start", "nothing.safetensors"], "nothing.safetensors must be a file"),
        (["--out", "head.pt"], "--out must end in .safetensors, got head.pt"),
        (["--pairs", "nowhere"], "pairs must be the folder of a run that has generated pairs"),
    ],
)
def test_an_invalid_argument_is_one_line(pairs, tmp_path, capsys, flags, message):
    assert call(pairs, tmp_path / "head.safetensors", *flags) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not [*tmp_path.glob("*.safetensors")]


def test_too_few_pairs_and_a_start_of_another_size_are_refused(
    pairs, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "head.safetensors"
    assert call(pairs, out, "--steps", "1") == 0
    assert call(pairs, out, "--start", out, "--blocks", "3") == 1
    assert "--start must be a head above 3 blocks, got one above 4" in capsys.readouterr().err
    monkeypatch.setattr(command, "VALIDATION_PAIRS", 12)
    assert call(pairs, out) == 1
    assert "pairs must exceed the 12 held out, got 12" in capsys.readouterr().err
