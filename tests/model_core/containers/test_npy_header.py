"""Headers of .npy files: NumPy's own, and hostile ones."""

import io
import struct

import numpy as np
import pytest

from model_core.containers.npy_header import MAGIC, read_npy_header


def with_header(text, version=1):
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return MAGIC + bytes([version, 0]) + length + text.encode()


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_headers_written_by_numpy_are_read(version):
    file = io.BytesIO()
    array = np.asfortranarray(np.arange(6, dtype=np.float16).reshape(2, 3))
    np.lib.format.write_array(file, array, version)
    file.seek(0)
    assert read_npy_header(file, 1000) == ((2, 3), True, np.dtype(np.float16))
    assert file.read() == array.tobytes("F")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"other bytes",
        MAGIC + b"\x09\0",
        MAGIC + b"\x01\0\xff\xff{",
        with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)"),
        with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1.5,)}"),
        with_header("{'descr': '<f4', 'shape': (1,)}"),
        with_header("{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,)}"),
        with_header("-" * 900 + "1"),
        with_header("-" * 9000 + "1"),
        with_header("[" * 500),
        with_header("'''"),
        with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }" + " " * 1000),
        with_header("open('x', 'w')"),
    ],
)
def test_every_damage_is_one_error(data):
    with pytest.raises(ValueError, match="valid header"):
        read_npy_header(io.BytesIO(data), 1000)
