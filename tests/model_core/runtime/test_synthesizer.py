import logging
import subprocess
import sys

import numpy as np
import pytest
import torch

from model_core.errors import InvalidInputError
from model_core.generators.mobilestylegan import MobileStyleGAN, MobileStyleGANConfig
from model_core.networks.loading import load_generator
from model_core.runtime.execution import Execution
from model_core.runtime.synthesizer import Synthesizer


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    generator = MobileStyleGAN(MobileStyleGANConfig(w_dim=16, mapping_layers=2, widths=(16, 16, 8)))
    generator.const.normal_()
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def codes():
    return 3 * torch.randn(2, 10, 16, generator=torch.Generator().manual_seed(1))


def reference(generator, ws):
    img = (generator.synthesis(ws).clamp(-1, 1) + 1) * 127.5
    return img.permute(0, 2, 3, 1)


def test_eager_is_the_generator_rounded_to_bytes(tiny, codes):
    images = Synthesizer(tiny, Execution(backend="eager"))(codes)
    assert (images.dtype, images.shape) == (torch.uint8, (2, 64, 64, 3))
    assert (images - reference(tiny, codes)).abs().max() <= 0.51


def test_openvino_is_less_than_a_level_from_the_reference(tiny, codes):
    images = Synthesizer(tiny, Execution(backend="openvino"))(codes)
    assert images.shape == (2, 64, 64, 3)
    assert (images - reference(tiny, codes)).abs().mean() < 1


@pytest.mark.parametrize(("device", "sizes"), [("cpu", [1, 1]), ("cpu:0", [2])])
def test_a_cpu_renders_items_singly_and_other_devices_in_batches(tiny, codes, device, sizes):
    seen = []

    class Noting(MobileStyleGAN):
        def synthesis(self, ws):
            seen.append(len(ws))
            return super().synthesis(ws)

    noting = Noting(tiny.config)
    noting.load_state_dict(tiny.state_dict())
    # By its other name the processor takes the way of an accelerator.
    images = Synthesizer(noting.eval().requires_grad_(False), Execution(device, "eager"))(codes)
    assert seen == sizes
    assert (images - reference(tiny, codes)).abs().max() <= 0.51


COMPILED = """
import sys, numpy, torch
from pathlib import Path
from torch._inductor import freezing
from model_core.networks.loading import load_generator
from model_core.runtime.execution import Execution
from model_core.runtime.synthesizer import Synthesizer
from model_core.runtime.verdicts import Verdicts
frozen, freeze = [], freezing.freeze
freezing.freeze = lambda *args: frozen.append(args) or freeze(*args)
generator, _ = load_generator(Path(sys.argv[1]))
ws = torch.from_numpy(numpy.load(sys.argv[2]))
execution = Execution.choose(verdicts=Path(sys.argv[4]))
synthesizer = Synthesizer(generator, execution)
assert synthesizer.backend == "openvino"
execution.queue.start()
execution.queue.wait()
assert frozen
verdict = Verdicts(Path(sys.argv[4]), "cpu", execution.precision.name, {}).read("generator")
won = verdict is not None and verdict.compiled_wins  # a loss is kept only where it is clear
assert synthesizer.backend == ("compile" if won else "openvino")
if not won:
    synthesizer = Synthesizer(generator, Execution("cpu", "compile", execution.precision))
torch._dynamo.config.error_on_recompile = True
images = synthesizer(ws)
with torch.inference_mode():
    assert torch.equal(synthesizer(ws.clone()), images)  # like the embedding network's codes
numpy.save(sys.argv[3], images.numpy())
"""


@pytest.mark.slow
def test_compiled_is_less_than_a_level_from_the_reference(cache, tmp_path):
    generator, _ = load_generator(cache)
    w = generator.mapping(torch.randn(2, 512, generator=torch.Generator().manual_seed(3)))
    ws = w[:, None].repeat(1, 18, 1)
    files = [tmp_path / "ws.npy", tmp_path / "images.npy"]
    np.save(files[0], ws.numpy())
    # In a process of its own: the compiler cannot read functions whose shapes are checked.
    subprocess.run(
        [sys.executable, "-c", COMPILED, cache, *files, tmp_path / "verdicts"],
        check=True,
        timeout=600,
    )
    images = np.load(files[1])
    assert images.shape == (2, 1024, 1024, 3)
    assert (torch.from_numpy(images) - reference(generator, ws)).abs().mean() < 1


@pytest.mark.parametrize(
    ("lacking", "value"),
    [("shutil.which", lambda _name: None), ("sysconfig.get_path", lambda _name: "/nowhere")],
)
def test_without_a_compiler_auto_picks_the_faster_backend(
    tiny, codes, monkeypatch, caplog, lacking, value
):
    monkeypatch.setattr(lacking, value)
    with caplog.at_level(logging.INFO):
        execution = Execution()
        synthesizer = Synthesizer(tiny, execution)
        assert synthesizer.backend == "openvino"
        execution.queue.run()
    assert "no C++ compiler" in caplog.text
    (line,) = (line for line in caplog.messages if line.startswith("generator compiled"))
    assert synthesizer.backend == ("eager" if "the compiled form" in line else "openvino")
    assert (synthesizer(codes) - reference(tiny, codes)).abs().mean() < 1


def test_plain_torch_serves_where_openvino_cannot(tiny, codes, monkeypatch, caplog):
    def fail(*_args):
        raise RuntimeError("object is not initialized")

    monkeypatch.setattr("model_core.runtime.synthesizer.run_by_openvino", fail)
    synthesizer = Synthesizer(tiny, Execution())
    assert synthesizer.backend == "eager"
    assert (synthesizer(codes) - reference(tiny, codes)).abs().max() <= 0.51
    assert "OpenVINO cannot run the generator here" in caplog.text


def test_the_given_generator_is_not_modified(tiny):
    Synthesizer(tiny, Execution(backend="openvino"))
    assert tiny.const.dtype == torch.float32


def test_openvino_is_refused_if_it_cannot_run():
    with pytest.raises(InvalidInputError, match="backend"):
        Execution.choose("cuda", "openvino")
