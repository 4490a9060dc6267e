"""Prompts of caikit-nlp and TGIS (`decoder.pt`, `encoder.pt`): zip files that `torch.save` wrote around one tensor.

Such a file holds a pickle. It is never run: a reader of the few instructions that spell a tensor takes it apart, every
claim in it is held against the bytes that are there, and the numbers are taken from the zip member directly. Anything
else in the file, and any instruction more, is refused. Also reads the template and the model's name from `config.yml`.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

from torch import Tensor

from softprompt.data.template import Template
from softprompt.engine.imported import ImportedVectors
from softprompt.engine.pickled_tensor import read_pickled_tensor
from softprompt.engine.safe_files import read_file, reason, refuse
from softprompt.engine.safe_tensors import finite
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.errors import TemplateInvalid

FILES = {"causal": "decoder.pt", "seq2seq": "encoder.pt"}
"""Kind of the model → the file that its vectors are in."""
CONFIG = "config.yml"
MAX_VECTOR_BYTES = 512 << 20
MAX_CONFIG_BYTES = 256 << 10
KNOWN = ("verbalizer", "base_model_name", "tuning_type", "task_type", "module_id")
MAX_MEMBERS = 32

_MEMBER = re.compile(
    r"[^/]{1,200}/(data\.pkl|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id|data/\d{1,4})"
)
_AGAIN = "Export the prompt again with caikit, or convert it to safetensors where you trust it."


def read_caikit(folder: Path, kind: str) -> ImportedVectors:
    """The vectors of a caikit folder for a model of that kind ("causal", "seq2seq")."""
    name = FILES[kind]
    other = next(file for file in FILES.values() if file != name)
    if not (folder / name).exists():
        refuse(
            folder,
            f"holds {other} and no {name}: its vectors are for "
            f"{'an encoder-decoder' if kind == 'causal' else 'a decoder-only'} model",
            "Give the model they were trained on with --model.",
        )
    vectors = read_vectors(folder, name)
    left_out = []
    if (folder / other).exists():
        left_out.append(f"{other}, which a model of this kind does not read")
    config = _config(folder)
    template, problem = _template(config.get("verbalizer"))
    left_out += [problem] if problem else []
    return ImportedVectors(
        format="caikit",
        prompt=SoftPrompt(prefix=vectors),
        kind=kind,
        base_name=config.get("base_model_name", "")[:300],
        template=template,
        left_out=tuple(left_out),
        source={key: config[key][:300] for key in ("tuning_type", "task_type", "module_id") if key in config},
    )


def read_vectors(folder: Path, name: str) -> Tensor:
    """`[P, H]` the finite float32 vectors of one `.pt` file."""
    where = folder / name
    members = open_zip(read_file(folder, name, MAX_VECTOR_BYTES), where)
    vectors = finite(read_pickled_tensor(members, where), str(where))
    if vectors.dim() != 2 or 0 in vectors.shape:
        refuse(where, f"holds a tensor of shape {list(vectors.shape)}, not [virtual tokens, width]", _AGAIN)
    return vectors


def open_zip(data: bytes, where: Path) -> dict[str, bytes]:
    """Members of a file that `torch.save` wrote, by their name inside its one folder; nothing is decompressed."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check_members(members, len(data), where)
            return {member.filename.partition("/")[2]: archive.read(member) for member in members}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, EOFError) as error:
        refuse(where, f"is no sound file of torch.save since version 1.6: {reason(error)}", _AGAIN)


def _check_members(members: list[zipfile.ZipInfo], size: int, where: Path) -> None:
    if len(members) > MAX_MEMBERS:
        refuse(where, f"holds {len(members)} files; one tensor takes fewer than {MAX_MEMBERS}", _AGAIN)
    total = 0
    for member in members:
        if not _MEMBER.fullmatch(member.filename):
            refuse(where, f"holds {member.filename[:80]!r}, which is no part of a tensor", _AGAIN)
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            refuse(
                where,
                f"holds {member.filename[:80]!r} compressed to {member.compress_size:,} of "
                f"{member.file_size:,} bytes; torch.save never compresses",
                _AGAIN,
            )
        if member.flag_bits & 1:
            refuse(where, f"holds {member.filename[:80]!r} encrypted", _AGAIN)
        total += member.file_size
    # Members that share bytes are how a small zip becomes a huge one without compression.
    if total > size:
        refuse(where, f"promises {total:,} bytes in a file of {size:,}", _AGAIN)
    if len({member.filename.partition("/")[0] for member in members}) > 1:
        refuse(where, "holds more than one folder", _AGAIN)
    if len({member.filename for member in members}) != len(members):
        refuse(where, "holds two files of one name", _AGAIN)


def _config(folder: Path) -> dict[str, str]:
    """The known, flat part of `config.yml`; empty without one."""
    import yaml  # type: ignore[import-untyped]

    if not (folder / CONFIG).exists():
        return {}
    data = read_file(folder, CONFIG, MAX_CONFIG_BYTES)
    try:
        # Nodes, not values: building values would follow merge keys, which can double with every line.
        root = yaml.compose(data.decode("utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        refuse(
            folder / CONFIG, f"is no sound YAML: {reason(error)}", "Remove it and give the template with --template."
        )
    if not isinstance(root, yaml.MappingNode):
        return {}
    pairs = [(key.value, value.value) for key, value in root.value if isinstance(value, yaml.ScalarNode)]
    return {key: value for key, value in pairs if key in KNOWN}


def _template(verbalizer: str | None) -> tuple[Template | None, str]:
    """The verbalizer as a template; or why it cannot be one."""
    if verbalizer is None:
        return None, ""
    try:
        return Template(text=verbalizer), ""
    except TemplateInvalid as error:
        return None, f"verbalizer {verbalizer[:80]!r} ({error})"
