"""FaceRes as a tfjs graph of seeded weights, and a plain NumPy evaluation of such graphs."""

import base64
import json
import math

import numpy as np
import pytest

from model_core.encoders.faceres import WIDTHS, FaceRes
from model_core.weights.cache import DEFAULT_JUDGE, weight_path
from model_core.weights.readers.tfjs_graph import read_faceres


def need_judge(cache):
    """Skip a test where the pack of the identity judge could not be fetched."""
    if not weight_path(cache, DEFAULT_JUDGE).is_file():
        pytest.skip("faceres is not there: python -m model_core.checkpoints pull faceres")


def seeded_judge(folder):
    """FaceRes with the weights of the seeded graph."""
    network = FaceRes()
    network.load_state_dict(read_faceres(write_graph(folder)))
    return network.eval().requires_grad_(False)


def write_graph(folder, change=lambda model, blob: blob):
    """Write FaceRes's graph with seeded weights, which `change` may spoil; return the .json."""
    random = np.random.default_rng(0)
    nodes, weights, blob = [], [], b""

    def const(name, array):
        nonlocal blob
        stored = np.asarray(array, "<f2")
        blob += stored.tobytes()
        entry = {"name": name, "shape": [*stored.shape], "dtype": "float32"}
        weights.append(entry | {"quantization": {"dtype": "float16"}})
        nodes.append({"name": name, "op": "Const"})
        return name

    def node(name, op, *inputs, **attr):
        nodes.append({"name": name, "op": op, "input": [*inputs], "attr": attr})
        return name

    def normal(*shape, fan):
        return random.normal(0, math.sqrt(2 / fan), shape)

    def convolve(name, op, x, kernel, stride):
        strides = {"list": {"i": ["1", str(stride), str(stride), "1"]}}
        padding = {"s": base64.b64encode(b"SAME").decode()}
        return node(name, op, x, kernel, strides=strides, padding=padding)

    def activate(name, x, channels):
        bias = const(f"{name}_bn/batchnorm_1/sub", random.normal(0, 0.05, channels))
        x = node(f"{name}/relu", "Relu", node(f"{name}/add", "Add", x, bias))
        x = node(f"{name}/minimum", "Minimum", x, const(f"{name}_relu/Cast", 6.0))
        return node(f"{name}/maximum", "Maximum", x, const(f"{name}_relu/Const_1", 0.0))

    nodes.append({"name": "input_1", "op": "Placeholder"})
    kernel = const("conv1/convolution/merged_input", normal(3, 3, 3, 32, fan=27) / 20)
    x = activate("conv1", convolve("conv1/c", "Conv2D", "input_1", kernel, 2), 32)
    channels = 32
    for i, width in enumerate(WIDTHS, start=1):
        name = f"conv_dw_{i}"
        kernel = const(f"{name}/depthwise_kernel", normal(3, 3, channels, 1, fan=9))
        stride = 2 if i in (2, 4, 6, 12) else 1
        x = convolve(f"{name}/c", "DepthwiseConv2dNative", x, kernel, stride)
        scale = const(f"{name}_bn/batchnorm_1/mul", random.uniform(0.5, 1.5, channels))
        x = activate(name, node(f"{name}/mul", "Mul", x, scale), channels)
        name = f"conv_pw_{i}"
        # Without a mean, so that what is common to all images fades and not what sets them apart.
        kernel = normal(1, 1, channels, width, fan=channels)
        kernel = const(f"{name}/convolution/merged_input", kernel - kernel.mean(2, keepdims=True))
        x = activate(name, convolve(f"{name}/c", "Conv2D", x, kernel, 1), width)
        channels = width
    axes = {"name": "axes", "shape": [2], "dtype": "int32"}
    weights.append(axes)
    blob += np.array([1, 2], "<i4").tobytes()
    nodes.append({"name": "axes", "op": "Const"})
    pooled = node("global_pooling/Mean", "Mean", x, "axes")

    def dense(name, x, inputs, outputs):
        kernel = const(f"{name}/kernel", normal(inputs, outputs, fan=inputs))
        bias = const(f"{name}/bias", random.normal(0, 0.05, outputs))
        return node(f"{name}/BiasAdd", "_FusedMatMul", x, kernel, bias)

    features = node("feats/Relu", "Relu", dense("feats", pooled, channels, 256))
    node("age_pred/Softmax", "Softmax", dense("age_pred", features, 256, 100))
    node("gender_pred/Sigmoid", "Sigmoid", dense("gender_pred", features, 256, 1))
    model = {
        "modelTopology": {"node": nodes},
        "weightsManifest": [{"paths": ["faceres.bin"], "weights": weights}],
    }
    blob = change(model, blob)
    folder.mkdir(exist_ok=True)
    (folder / "faceres.bin").write_bytes(blob)
    file = folder / "faceres.json"
    file.write_text(json.dumps(model))
    return file


def evaluate(file, x, output="global_pooling/Mean"):
    """Run a tfjs graph node by node in float64, (n, h, w, c), up to one of its nodes."""
    model = json.loads(file.read_text())
    constants = _constants(model, file.with_name("faceres.bin").read_bytes())
    values = {"input_1": x.astype(np.float64)}
    for node in model["modelTopology"]["node"]:
        name, op = node["name"], node["op"]
        if op == "Const":
            values[name] = constants[name]
        elif op != "Placeholder":
            given = [values[each.partition(":")[0]] for each in node["input"]]
            values[name] = OPERATIONS[op](*given, **_settings(node["attr"]))
        if name == output:
            return values[name]
    raise AssertionError(f"no node {output}")


def _constants(model, blob):
    found, at = {}, 0
    for entry in model["weightsManifest"][0]["weights"]:
        dtype = np.dtype("<f2" if "quantization" in entry else "<i4")
        count = math.prod(entry["shape"])
        array = np.frombuffer(blob, dtype, count, at).reshape(entry["shape"])
        found[entry["name"]] = array if dtype.kind == "i" else array.astype(np.float64)
        at += count * dtype.itemsize
    assert at == len(blob)
    return found


def _settings(attr):
    if "strides" not in attr:
        return {}
    assert base64.b64decode(attr["padding"]["s"]) == b"SAME"
    return {"stride": int(attr["strides"]["list"]["i"][1])}


def _patches(x, size, stride):
    """Return what a kernel sees at each of its positions, (n, h, w, size * size, c)."""
    pads = []
    for side in x.shape[1:3]:
        total = max((-(-side // stride) - 1) * stride + size - side, 0)
        pads.append((total // 2, total - total // 2))
    x = np.pad(x, ((0, 0), *pads, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
    windows = windows[:, ::stride, ::stride]  # n h w c size size
    return windows.reshape(*windows.shape[:4], -1).swapaxes(3, 4)


def _conv(x, kernel, stride):
    size = len(kernel)
    return np.tensordot(
        _patches(x, size, stride), kernel.reshape(size * size, *kernel.shape[2:]), 2
    )


def _depthwise(x, kernel, stride):
    size = len(kernel)
    return (_patches(x, size, stride) * kernel.reshape(size * size, -1)).sum(axis=3)


OPERATIONS = {
    "Conv2D": _conv,
    "DepthwiseConv2dNative": _depthwise,
    "Add": np.add,
    "Mul": np.multiply,
    "Relu": lambda x: np.maximum(x, 0),
    "Minimum": np.minimum,
    "Maximum": np.maximum,
    "Mean": lambda x, axes: x.mean(axis=tuple(int(axis) for axis in axes)),
    "_FusedMatMul": lambda x, kernel, bias: x @ kernel + bias,
    "Softmax": lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}
