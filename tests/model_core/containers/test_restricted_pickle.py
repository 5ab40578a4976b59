"""Malicious and damaged pickles: none runs, all end in CheckpointError soon, in little memory."""

import argparse
import builtins
import collections
import contextlib
import os
import pickle
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_core.containers import pickle_names
from model_core.containers.pickle_machine import Budget
from model_core.containers.restricted_pickle import load_pickle
from model_core.errors import CheckpointError

SECONDS = 20


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments, state) if state else (function, arguments)

    def __reduce__(self):
        return self.reduced


def read(data, **options):
    view = memoryview(bytearray(data))
    return load_pickle(view, pickle_names.find, Budget.of(len(view)), **options)[0]


def calls(mark):
    """Calls that would leave a file behind, or do worse."""
    touch = f"open({str(mark)!r}, 'w')"
    return {
        "os.system": Call(os.system, f"touch {mark}"),
        "eval": Call(eval, touch),
        "exec": Call(exec, touch),
        "import": Call(__import__, "antigravity"),
        "open": Call(open, str(mark), "w"),
        "getattr": Call(getattr, "x", "upper"),
        "subprocess": Call(subprocess.check_output, ["touch", str(mark)]),
        "torch.load": Call(torch.load, str(mark)),
        "hub": Call(torch.hub.load, "owner/name", "model"),
        "rebuild": Call(torch._utils._rebuild_tensor_v2, os.system, 0, (1,), (1,), False, {}),
        "typed": Call(torch._tensor._rebuild_from_type_v2, os.system, torch.Tensor, ("x",), {}),
        "numpy": Call(np.fromfile, str(mark)),
        "defaultdict": Call(collections.defaultdict, builtins.exec),
        "state": Call(argparse.Namespace, state=Call(os.system, f"touch {mark}")),
        "instance": Path(mark),
    }


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", sorted(calls("x")))
def test_calls_do_not_happen(tmp_path, kind, protocol):
    mark = tmp_path / "was_run"
    data = pickle.dumps({"weights": [calls(mark)[kind]]}, protocol)
    with pytest.raises(CheckpointError):
        read(data)
    assert not mark.exists()


def test_the_refusal_names_what_was_found():
    with pytest.raises(CheckpointError, match=r"got '\w+\.system'; it was not run"):
        read(pickle.dumps(Call(os.system, "true")))


def test_modules_are_not_imported():
    with pytest.raises(CheckpointError, match=r"wplus_never\.thing"):
        read(b"\x80\x02cwplus_never\nthing\n.")
    assert "wplus_never" not in sys.modules


BOMBS = {
    "huge bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x.",
    "huge text": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"x.",
    "huge long": b"\x80\x02\x8b" + struct.pack("<i", 1 << 30) + b"x.",
    "negative text": b"\x80\x02T" + struct.pack("<i", -5) + b"x.",
    "huge frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b".",
    "long decimal": b"I" + b"9" * 60_000 + b"\n.",
    "extension": b"\x80\x02\x82\x01.",
    "persistent": b"\x80\x02K\x01Q.",
    "persistent text": b"Pid\n.",
    "buffer": b"\x80\x05\x97.",
    "mark missing": b"\x80\x02t.",
    "nothing": b"",
    "no stop": b"\x80\x02" + b"N" * 1000,
    "empty stack": b"0.",
    "memo missing": b"h\x07.",
    "key of a list": b"\x80\x02}](K\x01K\x02eK\x03s.",
    "key of a float": b"\x80\x02}G" + struct.pack(">d", 0.5) + b"K\x01s.",
    "key of a long": b"\x80\x02}\x8a\x10" + b"\x01" * 16 + b"K\x01s.",
    "append to a tuple": b"\x80\x02)K\x01a.",
    "build a list": b"\x80\x02]K\x01b.",
    "call a number": b"\x80\x02K\x01)R.",
    "array with a lying shape": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n)R(K\x01"
    b"M\xff\xffM\xff\xff\x86cnumpy\ndtype\nU\x02f4\x85R\x89C\x04abcdtb.",
}


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_decompression_bombs_end_quickly(name):
    started = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError):
        read(BOMBS[name])
    assert time.monotonic() - started < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_a_far_memo_index_takes_no_memory():
    assert read(b"\x80\x02Nr\xff\xff\xff\xff.") is None


def test_the_number_of_instructions_is_limited():
    view = memoryview(b"\x80\x02" + b"N0" * 5000 + b"N.")
    with pytest.raises(CheckpointError, match="instructions"):
        load_pickle(view, pickle_names.find, Budget(bytes=1000, instructions=5000))


def test_copies_that_expand_beyond_their_file_are_refused():
    """One text, made into bytes over and over: the memory of the result is many times the file."""
    text = b"X" + struct.pack("<I", 100_000) + b"a" * 100_000
    once = b"c_codecs\nencode\n(h\x00X\x06\x00\x00\x00latin1tR"
    data = b"\x80\x02" + text + b"q\x000](" + once * 100 + b"e."
    with pytest.raises(CheckpointError, match="must not grow beyond its file"):
        read(data)


def test_deep_nesting_neither_recurses_nor_hangs():
    value = read(b"\x80\x02)" + b"\x85" * 200_000 + b".")
    assert isinstance(value, tuple)
    value = read(b"\x80\x02" + b"](" * 1000 + b"e" * 1000 + b".")
    assert value is not None


def test_doubling_lists_take_no_memory():
    """Thirty lists, each twice the one before: a gigabyte for whoever walks them, nothing here."""
    data = b"\x80\x02]" + b"q\x002\x86" * 30 + b"."
    assert len(read(data)) == 2


def test_a_list_may_contain_itself():
    value = read(b"\x80\x02]q\x00h\x00a.")
    assert value[0] is value


@pytest.mark.parametrize("protocol", range(2, 6))
def test_plain_values_are_read(protocol):
    value = {
        "a": [1, -2, 3.5, True, None, "text", b"bytes", (1, 2, 3), {"x"}, 1 << 70],
        "n": np.arange(6, dtype=">f4").reshape(2, 3),
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "o": collections.OrderedDict(b=1),
        "s": np.float64(1.5),
        "ns": argparse.Namespace(lr=0.1),
    }
    got = read(pickle.dumps(value, protocol))
    assert got["a"] == value["a"]
    np.testing.assert_array_equal(got["n"], value["n"])
    np.testing.assert_array_equal(got["f"], value["f"])
    assert (got["o"], got["s"], got["ns"]) == ({"b": 1}, 1.5, {"lr": 0.1})


SEED = pickle.dumps({"w": np.zeros(3, "f4"), "n": [1, 2.0, "x"], "o": collections.OrderedDict(a=1)})


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200))
def test_noise_is_read_or_refused(data):
    with contextlib.suppress(CheckpointError):
        read(data + b".")


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(SEED) - 1), st.integers(0, 255), st.integers(0, len(SEED)))
def test_changed_bytes_are_read_or_refused(at, byte, cut):
    data = bytearray(SEED)
    data[at] = byte
    for changed in (data, data[:cut]):
        with contextlib.suppress(CheckpointError):
            read(changed)
