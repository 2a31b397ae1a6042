"""Named arrays <-> the bytes of a safetensors file, with every check the format's own reader leaves out.

The format (https://github.com/huggingface/safetensors): 8 bytes with the size of the header, a JSON header
`name -> {dtype, shape, data_offsets}`, then the values, little-endian. The common reader silently takes a repeated
name, NaN, and a shape such as `[2**40, 0]`; here each of them is a `FolderError` that names the tensor.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from seq2x.errors import FolderError
from seq2x.strict_json import JSON, parse_json

__all__ = ["Tensors", "check_tensors", "pack_tensors", "unpack_tensors"]

Tensors = dict[str, npt.NDArray[Any]]

_TYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}

_MOST_TENSORS = 100_000
_MOST_HEADER = 32 << 20  # bytes
_MOST_AXES = 16
_LONGEST_NAME = 1000
_LISTED = 10


def pack_tensors(tensors: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The bytes of a safetensors file; equal arrays give equal bytes, whatever their order in the mapping.

    Wider types come first, so that every array is aligned. Raises `ValueError` for what `unpack_tensors` would
    refuse (no tensor, no element, a type or a value that cannot be stored): nothing unreadable is ever written.
    """
    header: dict[str, JSON] = {}
    chunks: list[memoryview | bytes] = []
    end = 0
    for name, array in sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])):
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        _require_storable(name, plain)
        chunks.append(plain.reshape(-1).view(np.uint8).data)
        begin, end = end, end + plain.nbytes
        header[name] = {"dtype": _NAMES[plain.dtype], "shape": list(array.shape), "data_offsets": [begin, end]}
    if not 1 <= len(header) <= _MOST_TENSORS:
        raise ValueError(f"{len(header)} tensors; a file holds 1 to {_MOST_TENSORS}")
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *chunks])


def unpack_tensors(data: bytes, where: str, allow_nonfinite: bool = False) -> Tensors:
    """The arrays of a safetensors file, each one owning its memory, in the order they lie in the file.

    Raises `FolderError` naming the tensor. No allocation follows a number of the header before that number has
    been held against the bytes that are really there.
    """
    header, values = _split(data, where)
    header.pop("__metadata__", None)
    if not header:
        raise FolderError(where, "no tensor in it")
    if len(header) > _MOST_TENSORS:
        raise FolderError(where, f"{len(header):,} tensors", f"at most {_MOST_TENSORS:,}")
    entries = sorted((_entry(name, entry, where) for name, entry in header.items()), key=lambda entry: entry[3])
    tensors: Tensors = {}
    reached = 0
    for name, dtype, shape, begin, end in entries:
        if begin != reached:
            raise FolderError(where, f'{"a hole before" if begin > reached else "an overlap at"} tensor "{name}"')
        if end > len(values):
            raise FolderError(
                where, f'tensor "{name}" ends at byte {end:,} of {len(values):,}', todo="the file is truncated"
            )
        tensors[name] = np.frombuffer(values[begin:end], dtype=dtype).reshape(shape).copy()
        if not allow_nonfinite and not _is_finite(tensors[name]):
            raise FolderError(where, f'tensor "{name}" holds NaN or infinity')
        reached = end
    if reached != len(values):
        raise FolderError(where, f"{len(values) - reached:,} bytes after the last tensor")
    return tensors


def check_tensors(
    found: Mapping[str, npt.NDArray[Any]], expected: Mapping[str, tuple[tuple[int, ...], str]], where: str
) -> None:
    """Raises `FolderError` unless `found` is exactly what a model needs: name -> (shape, numpy name of the type).

    Missing, extra and misshapen tensors are listed, ten at most; there is no partial load.
    """
    problems = [f'"{name}" is missing' for name in expected if name not in found]
    problems += [f'"{name}" is not of this model' for name in found if name not in expected]
    for name in found.keys() & expected.keys():
        has, wants = (found[name].shape, found[name].dtype.name), expected[name]
        if has != (tuple(wants[0]), wants[1]):
            problems.append(f'"{name}" is {has[1]} {list(has[0])} instead of {wants[1]} {list(wants[0])}')
    if problems:
        shown = ", ".join(sorted(problems)[:_LISTED])
        more = f" and {len(problems) - _LISTED:,} more" if len(problems) > _LISTED else ""
        raise FolderError(where, f"the weights do not fit the model: {shown}{more}")


def _split(data: bytes, where: str) -> tuple[dict[str, JSON], memoryview]:
    """The parsed header and a view of the values."""
    if len(data) < 8:
        raise FolderError(where, f"{len(data)} bytes", "a safetensors file", "the file is truncated")
    size = struct.unpack_from("<Q", data)[0]
    if size > min(_MOST_HEADER, len(data) - 8):
        raise FolderError(where, f"a header of {size:,} bytes in a file of {len(data):,}", "a safetensors file")
    header = parse_json(data[8 : 8 + size], f"{where} (header)")
    if not isinstance(header, dict):
        raise FolderError(where, "a header that is no table", "a safetensors file")
    return header, memoryview(data)[8 + size :]


def _entry(name: str, entry: JSON, where: str) -> tuple[str, np.dtype[Any], list[int], int, int]:
    """(name, type, shape, begin, end) of one row of the header, consistent in itself."""
    if not 0 < len(name) <= _LONGEST_NAME:
        raise FolderError(where, f"a tensor's name of {len(name):,} characters")
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise FolderError(where, f'tensor "{name}" lacks dtype, shape or data_offsets, or has more than these')
    dtype = _TYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise FolderError(where, f'tensor "{name}" has the type {str(entry["dtype"])[:40]}', ", ".join(_TYPES))
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _are_counts(shape) or len(shape) > _MOST_AXES or 0 in shape:
        raise FolderError(
            where, f'tensor "{name}" has the shape {str(shape)[:80]}', f"1 to {_MOST_AXES} positive sizes"
        )
    if not _are_counts(offsets) or len(offsets) != 2:
        raise FolderError(where, f'tensor "{name}" has the offsets {str(offsets)[:80]}')
    if offsets[1] - offsets[0] != math.prod(shape) * dtype.itemsize:
        raise FolderError(
            where, f'tensor "{name}" of shape {shape} does not fill its {offsets[1] - offsets[0]:,} bytes'
        )
    return name, dtype, shape, offsets[0], offsets[1]


def _are_counts(value: JSON) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _is_finite(array: npt.NDArray[Any]) -> bool:
    # NaN survives min and max, so two reductions replace a mask as large as the array.
    return array.dtype.kind != "f" or bool(np.isfinite(array.min()) and np.isfinite(array.max()))


def _require_storable(name: str, array: npt.NDArray[Any]) -> None:
    if array.dtype not in _NAMES:
        raise ValueError(f'tensor "{name}" has the type {array.dtype}; expected {", ".join(_TYPES)}')
    if array.size == 0 or array.ndim > _MOST_AXES or not 0 < len(name) <= _LONGEST_NAME or name == "__metadata__":
        raise ValueError(f'tensor "{name}" of shape {array.shape} cannot be stored')
    if not _is_finite(array):
        raise ValueError(f'tensor "{name}" holds NaN or infinity; it is not saved')
