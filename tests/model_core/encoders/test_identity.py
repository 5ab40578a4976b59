"""The ported identity network against dlib itself, and its crop against coordinates."""

from pathlib import Path

import dlib
import numpy as np
import pytest
import torch
from skimage.data import astronaut
from torch import Tensor

from model_core.encoders.identity import CHIP_SIZE, CROP_BOX, DlibIdentity, DlibResNet29
from model_core.weights.packs import original_file
from model_core.weights.store import load_network

# Measured: 5e-7 on chips of photos.
PARITY_TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def identity(cache: Path) -> DlibIdentity:
    identity = DlibIdentity()
    state_dict, _ = load_network(cache / "weights" / "dlib-resnet29.safetensors")
    identity.network.load_state_dict(state_dict)
    return identity


@pytest.fixture(scope="module")
def oracle(cache: Path) -> dlib.face_recognition_model_v1:
    path = original_file(cache, "dlib_face_recognition_resnet_model_v1.dat")
    return dlib.face_recognition_model_v1(str(path))


def chips() -> np.ndarray:
    """A face, another part of a photo, noise, black, white and a ramp."""
    photo = astronaut()
    y, x = np.mgrid[:CHIP_SIZE, :CHIP_SIZE]
    noise = np.random.RandomState(0).randint(0, 256, (CHIP_SIZE, CHIP_SIZE, 3), dtype=np.uint8)
    ramp = np.stack([x, y, (x + y) // 2], axis=-1).astype(np.uint8)
    black = np.zeros_like(noise)
    return np.stack([photo[20:170, 150:300], photo[300:450, 20:170], noise, ramp, black, ~black])


def test_descriptors_are_dlibs(
    identity: DlibIdentity, oracle: dlib.face_recognition_model_v1
) -> None:
    expected = np.array(
        [np.array(oracle.compute_face_descriptor(chip)) for chip in chips()], dtype=np.float32
    )
    with torch.no_grad():
        found = identity.network.descriptor(torch.from_numpy(chips()).permute(0, 3, 1, 2).float())
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=PARITY_TOLERANCE)


def faces(count: int) -> Tensor:
    return torch.rand(count, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_chip_is_at_the_box() -> None:
    centres = torch.arange(256) + 0.5
    img = torch.zeros(1, 3, 256, 256)
    img[:, 0] = centres / 127.5 - 1
    img[:, 1] = centres[:, None] / 127.5 - 1
    chip = DlibIdentity().chips(img)[0]
    left, top, right, bottom = CROP_BOX
    steps = (torch.arange(CHIP_SIZE) + 0.5) / CHIP_SIZE
    torch.testing.assert_close(chip[0, 75], left + (right - left) * steps, rtol=0, atol=1e-3)
    torch.testing.assert_close(chip[1, :, 75], top + (bottom - top) * steps, rtol=0, atol=1e-3)
    torch.testing.assert_close(chip[2], torch.full_like(chip[2], 127.5))


def test_chip_does_not_move_when_the_module_is_cast() -> None:
    identity = DlibIdentity()
    img = faces(1)
    expected = identity.chips(img)
    identity.to(torch.bfloat16)
    torch.testing.assert_close(identity.chips(img), expected, rtol=0, atol=0)
    assert identity(img).dtype == torch.bfloat16
    assert identity.chips(img.to(torch.bfloat16)).dtype == torch.float32


def test_the_feature_gives_the_descriptor(identity: DlibIdentity) -> None:
    img = faces(1)
    feature = identity(img)
    assert feature.shape == (1, DlibIdentity.feature_dim)
    expected = identity.network.descriptor(identity.chips(img))
    torch.testing.assert_close(identity.network.fc(feature), expected)
    torch.testing.assert_close(identity.descriptor(img), expected)


def test_a_batch_is_its_items_singly(identity: DlibIdentity) -> None:
    img = faces(3)
    singly = torch.cat([identity(each) for each in img.split(1)])
    torch.testing.assert_close(identity(img), singly, rtol=1e-4, atol=1e-5)


def test_frozen_weights_pass_the_gradient_through() -> None:
    img = faces(1).requires_grad_()
    identity = DlibIdentity()
    identity(img).sum().backward()
    left, top, right, bottom = (round(each) for each in CROP_BOX)
    assert img.grad is not None
    assert img.grad[..., top + 2 : bottom - 2, left + 2 : right - 2].abs().sum() > 0
    assert img.grad[..., : top - 2, :].abs().sum() == 0
    assert not any(parameter.requires_grad for parameter in identity.parameters())
    assert not identity.training


def test_weights_learn_when_not_frozen() -> None:
    identity = DlibIdentity(frozen=False)
    identity(faces(1)).sum().backward()
    missing = [name for name, value in identity.named_parameters() if value.grad is None]
    assert missing == ["network.fc.weight"]  # the feature is taken before it


def test_state_dict_holds_nothing_but_the_layers() -> None:
    with torch.device("meta"):
        state_dict = DlibResNet29().state_dict()
    assert len(state_dict) == 2 * 29 + 1
