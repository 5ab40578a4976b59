import dataclasses
import json
import signal
from pathlib import Path

import pytest

from model_core.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from model_core.networks.loading import load_detail_encoder, load_generator, new_embedding_network
from model_core.networks.saving import save_embedding_network
from model_core.training.__main__ import main
from model_core.training.checkpoint import newest_checkpoint
from model_core.weights.cache import converted_path
from model_core.weights.store import save_network
from tests.model_core.training.detail import tiny

PACKED = ("dlib-resnet29", "st-lpips-alex")


@pytest.fixture(scope="module")
def small_cache(cache, tmp_path_factory):
    """A cache with the packed networks that a run reads, and generators and a network of ours."""
    small = tmp_path_factory.mktemp("cache")
    (small / "weights").mkdir()
    for name in PACKED:
        for file in (cache / "weights").glob(f"{name}.*"):
            (small / "weights" / file.name).symlink_to(file)
    sizes = StyleGAN2Config(w_dim=8, mapping_layers=1, widths=(4, 4))
    generators = {
        "tiny": ("mobilestylegan", tiny.make_generator()),
        "uncut": ("stylegan2", StyleGAN2(sizes)),
    }
    for name, (family, generator) in generators.items():
        path = converted_path(small, name)
        path.parent.mkdir(exist_ok=True)
        config = dataclasses.asdict(generator.config)
        save_network(path, generator.state_dict(), {"family": family, "config": config})
    return small


@pytest.fixture(scope="module")
def network(small_cache):
    """An untrained embedding network for the tiny generator."""
    generator, fingerprint = load_generator(small_cache, "tiny")
    path = small_cache / "embedding.safetensors"
    save_embedding_network(path, new_embedding_network(small_cache, generator, 64), fingerprint, {})
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    tiny.make_faces(folder, 10)
    return folder


@pytest.fixture(autouse=True)
def _handlers():
    """Give signals back to pytest: a run takes those that end it."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def arguments(network: Path, photos: Path, run: Path, *more: str) -> list[str]:
    files = ["--network", network, "--photos", photos, "--run", run]
    small = ["--generator", "tiny", "--head", "false", "--true-share", "1", "--steps", "1"]
    return [*map(str, ["--preset", "detail", *files, *small]), *more]


@pytest.mark.slow
def test_the_preset_trains_validates_and_exports_from_the_command_line(
    small_cache, network, photos, tmp_path, capsys
):
    run, export = tmp_path / "run", tmp_path / "detail.safetensors"
    command = arguments(network, photos, run, "--export", str(export), "--dtype", "float32")
    assert main(command, small_cache) == 0, capsys.readouterr().err
    assert newest_checkpoint(run / "checkpoints").stem == "00000001"
    assert (run / "sheets" / "00000001.jpg").is_file()
    generator, fingerprint = load_generator(small_cache, "tiny")
    encoder, _ = load_detail_encoder(export, generator, fingerprint)
    assert encoder.out.weight.any()  # it has learned
    about = json.loads(export.with_suffix(".json").read_text())
    assert about["training"]["trained"] == "detail"
    stored = json.loads((run / "run.json").read_text())
    assert stored["embedding"] == json.loads(network.with_suffix(".json").read_text())["sha256"]

    # It goes on from the checkpoint, and another run from the export.
    further = arguments(network, photos, run, "--steps", "2", "--dtype", "float32")
    assert main(further, small_cache) == 0
    assert newest_checkpoint(run / "checkpoints").stem == "00000002"
    other = arguments(network, photos, tmp_path / "other", "--dtype", "float32")
    again = tmp_path / "again.safetensors"
    start = ["--start", str(export), "--export", str(again), "--lr", "0"]
    start += ["--generated-share", "0.5", "--window", "8"]
    assert main([*other, *start], small_cache) == 0
    loaded, _ = load_detail_encoder(again, generator, fingerprint)
    for name, value in loaded.state_dict().items():
        assert value == pytest.approx(encoder.state_dict()[name], abs=2e-3, rel=2e-3), name


def test_an_unsupported_generator_is_refused_before_the_folder_is_claimed(
    small_cache, network, photos, tmp_path, capsys
):
    command = arguments(network, photos, tmp_path / "run", "--generator", "uncut")
    assert main(command, small_cache) == 1
    assert "must be a MobileStyleGAN" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_photos_are_required(small_cache, network, tmp_path, capsys):
    command = arguments(network, Path("x"), tmp_path / "run")
    at = command.index("--photos")
    assert main(command[:at] + command[at + 2 :], small_cache) == 1
    assert "photos must be folders of images" in capsys.readouterr().err
