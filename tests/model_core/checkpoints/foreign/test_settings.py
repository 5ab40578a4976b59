"""Settings that a file states are honoured or refused by name."""

import copy
from pathlib import Path

import pytest
import torch

from model_core.checkpoints.inspection import read_checkpoint, read_content
from model_core.containers.torch_file import read_foreign
from model_core.errors import CheckpointError
from tests.model_core.checkpoints.foreign.seeded import rosinality_content

ORIGINALS = Path(__file__).parent / "originals"


def original(name):
    return read_foreign(ORIGINALS / name)


def layer(content, path):
    for name in path.split("."):
        content = content["_modules"][name]
    return content


ADA = "stylegan2_ada_pytorch.pkl"
ADA_SETTINGS = [
    ("synthesis.b8.conv0", "activation", "relu", "activation of synthesis.b8.conv0 must be lrelu"),
    ("synthesis.b4.conv1", "activation", "linear", "must be lrelu, got linear"),
    ("synthesis.b16.conv1", "activation", "swish", "must be lrelu, got swish"),
    ("mapping.fc1", "activation", "relu", "activation of mapping.fc1 must be lrelu, got relu"),
    ("synthesis.b8.conv1.affine", "activation", "lrelu", "must be linear, got lrelu"),
    ("synthesis.b8.conv1", "act_gain", 1.0, "act_gain of synthesis.b8.conv1 must be 1.414, got 1"),
    ("synthesis.b8.conv0", "up", 1, "up of synthesis.b8.conv0 must be 2, got 1"),
    ("synthesis.b8.conv0", "padding", 0, "padding of synthesis.b8.conv0 must be 1, got 0"),
    ("synthesis.b8.conv0", "use_noise", False, "use_noise must be one for all layers"),
    ("synthesis.b8.conv0", "conv_clamp", 256, "conv_clamp must be one for all layers"),
    ("synthesis.b8.torgb", "conv_clamp", None, "conv_clamp must be one for all layers"),
    ("synthesis.b8", "architecture", "orig", "architecture of synthesis.b8 must be skip, got orig"),
    ("synthesis.b8", "architecture", "resnet", "must be skip, got resnet"),
    ("synthesis", "img_channels", 4, "img_channels of synthesis must be 3, got 4"),
    ("mapping.fc0", "weight_gain", 1.0, "weight_gain of mapping.fc0 must be"),
    ("mapping.fc0", "bias_gain", 0.1, "weight_gain of mapping.fc0 must be"),
    ("synthesis.b8.torgb", "weight_gain", 1.0, "weight_gain of synthesis.b8.torgb must be"),
    ("mapping", "c_dim", 10, "c_dim of mapping must be 0, got 10"),
    ("mapping", "z_dim", 64, "z_dim of mapping must be 16, as in its tensors, got 64"),
    ("mapping", "num_layers", 8, "num_layers of mapping must be 2, as in its tensors, got 8"),
    ("synthesis", "img_resolution", 64, "img_resolution of synthesis must be 32"),
    ("synthesis", "num_ws", 10, "num_ws of synthesis must be 8"),
    ("synthesis.b8.conv0", "resolution", 16, "resolution of synthesis.b8.conv0 must be 8, got 16"),
]


@pytest.mark.parametrize(("path", "name", "value", "message"), ADA_SETTINGS)
def test_settings_of_a_pickled_generator(path, name, value, message):
    content = original(ADA)
    record = layer(content["G_ema"], path)
    assert name in record
    record[name] = value
    with pytest.raises(CheckpointError, match=message):
        read_content(content, "file")


def all_layers(record):
    yield record
    for inner in record["_modules"].values():
        yield from all_layers(inner)


def test_a_pickled_generator_without_noise_renders_without():
    content = original(ADA)
    for record in all_layers(content["G_ema"]):
        if "use_noise" in record:
            record["use_noise"] = False
            del record["_buffers"]["noise_const"], record["_parameters"]["noise_strength"]
    foreign = read_content(content, "file")
    strengths = [v for k, v in foreign.state.items() if k.endswith("noise_strength")]
    assert strengths
    assert not any(strength.any() for strength in strengths)
    assert any("adds no noise" in remark for remark in foreign.remarks)


def test_another_filter_is_refused():
    content = original(ADA)
    layer(content["G_ema"], "synthesis.b8.conv0")["_buffers"]["resample_filter"] = torch.ones(4, 4)
    with pytest.raises(CheckpointError, match=r"b8\.conv0\.resample_filter must be the filter of"):
        read_content(content, "file")


def test_a_clamp_and_a_learning_rate_are_applied():
    content = original(ADA)
    before = read_content(content, "file")
    for record in all_layers(content["G_ema"]):
        if "conv_clamp" in record:
            record["conv_clamp"] = 256
    for name in ("fc0", "fc1"):
        record = layer(content["G_ema"], f"mapping.{name}")
        record["bias_gain"], record["weight_gain"] = 1.0, 0.25
    after = read_content(content, "file")
    assert after.config == before.config | {"clamp": 256.0}
    key = "mapping_network.layers.0.weight"
    torch.testing.assert_close(after.state[key], 100 * before.state[key])


TF_SETTINGS = [
    ("nonlinearity", "relu"),
    ("nonlinearity", "swish"),
    ("mapping_nonlinearity", "relu"),
    ("num_channels", 1),
    ("label_size", 10),
    ("normalize_latents", False),
    ("resolution", 512),
    ("latent_size", 64),
    ("mapping_layers", 4),
]
TF2_SETTINGS = [
    ("architecture", "resnet"),
    ("architecture", "orig"),
    ("resample_kernel", [1, 2, 1]),
    ("resample_kernel", [1, 1, 1, 1]),
    ("resample_kernel", None),
]
TF1_SETTINGS = [
    ("use_styles", False),
    ("const_input_layer", False),
    ("use_wscale", False),
    ("use_pixel_norm", True),
    ("use_instance_norm", False),
    ("blur_filter", [1, 3, 3, 1]),
    ("blur_filter", None),
    ("fused_scale", "sometimes"),
]
TF_CASES = [
    (name, setting, value)
    for name, own in (
        ("tensorflow_stylegan.pkl", TF1_SETTINGS),
        ("tensorflow_stylegan2.pkl", TF2_SETTINGS),
    )
    for setting, value in TF_SETTINGS + own
]


@pytest.mark.parametrize("where", ["whole", "part"])
@pytest.mark.parametrize(("name", "setting", "value"), TF_CASES)
def test_settings_of_tensorflow_networks(name, setting, value, where):
    content = original(name)
    network = content[2]
    part = network["components"]["mapping" if "mapping" in setting else "synthesis"]
    for each in (network, *network["components"].values()):
        each["static_kwargs"] = dict(each["static_kwargs"])  # one dict for all in the file
        if each is (network if where == "whole" else part):
            each["static_kwargs"][setting] = value
        elif setting in each["static_kwargs"]:
            del each["static_kwargs"][setting]
    with pytest.raises(CheckpointError, match=rf"{setting} must be .*got"):
        read_content(content, "file")


def turned(before, after):
    """List the layers whose kernels were turned round."""
    keys = [
        key for key in before.state if key.startswith("layers.") and before.state[key].ndim == 4
    ]
    return {
        int(key.split(".")[1])
        for key in keys
        if key.endswith("weight") and not torch.equal(before.state[key], after.state[key])
        if torch.equal(before.state[key].flip(2, 3), after.state[key])
    }


@pytest.mark.parametrize(
    ("fused", "layers"), [(True, {2, 4, 6, 8}), (False, {10}), ("auto", set())]
)
def test_fused_scale_of_tensorflow_networks_is_applied(fused, layers):
    """The file has 128 px: by itself only its last upscaling layer, 10, is fused."""
    content = original("tensorflow_stylegan.pkl")
    before = read_content(content, "file")
    content[2]["static_kwargs"]["fused_scale"] = fused
    assert turned(before, read_content(content, "file")) == layers


def test_names_of_fused_layers_are_recognised():
    """InterFaceGAN calls a kernel `weight`, in TensorFlow's axes, where it is fused."""
    content = original("interfacegan.pth")
    before = read_content(content, "file")
    for i in (2, 4, 6, 8):
        kernel = content.pop(f"synthesis.layer{i}.conv.weight")
        content[f"synthesis.layer{i}.weight"] = kernel.permute(2, 3, 1, 0)
    assert turned(before, read_content(content, "file")) == {2, 4, 6, 8}


@pytest.mark.parametrize("name", ["genforce.pth", "interfacegan.pth", "idinvert.pth"])
def test_assumed_genforce_settings_give_remarks(name):
    remarks = " ".join(read_checkpoint(ORIGINALS / name).remarks)
    assert "does not record final_tanh or mapping_lr_mul" in remarks
    assert ("does not record fused_scale" in remarks) == (name == "genforce.pth")


@pytest.mark.parametrize("mean", [True, False])
def test_another_mapping_multiplier_gives_a_warning(mean):
    """Weights start as normals over the multiplier; a mean code is not needed to see it."""
    content = rosinality_content(8) | ({"latent_avg": torch.zeros(512)} if mean else {})
    assert not any("lr_mlp" in remark for remark in read_content(content, "file").remarks)
    state = copy.copy(content["g_ema"])
    state |= {k: v / 100 for k, v in state.items() if k.startswith("style.")}
    remarks = read_content(content | {"g_ema": state}, "file").remarks
    assert any("lr_mlp" in remark for remark in remarks)


@pytest.mark.parametrize(
    ("dtype", "kind"), [(torch.float16, "float16"), (torch.bfloat16, "bfloat")]
)
def test_rounded_weights_give_a_remark(dtype, kind):
    content = original("rosinality.pt")
    assert not any("rounded" in remark for remark in read_content(content, "file").remarks)
    content["g_ema"] = {k: v.to(dtype) for k, v in content["g_ema"].items()}
    remarks = read_content(content, "file").remarks
    assert any(remark.startswith(f"the file stores weights in {kind}") for remark in remarks)


def rosinality_shape(key, shape):
    content = original("rosinality.pt")
    state = content["g_ema"]
    for name in [name for name in state if name.endswith(key)]:
        state[name] = torch.zeros(shape)
    return content


@pytest.mark.parametrize(
    ("key", "shape", "message"),
    [
        (
            "to_rgb1.conv.weight",
            (1, 1, 8, 1, 1),
            r"must have 3 output channels \(RGB\), got 1 \(grey\)",
        ),
        (
            "to_rgb1.conv.weight",
            (1, 4, 8, 1, 1),
            r"must have 3 output channels \(RGB\), got 4 \(RGBA\)",
        ),
        ("input.input", (1, 8, 4, 6), r"input must be one constant of 4 x 4, got \(1, 8, 4, 6\)"),
        ("input.input", (1, 8, 6, 6), r"input must be one constant of 4 x 4, got \(1, 8, 6, 6\)"),
        ("style.1.weight", (16, 64), r"style\.1\.weight must take z_dim = w_dim = 16 inputs"),
        ("noises.noise_3", (1, 1, 8, 8), r"noises\.noise_3 .*must be \(1, 1, 16, 16\)"),
        (
            "convs.2.conv.weight",
            (1, 8, 8, 5, 5),
            r"kernel of convs\.2\.conv\.weight must be",
        ),
        ("conv.blur.kernel", (4, 4), r"blur\.kernel must be the filter of 1, 3, 3, 1"),
    ],
)
def test_inspect_reports_other_shapes(key, shape, message):
    with pytest.raises(CheckpointError, match=message):
        read_content(rosinality_shape(key, shape), "file")


def test_swagan_is_refused_by_name():
    content = original("rosinality.pt")
    content["g_ema"]["iwt.ll"] = torch.ones(2, 2)
    content["g_ema"]["to_rgbs.0.dwt.hh"] = torch.ones(2, 2)
    with pytest.raises(CheckpointError, match="must be StyleGAN2's, got SWAGAN's"):
        read_content(content, "file")


def test_stylegan3_is_refused_by_name():
    content = original(ADA)
    synthesis = content["G_ema"]["_modules"]["synthesis"]
    first, second = (synthesis["_modules"][name] for name in ("b4", "b8"))
    synthesis["_modules"] = {"input": first, "L0_36_512": second}
    with pytest.raises(CheckpointError, match="got that of StyleGAN3 or StyleGAN-XL"):
        read_content(content, "file")


@pytest.mark.parametrize(("entry", "value"), [("size", 64), ("n_mlp", 8), ("latent", 512)])
def test_arguments_of_training_must_fit(entry, value):
    content = original("rosinality_training.pt")
    content["args"][entry] = value
    with pytest.raises(CheckpointError, match=rf"args\.{entry} must be"):
        read_content(content, "file")
