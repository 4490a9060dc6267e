"""One tensor out of a pickle that is never run.

`torch.save` spells a tensor with two dozen of pickle's instructions and three or four names. Here a small machine
follows those instructions on plain values: a name becomes a label, a call becomes a record, a storage becomes a
reference that is held against the bytes that are really there. An instruction or a name it does not know ends the
reading. Python's unpickler and torch's loader stay out of it: the first runs what it reads, the second trusts the
lengths it reads.
"""

from __future__ import annotations

import math
import pickletools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from softprompt.engine.safe_files import reason, refuse

MAX_PICKLE_BYTES = 1 << 16
MAX_NUMBERS = 128 << 20

_STORAGES = {"FloatStorage": torch.float32, "HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16}
_NAMES = {
    *(f"torch {name}" for name in _STORAGES),
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "collections OrderedDict",
}
_ADVICE = "Only files with one plain float tensor can be imported. Convert it to safetensors where you trust it."


@dataclass(frozen=True, slots=True)
class _Name:
    """A name that stands in the pickle; what it names is never looked up."""

    words: str


@dataclass(frozen=True, slots=True)
class _Storage:
    dtype: torch.dtype
    key: str
    numbers: int


@dataclass(frozen=True, slots=True)
class _Claim:
    """What the pickle says about a tensor."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Unknown(Exception):
    """The pickle says something that no plain tensor needs."""


def read_pickled_tensor(members: Mapping[str, bytes], where: Path) -> Tensor:
    """The one tensor of a file of `torch.save`, a copy of its own.

    Args:
        members: `data.pkl` and the storages `data/0` …, as they lie in the zip.
        where: the file, for messages.
    """
    program = members.get("data.pkl")
    if program is None or len(program) > MAX_PICKLE_BYTES:
        refuse(where, f"has {'no' if program is None else 'too large a'} data.pkl", _ADVICE)
    if members.get("byteorder", b"little") != b"little":
        refuse(where, "was written on a big-endian machine", _ADVICE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pickletools decodes names by a way that warns of odd backslashes
            claim = _only(_follow(program))
        return _tensor(claim, members)
    except _Unknown as error:
        refuse(where, f"is refused: {error}", _ADVICE)
    # A broken program trips the machine in as many ways as there are instructions.
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, RuntimeError, OverflowError) as error:
        refuse(where, f"does not spell a tensor: {reason(error)}", _ADVICE)


def _tensor(claim: _Claim, members: Mapping[str, bytes]) -> Tensor:
    """The numbers that a claim points at, after every claim has been held against the bytes."""
    data = members.get(f"data/{claim.storage.key}")
    if data is None:
        raise _Unknown(f"its tensor lies in data/{claim.storage.key[:20]}, which is not there")
    room = len(data) // claim.storage.dtype.itemsize
    if claim.storage.numbers != room or len(data) != room * claim.storage.dtype.itemsize:
        raise _Unknown(f"it claims {claim.storage.numbers:,} numbers where {room:,} lie")
    if len(claim.shape) != len(claim.stride) or len(claim.shape) > 8:
        raise _Unknown(f"its tensor has {len(claim.shape)} dimensions and {len(claim.stride)} strides")
    count = math.prod(claim.shape)
    reach = claim.offset + sum((size - 1) * step for size, step in zip(claim.shape, claim.stride, strict=True)) + 1
    # A stride of zero makes a tensor of any size from one number.
    if not 0 < count <= min(room, MAX_NUMBERS) or reach > room:
        raise _Unknown(f"its tensor of shape {list(claim.shape)} does not fit into the {room:,} numbers that are there")
    flat = torch.frombuffer(bytearray(data), dtype=claim.storage.dtype)
    return flat.as_strided(claim.shape, claim.stride, claim.offset).clone().contiguous()


def _only(value: Any) -> _Claim:
    """The value itself, or the one value of a dictionary."""
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    if not isinstance(value, _Claim):
        held = f"a dictionary of {len(value)}" if isinstance(value, dict) else f"a {type(value).__name__.strip('_')}"
        raise _Unknown(f"it holds {held} where one tensor belongs")
    return value


def _follow(program: bytes) -> Any:
    """Run the machine: a stack, marks and a memory, on plain values."""
    stack: list[Any] = []
    marks: list[int] = []
    memory: dict[int, Any] = {}
    argument: Any
    for instruction, argument, _ in pickletools.genops(program):
        name = instruction.name
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
        elif name in _LITERALS:
            stack.append(argument)
        elif name == "GLOBAL":
            stack.append(_name(argument))
        elif name == "MARK":
            marks.append(len(stack))
        elif name in _TUPLES:
            start = marks.pop() if name == "TUPLE" else len(stack) - _TUPLES[name]
            _need(stack, len(stack) - start)
            stack[start:] = [tuple(stack[start:])]
        elif name in ("BINPUT", "LONG_BINPUT"):
            memory[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memory[argument])
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(_call(stack.pop(), arguments))
        elif name in ("SETITEM", "SETITEMS"):
            start = marks.pop() if name == "SETITEMS" else len(stack) - 2
            _fill(stack, start)
        elif name == "STOP":
            _need(stack, 1)
            return stack.pop()
        elif name != "PROTO":
            raise _Unknown(f"its pickle holds the instruction {name}, which no tensor needs")
    raise _Unknown("its pickle has no end")


def _call(name: Any, arguments: Any) -> Any:
    """A call of one of the known names, as a record."""
    if name == _Name("collections OrderedDict") and arguments == ():
        return {}
    if name == _Name("torch._utils _rebuild_parameter"):
        return _only(arguments[0])
    if name != _Name("torch._utils _rebuild_tensor_v2"):
        raise _Unknown("its pickle calls something that makes no tensor")
    storage, offset, shape, stride = arguments[:4]
    numbers = (offset, *shape, *stride)
    if not isinstance(storage, _Storage) or not all(type(n) is int and 0 <= n < 1 << 40 for n in numbers):
        # The values are not shown: a pickle can nest tuples so that their text has no end.
        raise _Unknown("its tensor has no possible shape")
    return _Claim(storage, offset, tuple(shape), tuple(stride))


def _storage(claim: Any) -> _Storage:
    """("storage", type, key, device, length), as torch writes it."""
    word, kind, key, _device, numbers = claim
    dtype = _STORAGES.get(kind.words.removeprefix("torch "))
    if word != "storage" or dtype is None or not isinstance(key, str) or type(numbers) is not int:
        raise _Unknown("its numbers lie in no storage of floats")
    return _Storage(dtype, key, numbers)


def _name(argument: str) -> _Name:
    if argument not in _NAMES:
        raise _Unknown(f"its pickle names {argument.replace(' ', '.')[:80]}, which no plain float tensor needs")
    return _Name(argument)


def _fill(stack: list[Any], start: int) -> None:
    pairs = stack[start:]
    del stack[start:]
    _need(stack, 1)
    if not isinstance(stack[-1], dict) or len(pairs) % 2 or not all(isinstance(key, str) for key in pairs[::2]):
        raise _Unknown("its pickle fills something that is no dictionary of names")
    stack[-1].update(zip(pairs[::2], pairs[1::2], strict=True))


def _need(stack: list[Any], count: int) -> None:
    if not 0 <= count <= len(stack):
        raise _Unknown("its pickle takes from an empty stack")


_CONSTANTS: dict[str, Any] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict,
}  # fmt: skip
_LITERALS = frozenset({"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"})
_TUPLES = {"TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
