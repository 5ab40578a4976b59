"""The containers of checkpoints: torch's two formats, plain pickles, safetensors, and damage."""

import collections
import io
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from model_core.containers.torch_file import read_foreign
from model_core.errors import CheckpointError

CONTENT = {
    "turned": torch.arange(6.0).reshape(2, 3).T,
    "half": torch.ones(2).half(),
    "brain": torch.ones(3).bfloat16(),
    "count": torch.tensor(7),
    "empty": torch.empty(0, 3),
    "parameter": torch.nn.Parameter(torch.ones(2)),
}


def check(found):
    assert found.keys() == CONTENT.keys()
    assert all(torch.equal(found[key], CONTENT[key]) for key in CONTENT)


@pytest.mark.parametrize("new_format", [True, False])
def test_files_of_torch_are_read(tmp_path, new_format):
    path = tmp_path / "file.pt"
    torch.save(CONTENT, path, _use_new_zipfile_serialization=new_format)
    check(read_foreign(path))


@pytest.mark.parametrize("new_format", [True, False])
def test_harmless_classes_next_to_tensors_are_read(tmp_path, new_format):
    beside = {
        "dtype": torch.float64,
        "size": torch.Size([2, 3]),
        "device": torch.device("cpu"),
        "ordered": collections.OrderedDict(w=torch.ones(2)),
        "default": collections.defaultdict(dict, w=torch.ones(2)),
        "double": torch.ones(2, dtype=torch.float64),
    }
    path = tmp_path / "file.pt"
    torch.save(beside, path, _use_new_zipfile_serialization=new_format)
    found = read_foreign(path)
    assert found.keys() == beside.keys()
    for value in (found["ordered"]["w"], found["default"]["w"], found["double"]):
        assert torch.equal(value.double(), torch.ones(2, dtype=torch.float64))


def test_pickles_with_tensors_are_read(tmp_path):
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps(CONTENT))
    check(read_foreign(path))


def test_safetensors_are_read(tmp_path):
    path = tmp_path / "file.safetensors"
    save_file({"w": torch.ones(2)}, path)
    assert torch.equal(read_foreign(path)["w"], torch.ones(2))


def test_tensors_share_the_file_but_never_write_to_it(tmp_path):
    path = tmp_path / "file.pt"
    torch.save({"w": torch.ones(4)}, path)
    before = path.read_bytes()
    read_foreign(path)["w"].zero_()
    assert path.read_bytes() == before


def rezipped(path, compress=zipfile.ZIP_STORED, **changes):
    """Write torch's zip again with members changed, added or (None) left out."""
    torch.save({"w": torch.ones(64)}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compress) as archive:
        for name, content in (members | changes).items():
            if content is not None:
                archive.writestr(f"file/{name}", content)
    path.write_bytes(out.getvalue())
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compress": zipfile.ZIP_DEFLATED}, "got a compressed one"),
        ({"data.pkl": None}, "come from torch.save"),
        ({"constants.pkl": b"x"}, "TorchScript"),
        ({"byteorder": b"big"}, "little-endian"),
        ({"data/0": b"short"}, "must have 64 numbers, got 5 bytes"),
        ({"data/0": None}, "must be whole"),
    ],
)
def test_other_zips_are_refused(tmp_path, changes, message):
    with pytest.raises(CheckpointError, match=message):
        read_foreign(rezipped(tmp_path / "file.pt", **changes))


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_truncated_files_are_refused(tmp_path, part, new_format):
    path = tmp_path / "file.pt"
    torch.save({"w": torch.ones(500)}, path, _use_new_zipfile_serialization=new_format)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(CheckpointError, match=r"file\.pt"):
        read_foreign(path)


def test_a_changed_number_is_found(tmp_path):
    path = tmp_path / "file.pt"
    torch.save({"w": torch.full((64,), 1.5)}, path)
    data = path.read_bytes()
    number = torch.tensor(1.5).numpy().tobytes()
    path.write_bytes(data.replace(number * 8, b"\0" * 32, 1))
    with pytest.raises(CheckpointError, match="checksum"):
        read_foreign(path)


@pytest.mark.parametrize(
    "data", [b"", b"text", b"PK\x03\x04 nothing", b"x" * 257 + b"ustar" + b"x"]
)
def test_other_files_are_refused(tmp_path, data):
    path = tmp_path / "file.pt"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"file\.pt"):
        read_foreign(path)


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    path = tmp_path / "file.pt"
    torch.save({"w": torch.ones(4)}, path)
    rezipped(path)
    with zipfile.ZipFile(path) as archive:
        pickled = archive.read("file/data.pkl")
    wide = pickled.replace(b"K@\x85", b"M\xff\xff\x85")
    assert wide != pickled
    with pytest.raises(CheckpointError, match="must lie within its 64 numbers"):
        read_foreign(rezipped(path, **{"data.pkl": wide}))
