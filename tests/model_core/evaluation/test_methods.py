import copy
import itertools

import pytest
import torch

from model_core.errors import InvalidInputError
from model_core.evaluation.methods import METHODS, VARIANTS, make_system
from model_core.evaluation.networks import Workshop
from model_core.evaluation.recorder import Watch, read_clock
from model_core.images import to_float, to_uint8

STEPS = 2
GIVEN = [name for name in (*METHODS, *VARIANTS) if name != "mse"]


def run(system, judge, face):
    return system.run(
        face,
        0,
        Watch(judge.against(face), face.device, range(9), (0, 2), system.steps, lambda: None),
    )


@pytest.mark.parametrize("name", GIVEN)
def test_every_system_embeds_a_face(name, workshop, judge, faces):
    system = make_system(name, workshop, STEPS)
    face = to_float(faces[:1])
    found = run(system, judge, face)
    assert system.one_pass == (name in VARIANTS or name in ("mean", "network"))
    assert found.steps == [*range(system.steps + 1)]
    assert found.ws.shape == (1, 10, 10)
    again = judge.against(face)(to_float(found.images[-1:]))
    assert torch.allclose(again, found.after(-1), rtol=0.05, atol=0.02)
    if not system.one_pass:
        assert found.step_s > 0
        assert found.total_s > found.start_s


def test_figures_are_those_of_the_best_code_so_far(workshop, judge, faces):
    system = make_system("iterator", workshop, 12)
    found = run(system, judge, to_float(faces[:1]))
    loss = found.figures[:, 0] + found.figures[:, judge.measures.index("st-lpips-alex")]
    # Rendered images are clamped for the figures and not for the loss.
    assert (loss.diff() < 1e-3).all()
    assert loss[-1] < loss[0]
    img = workshop.render(found.ws)
    assert torch.equal(found.image(), to_uint8(img)[0])


def test_noise_is_searched_after_the_code(workshop, judge, faces):
    plain = run(make_system("image2stylegan", workshop, 5), judge, to_float(faces[:1]))
    noisy = run(make_system("image2stylegan++", workshop, 5), judge, to_float(faces[:1]))
    assert noisy.steps[-1] == 8
    assert torch.allclose(plain.ws, noisy.ws, atol=1e-6)
    assert noisy.after(-1)[0] < plain.after(-1)[0]


def test_the_last_evaluation_of_a_leg_is_no_step_and_not_timed(workshop, judge, faces, monkeypatch):
    clock = itertools.count(0.0)
    monkeypatch.setattr("model_core.evaluation.recorder.read_clock", lambda _device: next(clock))
    for name in ("image2stylegan", "image2stylegan++"):
        system = make_system(name, workshop, 5)
        found = run(system, judge, to_float(faces[:1]))
        # The clock goes on by one second between any two readings of it.
        assert found.total_s == found.start_s + system.steps


def test_random_starts_differ_by_face_and_repeat(workshop):
    start = make_system("iterator-from-random", workshop, 1).start
    face = torch.zeros(1, 3, 64, 64)
    assert torch.equal(start(face, 0), start(face, 0))
    assert not torch.equal(start(face, 0), start(face, 1))


def test_what_a_result_depends_on_is_told(workshop):
    iterator = make_system("iterator", workshop, 5).facts
    assert iterator["loss"] == "st-lpips-alex"
    assert iterator["iterator"]["lr"] == 0.05
    assert make_system("image2stylegan", workshop, 5).facts["loss"] == "st-vgg-features"
    assert make_system("network", workshop, 5).facts["weights"] == ["generator", "network"]


@pytest.fixture
def elsewhere(workshop, generator, cache, monkeypatch):
    """A workshop on a device without numbers, in place of a GPU."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Some GPU")
    networks = {"network": copy.deepcopy(workshop.network("network"))}
    digests = {"generator": "g", "network": "n"}
    return Workshop(generator, networks, digests, cache, None, "eager", device="meta", face_px=64)


def test_all_of_a_system_is_on_the_workshops_device(elsewhere):
    system = make_system("image2stylegan++", elsewhere, 1)
    random = make_system("iterator-from-random", elsewhere, 1)
    face = torch.zeros(1, 3, 64, 64)
    assert random.start(face, 0).device.type == "meta"
    ws = system.start(face, 0)
    img = system.search.render(ws)
    noisy = system.noise.images(ws, system.noise.own[None, None])
    for found in (ws, img, noisy, *system.search.distance.features(img)):
        assert found.device.type == "meta"
    assert next(elsewhere.network("network").parameters()).device.type == "meta"


def test_a_result_of_one_device_is_not_taken_for_anothers(elsewhere, workshop):
    assert make_system("mean", elsewhere, 1).facts["device"] == "Some GPU"
    assert "device" not in make_system("mean", workshop, 1).facts


def test_the_clock_is_read_when_a_gpu_has_finished(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    read_clock(torch.device("cpu"))
    assert not waited
    read_clock(torch.device("cuda"))
    assert waited == [torch.device("cuda")]


def test_a_missing_network_is_told(workshop, generator, cache):
    bare = Workshop(generator, {}, {"generator": "g"}, cache, backend="eager", face_px=64)
    with pytest.raises(InvalidInputError, match="the network single-resnet must be given"):
        make_system("stylegan-encoder", bare, 5)
    with pytest.raises(InvalidInputError, match="must have its generator"):
        make_system("mse-lpips-tuned", bare, 5)
