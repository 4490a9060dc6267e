"""Safetensors of strangers: every byte of the header is checked before a tensor is made, every number after.

The format keeps code out, not nonsense: a header may lie about types, shapes and places, and NaN is a legal number.
Here only dense float32, float16 and bfloat16 pass, and they come back as finite float32 on the CPU. Does not know
what the tensors are for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from softprompt.engine.safe_files import parse_json, read_file, refuse
from softprompt.errors import ArtifactInvalid

MAX_FILE_BYTES = 2 << 30
MAX_HEADER_BYTES = 1 << 20
MAX_RANK = 8

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_AGAIN = "Copy the file again, or export it again from where it was made."


def read_tensors(folder: Path, name: str, *, dtypes: frozenset[str] = frozenset(DTYPES)) -> dict[str, Tensor]:
    """All tensors of `folder/name` as finite float32."""
    return parse_tensors(read_file(folder, name, MAX_FILE_BYTES), folder / name, dtypes=dtypes)


def parse_tensors(data: bytes, where: Path | str, *, dtypes: frozenset[str] = frozenset(DTYPES)) -> dict[str, Tensor]:
    """All tensors of the bytes of a safetensors file as finite float32; `dtypes` are the types that may stand there."""
    if len(data) < 8:
        refuse(where, f"has {len(data)} bytes, too few for a safetensors file", _AGAIN)
    length = int.from_bytes(data[:8], "little")
    if length > min(MAX_HEADER_BYTES, len(data) - 8):
        refuse(where, f"claims a header of {length:,} bytes in a file of {len(data):,}", _AGAIN)
    header = parse_json(data[8 : 8 + length], f"The header of {where}")
    entries = _checked(header, len(data) - 8 - length, where, dtypes)
    return {
        name: finite(_decode(data, 8 + length + start, end - start, dtype, shape), f"{where}: tensor {name!r}")
        for name, (dtype, shape, start, end) in entries.items()
    }


def dump_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """The bytes of a safetensors file with these tensors, dense float32."""
    dense = {name: tensor.detach().to("cpu", torch.float32).contiguous().clone() for name, tensor in tensors.items()}
    data: bytes = save(dense)
    return data


def finite(tensor: Tensor, what: str) -> Tensor:
    """The tensor as float32, if every number of it is finite."""
    tensor = tensor.detach().to("cpu", torch.float32)
    if wrong := int((~torch.isfinite(tensor)).sum()):
        raise ArtifactInvalid(
            f"{what} holds {wrong:,} of {tensor.numel():,} numbers that are NaN or infinite. "
            "The run that made it has diverged; tune again with a smaller learning rate."
        )
    return tensor


_Entry = tuple[str, tuple[int, ...], int, int]


def _checked(header: Mapping[str, Any], size: int, where: Path | str, dtypes: frozenset[str]) -> dict[str, _Entry]:
    """Name → (type, shape, start, end) of every tensor; together they fill the `size` bytes without gap or overlap."""
    entries: dict[str, _Entry] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
                refuse(where, "has metadata that are no texts", _AGAIN)
            continue
        entries[name] = _entry(name, entry, where, dtypes)
    reached = 0
    for name, (_, _, start, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if start != reached:
            refuse(where, f"puts tensor {name[:80]!r} at byte {start:,} where {reached:,} is due", _AGAIN)
        reached = end
    if reached != size:
        refuse(where, f"holds {size:,} bytes of numbers where its header promises {reached:,}", _AGAIN)
    return entries


def _entry(name: str, entry: Any, where: Path | str, dtypes: frozenset[str]) -> _Entry:
    label = f"tensor {name[:80]!r}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        refuse(where, f"describes {label} by other keys than dtype, shape and data_offsets", _AGAIN)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in dtypes:
        refuse(where, f"has {label} of type {str(dtype)[:40]}; allowed: {', '.join(sorted(dtypes))}", _AGAIN)
    if not _naturals(shape) or len(shape) > MAX_RANK:
        refuse(where, f"has {label} of the impossible shape {str(shape)[:80]}", _AGAIN)
    if not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        refuse(where, f"has {label} at the impossible place {str(offsets)[:80]}", _AGAIN)
    needed, there = math.prod(shape) * DTYPES[dtype].itemsize, offsets[1] - offsets[0]
    if needed != there:
        refuse(
            where, f"gives {there:,} bytes to {label} of shape {shape} and type {dtype}, which takes {needed:,}", _AGAIN
        )
    return dtype, tuple(shape), offsets[0], offsets[1]


def _naturals(value: Any) -> bool:
    # type(), because True is an int to isinstance()
    return isinstance(value, list) and all(type(number) is int and 0 <= number < 1 << 48 for number in value)


def _decode(data: bytes, start: int, length: int, dtype: str, shape: tuple[int, ...]) -> Tensor:
    if not length:
        return torch.zeros(shape, dtype=DTYPES[dtype])
    # A copy of its own: aligned, writable, and the file's bytes can go.
    part = torch.frombuffer(bytearray(memoryview(data)[start : start + length]), dtype=torch.uint8)
    return part.view(DTYPES[dtype]).view(shape)
