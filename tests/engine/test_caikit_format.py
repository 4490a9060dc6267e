"""caikit's vectors: what `torch.save` wrote around one tensor is read, whatever else a file can hold is refused."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softprompt.engine.caikit_format import open_zip, read_caikit, read_vectors
from softprompt.engine.pickled_tensor import read_pickled_tensor
from softprompt.errors import ArtifactInvalid


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def saved(value: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


VECTORS = numbers(4, 32)


# --- read -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "value",
    [
        VECTORS,
        VECTORS.half(),
        VECTORS.bfloat16(),
        VECTORS.T,
        VECTORS[:2],
        VECTORS[1:3, 4:],
        VECTORS.clone().requires_grad_(),
        torch.nn.Parameter(VECTORS.clone()),
    ],
    ids=["float", "half", "bfloat", "transposed", "rows", "window", "gradient", "parameter"],
)
def test_one_tensor_is_read(value: Tensor, tmp_path: Path) -> None:
    (tmp_path / "decoder.pt").write_bytes(saved(value))
    vectors = read_vectors(tmp_path, "decoder.pt")
    assert vectors.is_contiguous()
    assert torch.equal(vectors, value.detach().float())
    (tmp_path / "decoder.pt").write_bytes(saved(OrderedDict(prompt=value)))
    assert torch.equal(read_vectors(tmp_path, "decoder.pt"), value.detach().float())


def test_each_kind_of_model_has_its_file(tmp_path: Path) -> None:
    (tmp_path / "decoder.pt").write_bytes(saved(VECTORS))
    found = read_caikit(tmp_path, "causal")
    assert found.prompt.prefix is not None
    assert torch.equal(found.prompt.prefix, VECTORS)
    assert (found.kind, found.left_out, found.template) == ("causal", (), None)
    with pytest.raises(
        ArtifactInvalid, match=r"holds decoder.pt and no encoder.pt: its vectors are for a decoder-only"
    ):
        read_caikit(tmp_path, "seq2seq")
    (tmp_path / "encoder.pt").write_bytes(saved(2 * VECTORS))
    found = read_caikit(tmp_path, "seq2seq")
    assert found.prompt.prefix is not None
    assert torch.equal(found.prompt.prefix, 2 * VECTORS)
    assert found.left_out == ("decoder.pt, which a model of this kind does not read",)


def test_the_verbalizer_becomes_the_template(tmp_path: Path) -> None:
    (tmp_path / "decoder.pt").write_bytes(saved(VECTORS))
    config = (
        "base_model_name: org/llama\nbase_model_config: {hidden_size: 32}\nverbalizer: 'Tweet: {{input}} Label: '\n"
    )
    (tmp_path / "config.yml").write_text(config + "tuning_type: PROMPT_TUNING\n")
    found = read_caikit(tmp_path, "causal")
    assert found.template is not None
    assert found.template.text == "Tweet: {{input}} Label: "
    assert found.base_name == "org/llama"
    assert found.source == {"tuning_type": "PROMPT_TUNING"}
    (tmp_path / "config.yml").write_text("verbalizer: 'Say {{text}}'\n")
    found = read_caikit(tmp_path, "causal")
    assert found.template is None
    assert "verbalizer 'Say {{text}}'" in found.left_out[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", r"config.yml is no sound YAML"),
        ("a: " + "[" * 5000, r"config.yml is no sound YAML"),
        ("a: 1\n" * 60_000, r"has 300,000 bytes, more than"),
    ],
    ids=["broken", "tower", "huge"],
)
def test_a_config_that_is_not_sound_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "decoder.pt").write_bytes(saved(VECTORS))
    (tmp_path / "config.yml").write_text(text)
    with pytest.raises(ArtifactInvalid, match=words):
        read_caikit(tmp_path, "causal")


def test_a_config_runs_nothing_and_does_not_grow(tmp_path: Path) -> None:
    (tmp_path / "decoder.pt").write_bytes(saved(VECTORS))
    merges = "".join(f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}]}}\n" for i in range(1, 40))
    text = f"verbalizer: !!python/object/apply:os.system ['touch {tmp_path}/ran']\nm0: &m0 {{a: 1}}\n{merges}"
    (tmp_path / "config.yml").write_text(text)
    assert read_caikit(tmp_path, "causal").template is None
    assert not (tmp_path / "ran").exists()


# --- refused ----------------------------------------------------------------------------------------------------------
class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("echo gotcha",)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Evil(), r"its pickle names posix.system, which no plain float tensor needs"),
        ({"prompt": VECTORS, "more": Evil()}, r"names posix.system"),
        (VECTORS.long(), r"names torch.LongStorage"),
        (VECTORS.double(), r"names torch.DoubleStorage"),
        (VECTORS.to_sparse(), r"names torch._utils._rebuild_sparse_tensor"),
        ([VECTORS], r"the instruction EMPTY_LIST"),
        ("text", r"holds a str where one tensor belongs"),
        ({"a": VECTORS, "b": VECTORS}, r"holds a dictionary of 2 where one tensor belongs"),
        (numbers(4), r"holds a tensor of shape \[4\], not \[virtual tokens, width\]"),
        (numbers(2, 3, 4), r"holds a tensor of shape \[2, 3, 4\]"),
        (torch.zeros(0, 4), r"does not fit into the 0 numbers that are there"),
        (torch.zeros(1, 1).expand(100_000, 100_000), r"shape \[100000, 100000\] does not fit into the 1 numbers"),
        (torch.full((2, 2), torch.nan), r"holds 4 of 4 numbers that are NaN or infinite"),
        (torch.nn.Linear(2, 2), r"names torch.nn.modules.linear.Linear"),
    ],
)
def test_anything_but_one_plain_tensor_is_refused(value: Any, words: str, tmp_path: Path) -> None:
    (tmp_path / "decoder.pt").write_bytes(saved(value))
    with pytest.raises(ArtifactInvalid, match=words):
        read_vectors(tmp_path, "decoder.pt")


def test_lengths_that_lie_never_reach_memory() -> None:
    members = {name.partition("/")[2]: data for name, data in unzipped(saved(VECTORS)).items()}
    program = members["data.pkl"]
    count, rows = b"K\x80t", b"K\x04K \x86"  # BININT1 128 for the storage; the tuple (4, 32) for the shape
    assert count in program
    assert rows in program
    for old, new in [(count, b"M\x80\x10t"), (rows, b"K\x05K \x86"), (rows, b"K\x04K!\x86"), (count, b"K\x40t")]:
        with pytest.raises(ArtifactInvalid, match=r"claims|does not fit into the 128 numbers"):
            read_pickled_tensor({**members, "data.pkl": program.replace(old, new, 1)}, Path("x"))
    with pytest.raises(ArtifactInvalid, match=r"lies in data/0, which is not there"):
        read_pickled_tensor({"data.pkl": program}, Path("x"))
    with pytest.raises(ArtifactInvalid, match=r"big-endian"):
        read_pickled_tensor({**members, "byteorder": b"big"}, Path("x"))


def sound_members() -> dict[str, bytes]:
    return unzipped(saved(VECTORS))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", r"is no sound file of torch.save"),
        (pickle.dumps(Evil()), r"is no sound file of torch.save"),
        (zipped({**sound_members(), "archive/code/x.py": b"1"}), r"holds 'archive/code/x.py', which is no part of a"),
        (zipped({**sound_members(), "../../etc/passwd": b"1"}), r"holds '../../etc/passwd'"),
        (zipped({**sound_members(), "/data/0": b"1"}), r"holds '/data/0'"),
        (zipped({**sound_members(), "other/data/0": b"1"}), r"holds more than one folder"),
        (zipped({f"archive/data/{i}": b"" for i in range(40)}), r"holds 40 files"),
        (zipped({"archive/data/0": bytes(1 << 20)}, zipfile.ZIP_DEFLATED), r"torch.save never compresses"),
        (zipped({"archive/version": b"3"}), r"has no data.pkl"),
        (zipped({"archive/data.pkl": b"." * 70_000}), r"has too large a data.pkl"),
    ],
    ids=["empty", "pickle", "code", "up", "root", "folders", "many", "bomb", "bare", "large"],
)
def test_archives_that_are_not_sound_are_refused(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "decoder.pt").write_bytes(data)
    with pytest.raises(ArtifactInvalid, match=words):
        read_vectors(tmp_path, "decoder.pt")


def test_members_that_share_bytes_are_refused() -> None:
    """A bomb without compression: many entries of the directory point at the same large member."""
    data = zipped({"archive/data/0": bytes(100_000)})
    end = data.rindex(b"PK\x05\x06")
    start = data.index(b"PK\x01\x02")
    entries = [data[start:end].replace(b"data/0", f"data/{i}".encode()) for i in range(10)]
    directory = b"".join(entries)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 10, 10, len(directory), start, 0)
    with pytest.raises(ArtifactInvalid, match=r"promises 1,000,000 bytes in a file of 10\d,\d\d\d"):
        open_zip(data[:start] + directory + tail, Path("x"))


@settings(max_examples=300, deadline=None)
@given(place=st.floats(0, 1), length=st.integers(0, 9), piece=st.binary(max_size=9), inside=st.booleans())
def test_no_change_of_bytes_does_harm(place: float, length: int, piece: bytes, inside: bool) -> None:
    members = sound_members()
    program = next(name for name in members if name.endswith("data.pkl"))
    data = members[program] if inside else zipped(members)
    start = int(place * len(data))
    data = data[:start] + piece + data[start + length :]
    if inside:
        data = zipped({**members, program: data})
    try:
        tensor = read_pickled_tensor(open_zip(data, Path("x")), Path("x"))
    except ArtifactInvalid:
        return
    assert tensor.numel() <= 128


@settings(max_examples=300, deadline=None)
@given(program=st.binary(max_size=200))
def test_no_program_does_harm(program: bytes) -> None:
    with pytest.raises(ArtifactInvalid):
        read_pickled_tensor({"data.pkl": b"\x80\x02" + program, "data/0": bytes(8)}, Path("x"))


def test_nested_tuples_do_not_grow() -> None:
    """Twenty thousand bytes of a pickle can spell a value whose text would fill the disk."""
    doubled = b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(200))
    for ending in (b"Q.", b"0.", b".", b"}N\x85s."):
        with pytest.raises(ArtifactInvalid):
            read_pickled_tensor({"data.pkl": b"\x80\x02)" + doubled + ending}, Path("x"))
