"""Safetensors whose headers lie."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softprompt.engine.safe_tensors import dump_tensors, parse_tensors
from softprompt.errors import ArtifactInvalid


def made(header: Any, data: bytes = bytes(16)) -> bytes:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + data


def entry(dtype: Any = "F32", shape: Any = (2, 2), offsets: Any = (0, 16), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_what_the_library_writes_is_read(dtype: torch.dtype) -> None:
    from safetensors.torch import save

    tensors = {"b": torch.randn(3, 4).to(dtype), "a": torch.randn(5).to(dtype), "none": torch.zeros(0, 4).to(dtype)}
    back = parse_tensors(save(tensors, metadata={"format": "pt"}), "x")
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name].float()) for name in tensors)


def test_nothing_at_all_is_a_sound_file() -> None:
    assert parse_tensors(dump_tensors({}), "x") == {}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"1234567", r"x has 7 bytes, too few"),
        ((1 << 63).to_bytes(8, "little"), r"claims a header of 9,223,372,036,854,775,808 bytes in a file of 8"),
        (made(b"[1]"), r"The header of x holds a JSON list"),
        (made(b'{"a": 1, "a": 2}'), r"the key 'a' stands there twice"),
        (made({"a": entry("I32")}), r"tensor 'a' of type I32; allowed: BF16, F16, F32"),
        (made({"a": entry("F64")}), r"of type F64"),
        (made({"a": entry(["F32"])}), r"of type \['F32'\]"),
        (made({"a": entry("F16")}), r"gives 16 bytes to tensor 'a' of shape \[2, 2\] and type F16, which takes 8"),
        (made({"a": entry(shape=[2, 3])}), r"which takes 24"),
        (made({"a": entry(shape=[-2, -2])}), r"impossible shape"),
        (made({"a": entry(shape=[True, 4])}), r"impossible shape"),
        (made({"a": entry(shape=[1] * 9)}), r"impossible shape"),
        (made({"a": entry(shape=[2**40, 2**40])}), r"which takes"),
        (made({"a": entry(offsets=[16, 0])}), r"impossible place"),
        (made({"a": entry(offsets=[0, 16, 16])}), r"impossible place"),
        (made({"a": entry(offsets=[4, 20])}), r"puts tensor 'a' at byte 4 where 0 is due"),
        (made({"a": entry(), "b": entry()}), r"puts tensor 'b' at byte 0 where 16 is due"),
        (made({"a": entry()}, bytes(12)), r"holds 12 bytes of numbers where its header promises 16"),
        (made({"a": entry()}, bytes(20)), r"holds 20 bytes of numbers where its header promises 16"),
        (made({"a": entry(more=1)}), r"describes tensor 'a' by other keys"),
        (made({"a": 1}), r"describes tensor 'a' by other keys"),
        (made({"__metadata__": {"a": 1}}), r"metadata that are no texts"),
        (made({"a": entry()}, b"\x00\x00\x80\x7f" * 4), r"tensor 'a' holds 4 of 4 numbers that are NaN or infinite"),
    ],
)
def test_headers_that_lie_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(ArtifactInvalid, match=words):
        parse_tensors(data, "x")


@settings(max_examples=300, deadline=None)
@given(place=st.floats(0, 1), length=st.integers(0, 9), piece=st.binary(max_size=9))
def test_no_change_of_bytes_does_harm(place: float, length: int, piece: bytes) -> None:
    data = dump_tensors({"a": torch.ones(2, 3), "b": torch.ones(4)})
    start = int(place * len(data))
    try:
        tensors = parse_tensors(data[:start] + piece + data[start + length :], "x")
    except ArtifactInvalid:
        return
    assert all(tensor.dtype is torch.float32 and bool(torch.isfinite(tensor).all()) for tensor in tensors.values())
