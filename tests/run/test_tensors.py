"""Arrays in, bytes out, the same arrays back; and everything the format's common reader lets through is refused."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seq2x.errors import FolderError
from seq2x.tensors import check_tensors, pack_tensors, unpack_tensors

TYPES = [np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint64, np.uint32, np.uint16]
TYPES += [np.uint8, np.bool_]


def raw(header, values=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + values


def entry(shape=(2,), begin=0, end=8, dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


arrays = st.sampled_from(TYPES).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=0, max_dims=4, max_side=5),
        elements=hnp.from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False),
    )
)


@given(st.dictionaries(st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"), arrays, min_size=1))
def test_there_and_back(tensors):
    try:
        data = pack_tensors(tensors)
    except UnicodeEncodeError:
        return  # a lone surrogate is no name
    back = unpack_tensors(data, "x")
    assert back.keys() == tensors.keys()
    for name, array in tensors.items():
        assert back[name].dtype == array.dtype and back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes() and back[name].flags.writeable
    assert pack_tensors(dict(reversed(tensors.items()))) == data


def test_the_common_reader_agrees():
    from safetensors.numpy import load, save

    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(3), "c": np.array([True])}
    read = load(pack_tensors(tensors))
    assert all((read[name] == array).all() and read[name].dtype == array.dtype for name, array in tensors.items())
    ours = unpack_tensors(save(tensors, metadata={"made": "elsewhere"}), "x")
    assert all((ours[name] == array).all() for name, array in tensors.items())


def test_views_and_foreign_byte_order_are_stored_as_values():
    array = np.arange(12, dtype=">f4").reshape(3, 4).T[::2]
    back = unpack_tensors(pack_tensors({"a": array}), "x")["a"]
    assert (back == array).all() and back.dtype == np.float32


REFUSED = {
    "empty file": (b"", "truncated"),
    "seven bytes": (b"1234567", "truncated"),
    "header of 2**63": (struct.pack("<Q", 2**63) + b"{}", "a header of 9,223,372"),
    "header of 99 MB claimed": (struct.pack("<Q", 99 << 20) + b"{}", "a header of 103,809,024"),
    "header that is no JSON": (raw(b"\x80\x02abc"), "not UTF-8"),
    "header that is no table": (raw(b"[1]"), "no table"),
    "deep header": (raw(b"[" * 100_000), "nested too deeply"),
    "a name twice": (
        raw(
            b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
            b"1",
        ),
        "stands there twice",
    ),
    "no tensor": (raw({}), "no tensor"),
    "metadata alone": (raw({"__metadata__": {"a": "b"}}), "no tensor"),
    "NaN in the header": (raw(b'{"a":{"dtype":"U8","shape":[NaN],"data_offsets":[0,1]}}', b"1"), "NaN"),
    "overlap": (raw({"a": entry(), "b": entry(begin=4, end=12)}, b"\0" * 12), 'an overlap at tensor "b"'),
    "the same bytes twice": (raw({"a": entry(), "b": entry()}, b"\0" * 8), 'an overlap at tensor "b"'),
    "hole": (raw({"a": entry(), "b": entry(begin=12, end=20)}, b"\0" * 20), 'a hole before tensor "b"'),
    "hole at the start": (raw({"a": entry(begin=4, end=12)}, b"\0" * 12), 'a hole before tensor "a"'),
    "bytes after the end": (raw({"a": entry()}, b"\0" * 9), "1 bytes after the last tensor"),
    "truncated": (raw({"a": entry()}, b"\0" * 7), 'tensor "a" ends at byte 8 of 7'),
    "shape and size differ": (raw({"a": entry(shape=(3,))}, b"\0" * 8), "does not fill its 8 bytes"),
    "shape overflows": (raw({"a": entry(shape=(2**32, 2**32), end=0)}), "does not fill"),
    "nothing of a huge shape": (raw({"a": entry(shape=(2**40, 0), end=0)}), "positive sizes"),
    "negative shape": (raw({"a": entry(shape=(-2, -1))}, b"\0" * 8), "positive sizes"),
    "shape of truth values": (raw({"a": entry(shape=(True, 2))}, b"\0" * 8), "positive sizes"),
    "shape of fractions": (raw({"a": entry(shape=(2.0,))}, b"\0" * 8), "positive sizes"),
    "shape that is a text": (raw({"a": entry() | {"shape": "2"}}, b"\0" * 8), "positive sizes"),
    "very many axes": (raw({"a": entry(shape=(1,) * 65 + (2,))}, b"\0" * 8), "positive sizes"),
    "negative offsets": (raw({"a": entry(begin=-8, end=0)}, b"\0" * 8), "offsets"),
    "three offsets": (raw({"a": entry() | {"data_offsets": [0, 4, 8]}}, b"\0" * 8), "offsets"),
    "unknown type": (raw({"a": entry(dtype="OBJECT")}, b"\0" * 8), "the type OBJECT"),
    "type that is a list": (raw({"a": entry(dtype=["F32"])}, b"\0" * 8), "the type"),
    "a key too many": (raw({"a": entry() | {"code": "import os"}}, b"\0" * 8), "more than these"),
    "an entry that is a number": (raw({"a": 3}), "lacks dtype"),
    "empty name": (raw({"": entry()}, b"\0" * 8), "a tensor's name of 0"),
    "endless name": (raw({"n" * 1001: entry()}, b"\0" * 8), "a tensor's name of 1,001"),
    "NaN": (
        raw({"good.one": entry(), "layer.0": entry(begin=8, end=16)}, struct.pack("<4f", 1, 2, 3, float("nan"))),
        "layer.0",
    ),
    "infinity": (
        raw({"a": entry(dtype="F64")}, struct.pack("<d", float("-inf"))).replace(b"[2]", b"[1]"),
        '"a" holds NaN',
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_must_not_be_read(case):
    data, message = REFUSED[case]
    with pytest.raises(FolderError) as caught:
        unpack_tensors(data, "weights.safetensors")
    assert message in str(caught.value) and str(caught.value).startswith("weights.safetensors")


def test_too_many_tensors():
    header = {f"t{i}": entry(shape=(1,), begin=i, end=i + 1, dtype="U8") for i in range(100_001)}
    with pytest.raises(FolderError, match="100,001 tensors"):
        unpack_tensors(raw(header, b"\0" * 100_001), "x")


def test_for_debugging_nan_may_be_read():
    data = raw({"a": entry()}, struct.pack("<2f", 1, float("nan")))
    assert np.isnan(unpack_tensors(data, "x", allow_nonfinite=True)["a"][1])


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"a": np.zeros(0)},
        {"a": np.array([np.nan])},
        {"a": np.array([np.inf], np.float16)},
        {"a": np.array(["text"])},
        {"a": np.array([object()])},
        {"": np.zeros(1)},
        {"__metadata__": np.zeros(1)},
        {"a": np.zeros((1,) * 17)},
    ],
)
def test_what_could_not_be_read_is_not_written(tensors):
    with pytest.raises(ValueError):
        pack_tensors(tensors)


def test_a_model_gets_all_its_tensors_or_none():
    expected = {"a": ((2, 3), "float32"), "b": ((1,), "int64")}
    good = {"a": np.zeros((2, 3), np.float32), "b": np.zeros(1, np.int64)}
    check_tensors(good, expected, "x")
    with pytest.raises(
        FolderError, match=r'"a" is missing, "b" is int64 \[2\] instead of int64 \[1\], "c" is not of this'
    ):
        check_tensors({"b": np.zeros(2, np.int64), "c": np.zeros(1)}, expected, "x")
    with pytest.raises(FolderError, match="float64"):
        check_tensors(good | {"a": np.zeros((2, 3))}, expected, "x")
    with pytest.raises(FolderError, match="and 90 more"):
        check_tensors({}, {f"layer.{i}": ((1,), "float32") for i in range(100)}, "x")
