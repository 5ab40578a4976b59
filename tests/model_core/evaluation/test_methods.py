import copy
import dataclasses
import itertools

import pytest
import torch

from model_core.errors import InvalidInputError
from model_core.evaluation.methods import METHODS, VARIANTS, make_method
from model_core.evaluation.networks import EvaluationNetworks
from model_core.evaluation.recorder import Recorder, read_clock
from model_core.images import to_float, to_uint8

STEPS = 2
GIVEN = [name for name in (*METHODS, *VARIANTS) if name != "mse"]


def run(method, scorer, face):
    return method.run(
        face,
        0,
        Recorder(scorer.against(face), face.device, range(9), (0, 2), method.steps, lambda: None),
    )


@pytest.mark.parametrize("name", GIVEN)
def test_every_method_embeds_a_face(name, nets, scorer, faces):
    method = make_method(name, nets, STEPS)
    face = to_float(faces[:1])
    found = run(method, scorer, face)
    assert method.one_pass == (name in VARIANTS or name in ("mean", "network", "network+detail"))
    assert found.steps == [*range(method.steps + 1)]
    assert found.ws.shape == (1, 10, 10)
    again = scorer.against(face)(to_float(found.images[-1:]))
    assert torch.allclose(again, found.after(-1), rtol=0.05, atol=0.02)
    if not method.one_pass:
        assert found.step_s > 0
        assert found.total_s > found.start_s


def test_figures_are_those_of_the_best_code_so_far(nets, scorer, faces):
    method = make_method("iterator", nets, 12)
    found = run(method, scorer, to_float(faces[:1]))
    loss = found.figures[:, 0] + found.figures[:, scorer.measures.index("st-lpips-alex")]
    # Rendered images are clamped for the figures and not for the loss.
    assert (loss.diff() < 1e-3).all()
    assert loss[-1] < loss[0]
    img = nets.render(found.ws)
    assert torch.equal(found.image(), to_uint8(img)[0])


def test_noise_is_searched_after_the_code(nets, scorer, faces):
    plain = run(make_method("image2stylegan", nets, 5), scorer, to_float(faces[:1]))
    noisy = run(make_method("image2stylegan++", nets, 5), scorer, to_float(faces[:1]))
    assert noisy.steps[-1] == 8
    assert torch.allclose(plain.ws, noisy.ws, atol=1e-6)
    assert noisy.after(-1)[0] < plain.after(-1)[0]


def test_the_last_evaluation_of_a_stage_is_not_timed(nets, scorer, faces, monkeypatch):
    clock = itertools.count(0.0)
    monkeypatch.setattr("model_core.evaluation.recorder.read_clock", lambda _device: next(clock))
    for name in ("image2stylegan", "image2stylegan++"):
        method = make_method(name, nets, 5)
        found = run(method, scorer, to_float(faces[:1]))
        # The clock goes on by one second between any two readings of it.
        assert found.total_s == found.start_s + method.steps


def test_random_starts_differ_by_face_and_repeat(nets):
    start = make_method("iterator-from-random", nets, 1).start
    face = torch.zeros(1, 3, 64, 64)
    assert torch.equal(start(face, 0), start(face, 0))
    assert not torch.equal(start(face, 0), start(face, 1))


def test_facts_include_everything_a_result_depends_on(nets):
    iterator = make_method("iterator", nets, 5).facts
    assert iterator["loss"] == "st-lpips-alex"
    assert iterator["iterator"]["lr"] == 0.05
    assert make_method("image2stylegan", nets, 5).facts["loss"] == "st-vgg-features"
    assert make_method("network", nets, 5).facts["weights"] == ["generator", "network"]


@pytest.fixture
def elsewhere(nets, generator, cache, monkeypatch):
    """Networks on a device without numbers, in place of a GPU."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Some GPU")
    networks = {"network": copy.deepcopy(nets.network("network"))}
    digests = {"generator": "g", "network": "n"}
    return EvaluationNetworks(
        generator, networks, digests, cache, None, "eager", device="meta", face_px=64
    )


def test_every_part_of_a_method_is_on_the_networks_device(elsewhere):
    method = make_method("image2stylegan++", elsewhere, 1)
    random = make_method("iterator-from-random", elsewhere, 1)
    face = torch.zeros(1, 3, 64, 64)
    assert random.start(face, 0).device.type == "meta"
    ws = method.start(face, 0)
    img = method.search.render(ws)
    noisy = method.noise.images(ws, method.noise.own[None, None])
    for found in (ws, img, noisy, *method.search.distance.features(img)):
        assert found.device.type == "meta"
    assert next(elsewhere.network("network").parameters()).device.type == "meta"


def test_a_result_of_one_device_is_not_taken_for_anothers(elsewhere, nets):
    assert make_method("mean", elsewhere, 1).facts["device"] == "Some GPU"
    assert "device" not in make_method("mean", nets, 1).facts


def test_the_clock_is_read_when_a_gpu_has_finished(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    read_clock(torch.device("cpu"))
    assert not waited
    read_clock(torch.device("cuda"))
    assert waited == [torch.device("cuda")]


def test_a_missing_network_is_an_error(nets, generator, cache):
    bare = EvaluationNetworks(generator, {}, {"generator": "g"}, cache, backend="eager", face_px=64)
    with pytest.raises(InvalidInputError, match="the network single-resnet must be given"):
        make_method("stylegan-encoder", bare, 5)
    with pytest.raises(InvalidInputError, match="must have its generator"):
        make_method("mse-lpips-tuned", bare, 5)


def test_measurements_include_the_faces_detail(nets, scorer, faces):
    face = to_float(faces[:1])
    plain = run(make_method("network", nets, 1), scorer, face)
    detailed = run(make_method("network+detail", nets, 1), scorer, face)
    assert torch.equal(plain.ws, detailed.ws)
    img = nets.render_with_detail(face, plain.ws)(plain.ws)
    assert torch.equal(detailed.image(), to_uint8(img)[0])
    assert torch.allclose(scorer.against(face)(img), detailed.after(-1), atol=1e-5)


def test_the_iterator_with_detail_goes_on_from_one_pass_with_detail(nets, scorer, faces):
    face = to_float(faces[:1])
    method = make_method("iterator+detail", nets, 30)
    found = method.run(
        face, 0, Recorder(scorer.against(face), face.device, {0, 30}, {0, 30}, 30, lambda: None)
    )
    img = nets.render_with_detail(face, method.start(face, 0))(method.start(face, 0))
    assert (found.image(0).int() - to_uint8(img)[0].int()).abs().max() <= 1
    assert found.after(-1)[0] < 0.98 * found.after(0)[0]
    assert "detail iterator" in method.facts
    assert method.facts["detail"] == nets.detail_renderer.fingerprint


def test_the_last_evaluation_of_the_code_is_no_step_and_not_timed(nets, scorer, faces, monkeypatch):
    clock = itertools.count(0.0)
    monkeypatch.setattr("model_core.evaluation.recorder.read_clock", lambda _device: next(clock))
    method = make_method("iterator+detail", nets, 5)
    found = run(method, scorer, to_float(faces[:1]))
    assert found.total_s == found.start_s + method.steps


@pytest.mark.parametrize("name", ["network+detail", "iterator+detail"])
def test_a_missing_detail_encoder_is_an_error(nets, name):
    bare = dataclasses.replace(nets, detail=None)
    with pytest.raises(InvalidInputError, match="detail encoder"):
        make_method(name, bare, 1)
