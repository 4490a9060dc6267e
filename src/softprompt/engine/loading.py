"""Opens foundation models: an id of the catalogue or a folder in, a frozen model with its tokenizer out.

Weights are read from safetensors only and code that comes with a model is never run. Finding and fetching the folder
is `engine.sources`; what can be done with the model is `engine.backbone`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from softprompt.catalogue import CAUSAL, SEQ2SEQ
from softprompt.engine.fingerprint import fingerprint
from softprompt.engine.sources import Located, locate
from softprompt.errors import ModelUnavailable, ModelUnsupported, ParameterInvalid

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone


@dataclass(frozen=True, slots=True)
class Parts:
    """A frozen model, its tokenizer, the name it goes by and the folder it came from."""

    model: Any
    tokenizer: Any
    model_id: str
    path: Path


def load_model(
    id_or_path: str | Path, *, device: str | torch.device = "cpu", dtype: str | torch.dtype | None = None
) -> Backbone:
    """The foundation model, ready to tune and to generate. Fetches it first if this machine does not have it."""
    from softprompt.engine.backbone import wrap

    parts = load_parts(id_or_path, device=device, dtype=dtype)
    return wrap(parts.model, parts.tokenizer, model_id=parts.model_id, path=parts.path)


def load_parts(
    id_or_path: str | Path, *, device: str | torch.device = "cpu", dtype: str | torch.dtype | None = None
) -> Parts:
    """Model and tokenizer as transformers makes them: in eval mode, without gradients, on `device`.

    Without `dtype`: float32 on the CPU and bfloat16 elsewhere.
    """
    place = find_device(device)
    found = locate(id_or_path)
    number = _dtype(dtype, place, found)
    with quiet_transformers(), ThreadPoolExecutor(1) as beside:
        model = _open_model(found, number)
        beside.submit(fingerprint, model)  # whatever is tuned or opened asks for it next
        tokenizer = _open_tokenizer(found)
    model.eval().requires_grad_(False)
    return Parts(model.to(place), tokenizer, found.model_id, found.path)


def load_tokenizer(id_or_path: str | Path) -> Any:
    """The tokenizer alone."""
    found = locate(id_or_path)
    with quiet_transformers():
        return _open_tokenizer(found)


def _open_model(found: Located, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    _refuse_pickles(found)
    opener = AutoModelForSeq2SeqLM if _model_type(found) in SEQ2SEQ else AutoModelForCausalLM
    try:
        model, report = opener.from_pretrained(
            found.path,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:  # transformers, safetensors and torch each raise their own kinds here
        raise ModelUnavailable(
            f"{found.path} cannot be opened: {_first_line(error)} "
            "Copy or pull the model again; an interrupted copy is the usual cause."
        ) from error
    # transformers would fill the gaps with random numbers and say so in a warning only
    if gaps := sorted(report["missing_keys"]):
        raise ModelUnavailable(
            f"{found.path} lacks {len(gaps)} of the model's tensors, such as {gaps[0]}. Copy or pull the model again."
        )
    return model


def _open_tokenizer(found: Located) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    settings = _read_json(found.path / "tokenizer_config.json")
    ready = settings.get("tokenizer_class") in ("PreTrainedTokenizerFast", "TokenizersBackend")
    # the general way reads the model's configuration and guesses a class first, which takes longer than the reading
    opener = PreTrainedTokenizerFast if ready and (found.path / "tokenizer.json").exists() else AutoTokenizer
    try:
        return opener.from_pretrained(found.path, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ModelUnavailable(
            f"The tokenizer in {found.path} cannot be opened: {_first_line(error)} "
            "The folder needs tokenizer.json or the model's own tokenizer files."
        ) from error


def _model_type(found: Located) -> str:
    """The architecture by transformers' name; refused here if the engine does not run it."""
    config = _read_json(found.path / "config.json")
    model_type = str(config.get("model_type") or "")
    if model_type not in CAUSAL | SEQ2SEQ:
        raise ModelUnsupported(
            f"{found.model_id} has the architecture {model_type!r}. "
            f"This engine runs {', '.join(sorted(CAUSAL | SEQ2SEQ))}."
        )
    if method := (config.get("quantization_config") or {}).get("quant_method"):
        raise ModelUnsupported(
            f"The weights of {found.model_id} are quantised ({method}). Softprompt needs them in float32, bfloat16 or "
            "float16; most models are published that way too."
        )
    return model_type


def _refuse_pickles(found: Located) -> None:
    if any(found.path.glob("*.safetensors")):
        return
    if pickles := sorted(found.path.glob("pytorch_model*.bin")):
        raise ModelUnsupported(
            f"{found.path} holds its weights as {pickles[0].name}, a pickle, which can run any code when it is opened. "
            "Use a folder with *.safetensors; the hub converts "
            "models on request (its space safetensors/convert)."
        )
    raise ModelUnavailable(f"{found.path} holds no weights (*.safetensors). Copy or pull the model again.")


def find_device(device: str | torch.device) -> torch.device:
    """The device of this name, which has to be there."""
    try:
        place = torch.device(device)
        if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
            raise RuntimeError(f"torch finds {torch.cuda.device_count()} CUDA devices on this machine.")
    except RuntimeError as error:
        raise ParameterInvalid(
            f"device {str(device)!r}: {_first_line(error)} Use cpu, or cuda where there is one."
        ) from error
    return place


_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def _dtype(dtype: str | torch.dtype | None, device: torch.device, found: Located) -> torch.dtype:
    if dtype is None:
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    number = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if number is None or number not in _DTYPES.values():
        raise ParameterInvalid(f"dtype {str(dtype)!r} is not one of {', '.join(_DTYPES)}.")
    if number is torch.float16 and _model_type(found) in SEQ2SEQ:
        raise ParameterInvalid(
            f"{found.model_id} is a T5 model: its activations leave the range of float16 and become NaN. "
            "Use bfloat16 or float32."
        )
    return number


def _read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file; empty if there is no file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{path} cannot be read: {_first_line(error)} Copy or pull the model again.") from error
    return content if isinstance(content, dict) else {}


def _first_line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return line if line.endswith((".", "!", "?")) else f"{line}."


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars, notes or warnings of transformers in this block; afterwards all is as before."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
