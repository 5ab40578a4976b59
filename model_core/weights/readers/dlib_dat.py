"""Read dlib's face recognition network, a .dat file, into the layout of DlibResNet29.

The file is dlib's serialisation of a network, layer by layer from the input on. It is read front
to back with a strict grammar: nothing is searched for and no size in it is trusted.
"""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model_core.encoders.identity import CHIP_SIZE, PIXEL_MEAN, DlibResNet29
from model_core.errors import CheckpointError

# The published file has 22,466,066 bytes; four times that is beyond any honest variant.
_MAX_FILE_BYTES = 90_000_000
_MAX_NAME_BYTES = 64
_MAX_LAYERS = 512
_LAYER_VERSIONS = (1, 2, 3)
# Fields after the name of a layer without weights; all are integers.
_PLAIN_LAYER_INTS = {"relu_": 0, "add_prev_": 0, "max_pool_2": 6, "avg_pool_2": 6}


def read_dlib_resnet(path: Path) -> dict[str, Tensor]:
    """Read the weights of dlib's face recognition ResNet-29.

    Each per-channel affine layer is folded into the convolution before it (in float64), so that
    the result holds convolutions only.

    Args:
        path: `dlib_face_recognition_resnet_model_v1.dat` or a network of the same layout.

    Returns:
        The state dict of DlibResNet29, float32.

    Raises:
        CheckpointError: If the file is missing, damaged or of another layout.

    Source: dlib, dlib/dnn/core.h and layers.h (Boost licence), for the order of the fields.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_FILE_BYTES:
            raise CheckpointError(
                f"size of {path.name} must be at most {_MAX_FILE_BYTES} bytes, got {size}"
            )
        data = path.read_bytes()
    except OSError as err:
        raise CheckpointError(f"{path.name} must be a readable file, got {err}") from err
    layers = _Reader(data, path.name).network()
    return _to_state_dict(layers, path.name)


class _Reader:
    """A cursor over dlib's serialised values; every read checks how much is left."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data = memoryview(data)
        self._at = 0
        self._name = name
        self._layers: list[tuple[str, np.ndarray]] = []

    def network(self) -> list[tuple[str, np.ndarray]]:
        """Read the whole file: (kind, parameters) of each layer with weights, input first."""
        self._expect("version of the loss layer", self._integer(), 1)
        self._expect("loss layer", self._text(), "loss_metric_2")
        self._skip_floats(2)  # margin and distance threshold of the metric loss
        pending = self._nested_versions()
        self._input_layer()
        while pending:
            version = pending.pop()
            if version != 1:  # 1 is a tag or a skip: it has no fields of its own
                self._layer(version)
        self._expect("bytes behind the last layer", len(self._data) - self._at, 0)
        return self._layers

    def _nested_versions(self) -> list[int]:
        """Read the version numbers that precede the input layer, the outermost first."""
        versions: list[int] = []
        while self._peek_integer() in _LAYER_VERSIONS:
            versions.append(self._integer())
            if len(versions) > _MAX_LAYERS:
                raise self._error("number of layers", f"at most {_MAX_LAYERS}", len(versions))
        return versions

    def _input_layer(self) -> None:
        self._expect("input layer", self._text(), "input_rgb_image_sized")
        mean = tuple(self._float() for _ in range(3))
        if not np.allclose(mean, PIXEL_MEAN, rtol=0, atol=1e-4):
            raise self._error("mean pixel", PIXEL_MEAN, mean)
        self._expect("input size", (self._integer(), self._integer()), (CHIP_SIZE, CHIP_SIZE))

    def _layer(self, version: int) -> None:
        kind = self._text()
        if kind == "con_4":
            parameters = self._tensor()
            self._skip_integers(7)  # filters, rows, columns, strides, padding
            self._skip_aliases(2)
            self._skip_floats(4)  # learning rate and weight decay multipliers
            self._layers.append((kind, parameters))
        elif kind == "affine_":
            self._layers.append((kind, self._tensor()))
            self._skip_aliases(2)
            self._skip_integers(1)  # mode
        elif kind == "fc_2":
            self._skip_integers(2)  # outputs, inputs
            self._layers.append((kind, self._tensor()))
            self._skip_aliases(2)
            self._skip_integers(1)  # bias mode
            self._skip_floats(4)
        elif kind in _PLAIN_LAYER_INTS:
            self._skip_integers(_PLAIN_LAYER_INTS[kind])
        else:
            raise self._error("layer", f"one of a ResNet-29 at byte {self._at}", repr(kind))
        self._layer_state(version)

    def _layer_state(self, version: int) -> None:
        """Skip what dlib stores about training: three flags and three emptied tensors."""
        self._take(3)
        for _ in range(3):
            self._tensor()
        if version == 3:  # the layer on the input also has its sample expansion factor
            self._skip_integers(1)

    def _take(self, count: int) -> memoryview:
        if count > len(self._data) - self._at:
            raise self._error("length", f"at least {self._at + count} bytes", len(self._data))
        chunk = self._data[self._at : self._at + count]
        self._at += count
        return chunk

    def _integer(self) -> int:
        """Read one integer: a control byte (byte count, high bit = negative), then its bytes."""
        control = self._take(1)[0]
        count = control & 0x7F
        if not 1 <= count <= 8:
            raise self._error(f"integer at byte {self._at - 1}", "1 to 8 bytes long", count)
        value = int.from_bytes(self._take(count), "little")
        return -value if control & 0x80 else value

    def _peek_integer(self) -> int:
        start = self._at
        value = self._integer()
        self._at = start
        return value

    def _float(self) -> float:
        """Read one float, stored as two integers: mantissa and binary exponent."""
        mantissa, exponent = self._integer(), self._integer()
        if abs(exponent) > 1100:
            raise self._error(f"exponent before byte {self._at}", "within +-1100", exponent)
        try:
            return math.ldexp(mantissa, exponent)
        except OverflowError as err:
            raise self._error(f"float before byte {self._at}", "finite", "an overflow") from err

    def _text(self) -> str:
        length = self._integer()
        if not 0 <= length <= _MAX_NAME_BYTES:
            raise self._error(f"name before byte {self._at}", f"0-{_MAX_NAME_BYTES} bytes", length)
        return bytes(self._take(length)).decode("ascii", errors="replace")

    def _tensor(self) -> np.ndarray:
        """Read one tensor: version 2, four dimensions, raw little-endian float32."""
        self._expect(f"version of the tensor at byte {self._at}", self._integer(), 2)
        shape = tuple(self._integer() for _ in range(4))
        if any(not 0 <= n <= len(self._data) for n in shape):
            raise self._error(f"tensor before byte {self._at}", "within the file", shape)
        values = np.frombuffer(self._take(4 * math.prod(shape)), dtype="<f4").reshape(shape)
        if not np.isfinite(values).all():
            raise self._error(f"tensor before byte {self._at}", "finite", "NaN or infinity")
        return values

    def _skip_integers(self, count: int) -> None:
        for _ in range(count):
            self._integer()

    def _skip_floats(self, count: int) -> None:
        for _ in range(count):
            self._float()

    def _skip_aliases(self, count: int) -> None:
        """Skip views into the parameters: a version and four dimensions each."""
        self._skip_integers(5 * count)

    def _expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            raise self._error(what, wanted, found)

    def _error(self, what: str, rule: object, found: object) -> CheckpointError:
        return CheckpointError(f"{what} in {self._name} must be {rule}, got {found}")


def _to_state_dict(layers: list[tuple[str, np.ndarray]], name: str) -> dict[str, Tensor]:
    """Name, shape and fold the parameters in the order of DlibResNet29's layers."""
    with torch.device("meta"):
        wanted = {key: tuple(value.shape) for key, value in DlibResNet29().state_dict().items()}
    convolutions = [key.removesuffix(".weight") for key in wanted if key.endswith(".weight")][:-1]
    kinds = [kind for kind, _ in layers]
    if kinds != ["con_4", "affine_"] * len(convolutions) + ["fc_2"]:
        raise CheckpointError(
            f"layers of {name} must be {len(convolutions)} pairs of con_4 and affine_ and one fc_2,"
            f" got {kinds.count('con_4')}, {kinds.count('affine_')} and {kinds.count('fc_2')}"
        )
    state: dict[str, Tensor] = {}
    for key, (_, filters), (_, affine) in zip(
        convolutions, layers[0:-1:2], layers[1:-1:2], strict=True
    ):
        shape = wanted[f"{key}.weight"]
        _check_size(f"{key} of {name}", filters, math.prod(shape) + shape[0])
        _check_size(f"affine of {key} of {name}", affine, 2 * shape[0])
        flat = filters.ravel().astype(np.float64)
        gamma, beta = affine.ravel().astype(np.float64).reshape(2, -1)
        weight = flat[: -shape[0]].reshape(shape) * gamma[:, None, None, None]
        state[f"{key}.weight"] = torch.from_numpy(weight).float()
        state[f"{key}.bias"] = torch.from_numpy(flat[-shape[0] :] * gamma + beta).float()
    outputs, inputs = wanted["fc.weight"]
    _check_size(f"fc of {name}", layers[-1][1], outputs * inputs)
    # dlib multiplies from the right: (batch, 256) @ (256, 128).
    fc = np.array(layers[-1][1], dtype=np.float32).reshape(inputs, outputs)
    state["fc.weight"] = torch.from_numpy(fc.T.copy())
    return state


def _check_size(what: str, values: np.ndarray, size: int) -> None:
    if values.size != size:
        raise CheckpointError(f"{what} must be {size} numbers, got {values.size}")
